"""The options of a node's own log."""

from __future__ import annotations

from typing import Final

from raftha.config.schema import LEVELS, Kind, Option, Reload


def _count(path: str, doc: str, *, default: int, minimum: int, maximum: int) -> Option:
    return Option(
        path=path,
        kind=Kind.INTEGER,
        reload=Reload.RELOAD,
        doc=doc,
        default=str(default),
        minimum=minimum,
        maximum=maximum,
    )


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
        path="log.static_fields",
        kind=Kind.FIELDS,
        reload=Reload.RELOAD,
        doc="What each line of the log has beside its own facts, such as `datacenter: east`:"
        " members of the object with `log.format: json`, as in Patroni, `key=value` with `plain`.",
        default="none",
    ),
    Option(
        path="log.dir",
        kind=Kind.PATH,
        reload=Reload.RELOAD,
        doc="Write the log to the file `NAME.log` in this directory instead of standard error, and"
        " rotate it. A disk that does not take it holds up nothing but the log.",
        default="standard error",
    ),
    _count(
        "log.file_size",
        "The size in bytes at which that file is put aside as `NAME.log.1`.",
        default=25_000_000,
        minimum=10_000,
        maximum=2**40,
    ),
    _count(
        "log.file_num",
        "How many files that were put aside are kept.",
        default=4,
        minimum=1,
        maximum=1000,
    ),
)
