"""Names and numbers that must not be mixed up with one another."""

from __future__ import annotations

from typing import NewType

from msgspec import Struct

MemberName = NewType("MemberName", str)
"""A node of the cluster, as `name` in its file: unique without regard to case."""

Scope = NewType("Scope", str)
"""The name of the cluster."""

SystemId = NewType("SystemId", str)
"""PostgreSQL's system identifier: a decimal number that initdb draws."""

Timeline = NewType("Timeline", int)

Revision = NewType("Revision", int)
"""The number of a committed change of the key store; grows by one for each, 0 before the first."""


class Lsn(Struct, frozen=True, order=True):
    """A position in the write-ahead log, in bytes from its beginning."""

    value: int

    @classmethod
    def parse(cls, text: str) -> Lsn:
        """Read PostgreSQL's `16/B374D848` form. Raises ValueError."""
        high, slash, low = text.partition("/")
        if not slash:
            raise ValueError(f"not a WAL position: {text!r}")
        return cls((int(high, 16) << 32) + int(low, 16))

    def __str__(self) -> str:
        return f"{self.value >> 32:X}/{self.value & 0xFFFFFFFF:X}"

    def behind(self, other: Lsn) -> int:
        """Bytes that `other` is ahead of this one; 0 if it is not."""
        return max(0, other.value - self.value)


class Epoch(Struct, frozen=True, order=True):
    """The fencing token: where in the store's life the leader key was created.

    `generation` is raised when the store is recovered after a lost majority, because revisions
    that the survivor never saw are given again then.
    """

    generation: int
    revision: int

    def __str__(self) -> str:
        return f"{self.generation}.{self.revision}"
