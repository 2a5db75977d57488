"""A value that was refused, on its way to the list of problems. PURE."""

from __future__ import annotations


class Invalid(ValueError):
    """A value was refused: what is wrong, and what to write instead."""

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy
