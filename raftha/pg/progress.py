"""How far a program that copies says that it is. PURE."""

from __future__ import annotations

import re
from typing import Final

from raftha.model.postgres import Copied

_LINE: Final = re.compile(r"\s*(\d+)/(\d+) kB \(\s*\d+%\).*")
"""Of pg_basebackup and pg_rewind with --progress; both mean KiB."""


def copied(line: str) -> Copied | None:
    """What a line of standard error tells; None for any other line."""
    match = _LINE.fullmatch(line)
    if match is None:
        return None
    return Copied(done_bytes=int(match[1]) << 10, total_bytes=int(match[2]) << 10)
