"""The options of PostgreSQL's programs, and their reading from a node's file. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from raftha.config.reading import Reading
from raftha.config.schema import Kind, Option, Reload

PREFIX: Final = "postgresql.bin_name."
PROGRAMS: Final = ("initdb", "pg_basebackup", "pg_controldata", "pg_rewind", "pg_waldump")

PROGRAM_OPTIONS: Final = (
    Option(
        path="postgresql.bin_dir",
        kind=Kind.PATH,
        reload=Reload.AGENT_RESTART,
        doc="The directory of PostgreSQL's programs. A server that runs goes on with those that it"
        " was started from until its next restart.",
        default="the programs are searched for",
    ),
    *(
        Option(
            path=PREFIX + program,
            kind=Kind.TEXT,
            reload=Reload.AGENT_RESTART,
            doc=f"What `{program}` is called in that directory.",
            default=program,
        )
        for program in PROGRAMS
    ),
)


def check_names(reading: Reading) -> None:
    """Add what is wrong with names of programs to the problems."""
    for program in PROGRAMS:
        name = reading.get(PREFIX + program, str)
        if name is not None and "/" in name:
            what = f"{name!r} is a path, not the name of a program in postgresql.bin_dir"
            reading.refuse(PREFIX + program, what, "write the name alone")


def names_of(reading: Reading) -> Mapping[str, str]:
    """Those that differ from PostgreSQL's own."""
    given = {program: reading.get(PREFIX + program, str) for program in PROGRAMS}
    return {program: name for program, name in given.items() if name and name != program}
