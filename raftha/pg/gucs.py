"""Whether PostgreSQL takes values for its parameters: asked of PostgreSQL, before they are written.

Its own program judges names, types, units, ranges and words, exactly as the server would at its
start, and needs no server that runs: a value that keeps one from starting can be corrected. What
extensions have defined is known to a running server only.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from raftha.clock import Clock
from raftha.errors import CommandFailed, PostgresError, Problem
from raftha.model.postgres import Binaries
from raftha.pg import argv
from raftha.pg.run import run

_COMPLAINT: Final = re.compile(r"(?:FATAL|DETAIL|HINT):\s+(.*)")
_UNKNOWN: Final = "unrecognized configuration parameter"
_BAD_VALUE: Final = "(22023)"


def refused(
    binaries: Binaries, folder: Path, parameters: Mapping[str, str], clock: Clock, timeout: float
) -> tuple[Problem, ...]:
    """What this installation has against the values. Raises PostgresError if it cannot be asked.

    `timeout` (seconds) is for each of them. `folder` is any that exists.
    """
    found = []
    for name, value in sorted(parameters.items()):
        try:
            run(argv.try_parameter(binaries, folder, name, value), clock=clock, timeout=timeout)
        except CommandFailed as error:
            words = _COMPLAINT.findall(str(error))
            if not words:
                raise
            remedy = _nearest(binaries, name, clock, timeout) if _UNKNOWN in words[0] else ""
            found.append(Problem(f"postgresql.parameters.{name}", "; ".join(words), remedy))
    return tuple(found)


def refused_by_extensions(
    parameters: Mapping[str, str], attempt: Callable[[str, str], object]
) -> tuple[Problem, ...]:
    """What a running server has against values of what its extensions have defined; `attempt` sets
    one for a moment. One that cannot be set in a session is not judged."""
    found = []
    for name, value in sorted(parameters.items()):
        if "." not in name:
            continue
        try:
            attempt(name, value)
        except PostgresError as error:
            if str(error).endswith(_BAD_VALUE):
                found.append(Problem(f"postgresql.parameters.{name}", str(error)))
    return tuple(found)


def _nearest(binaries: Binaries, name: str, clock: Clock, timeout: float) -> str:
    listed = run(argv.parameter_names(binaries), clock=clock, timeout=timeout)
    names = [line.partition("\t")[0] for line in listed.splitlines()]
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return f"did you mean {close[0]}?" if close else "remove it"
