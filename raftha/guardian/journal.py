"""The guardian's log: kept in memory while a primary is guarded, written when nothing can wait.

A write to a hung disk would hold up a fence. So lines are collected, and reach the file as soon as
no primary runs.
"""

from __future__ import annotations

import os
import time

from raftha.guardian.typed import Final

LINES_KEPT: Final = 200

LONGEST_BYTES: Final = 1 << 20
"""Of the file, and of the one before it: it lies on the volume of the Raft store."""


class Journal:
    """Lines with a time for people. An empty path keeps nothing on disk."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._lines: list[str] = []

    def note(self, text: str) -> None:
        """Remember a line; the oldest makes room."""
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self._lines.append(f"{when} guardian[{os.getpid()}] {text}\n")
        del self._lines[:-LINES_KEPT]

    def note_failure(self, problem: BaseException) -> None:
        """Remember an unexpected error with the places that it passed."""
        places = []
        trace = problem.__traceback__
        while trace is not None:
            code = trace.tb_frame.f_code
            places.append(f"{os.path.basename(code.co_filename)}:{trace.tb_lineno} {code.co_name}")
            trace = trace.tb_next
        self.note(f"failed: {problem!r} at {' > '.join(places)}")

    def flush(self) -> None:
        """Append what is remembered to the file, which becomes `.1` once it is long. A failure to
        write loses the lines, no more."""
        if not self._lines:
            return
        lines, self._lines = self._lines, []
        if not self._path:
            return
        try:
            with open(self._path, "a", encoding="utf-8", errors="backslashreplace") as file:
                file.writelines(lines)
                is_long = file.tell() > LONGEST_BYTES
            if is_long:
                os.replace(self._path, self._path + ".1")
        except OSError:
            return
