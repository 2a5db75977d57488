"""The options of a node's own log."""

from __future__ import annotations

from typing import Final

from raftha.config.schema import LEVELS, Kind, Option, Reload

LOG_OPTIONS: Final = (
    Option(
        path="log.level",
        kind=Kind.WORD,
        reload=Reload.RELOAD,
        doc="The least important messages that are written.",
        default="INFO",
        words=LEVELS,
    ),
    Option(
        path="log.loggers",
        kind=Kind.LEVELS,
        reload=Reload.RELOAD,
        doc="Another level for a part of the program, such as `raftha.consensus: DEBUG` or"
        " `raftha.agent.keeper: WARNING`. The parts are the names that stand in the log.",
        default="none",
    ),
    Option(
        path="log.format",
        kind=Kind.WORD,
        reload=Reload.RELOAD,
        doc="One line of words, or one JSON object, for each event.",
        default="plain",
        words=("plain", "json"),
    ),
    Option(
        path="log.dir",
        kind=Kind.PATH,
        reload=Reload.RELOAD,
        doc="Write the log to the file `NAME.log` in this directory instead of standard error, and"
        " rotate it. A disk that does not take it holds up nothing but the log.",
        default="standard error",
    ),
    Option(
        path="log.file_size",
        kind=Kind.INTEGER,
        reload=Reload.RELOAD,
        doc="The size in bytes at which that file is put aside as `NAME.log.1`.",
        default="25000000",
        minimum=10_000,
        maximum=2**40,
    ),
    Option(
        path="log.file_num",
        kind=Kind.INTEGER,
        reload=Reload.RELOAD,
        doc="How many files that were put aside are kept.",
        default="4",
        minimum=1,
        maximum=1000,
    ),
)
