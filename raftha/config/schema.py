"""Every option of raftha, declared once: path, kind, range, default, meaning, when a change acts.

`reading` checks documents against these tables, `reference` prints them for people, `changes`
takes the reload class from them. It holds no code but the declarations' types.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace

from raftha.config.foreign import DYNAMIC_FOREIGN, NODE_FOREIGN, Foreign


class Kind(StrEnum):
    """How the value of an option is written. The words appear in the reference."""

    TEXT = "text"
    SECRET = "secret text"
    NAME = "name"
    PATH = "path"
    SECONDS = "seconds"
    INTEGER = "whole number"
    BOOLEAN = "true or false"
    WORD = "one word of a list"
    SYNCHRONOUS = "quorum, on or off"
    VERIFY = "none, optional or required"
    LEVELS = "section of names and levels"
    FIELDS = "section of names and values"
    HEADERS = "section of headers and values"
    HOSTS = "list of addresses, networks (CIDR) and names"
    ADDRESS = "host:port"
    ADDRESSES = "list of host:port"
    BIND = "host:port or *:port"
    LISTEN = "hosts, comma separated, and :port"
    LINES = "list of lines"
    PARAMETERS = "section of PostgreSQL parameters"
    INITDB = "list of initdb options"
    DURATION = "seconds, or a number with ms, s, min, h or d"
    SLOTS = "section of slots by name, each a section of type, database and plugin"
    SLOT_MATCHERS = "list of sections of name, type, database and plugin"
    BASEBACKUP = "list of pg_basebackup options"
    COMMAND = "command line"
    FORMAT = "number of the format"


LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

TEXTUAL: Final = frozenset(
    {
        *(Kind.TEXT, Kind.SECRET, Kind.NAME, Kind.PATH, Kind.WORD, Kind.COMMAND),
        *(Kind.ADDRESS, Kind.BIND, Kind.LISTEN),
    }
)
"""Kinds whose value in an environment variable is taken as it stands, unless it is quoted."""


class Reload(StrEnum):
    """What it takes for a changed option to act."""

    LIVE = "at once, on every member"
    RELOAD = "on reload (SIGHUP)"
    AGENT_RESTART = "restart of the agent"
    BOOTSTRAP = "read only when the cluster is created"
    COMMAND = "with the next command"


class Option(Struct, frozen=True, kw_only=True):
    """One option. `default` is as people read it; `minimum` and `maximum` are inclusive."""

    path: str
    kind: Kind
    doc: str
    reload: Reload
    default: str = ""
    required: bool = False
    minimum: float | None = None
    maximum: float | None = None
    words: tuple[str, ...] = ()


class Schema(Struct, frozen=True, kw_only=True):
    """The options by path, what is known of other keys, and sections that take any key. Sections of
    programs that fill a data directory are read where it `takes_methods`."""

    options: Mapping[str, Option]
    foreign: Mapping[str, Foreign]
    open_sections: frozenset[str] = frozenset()
    takes_methods: bool = False
    sections: frozenset[str] = field(default=frozenset())


DYNAMIC_PREFIX: Final = "bootstrap.dcs."

_HOUR: Final = 3600.0


def _seconds(path: str, minimum: float, default: str, doc: str, maximum: float = _HOUR) -> Option:
    return Option(
        path=path,
        kind=Kind.SECONDS,
        minimum=minimum,
        maximum=maximum,
        default=default,
        doc=doc,
        reload=Reload.LIVE,
    )


DYNAMIC_OPTIONS: Final[tuple[Option, ...]] = (
    Option(
        path="format_version",
        kind=Kind.FORMAT,
        minimum=1,
        maximum=1,
        default="1",
        doc="The format of the stored document. raftha writes it; nobody needs to.",
        reload=Reload.LIVE,
    ),
    Option(
        path="profile",
        kind=Kind.WORD,
        words=("fast", "lan", "slow", "wan"),
        default="lan",
        doc="A preset for every timing that is not given, and for the timers of the Raft group."
        " `fast` suits quiet machines on one switch (ttl 2), `lan` is the default (ttl 5), `slow`"
        " suits shared or slow disks (ttl 10), `wan` suits distant sites (ttl 30)."
        " The timers of the Raft group follow at the next start of each agent, one after the other;"
        " `raftha status` names the nodes that still run by others. A ttl that is too short for the"
        " timers of the node that is asked is refused.",
        reload=Reload.AGENT_RESTART,
    ),
    _seconds(
        "ttl",
        2,
        "5, or as the profile says",
        "How long the leader key lives without a renewal. A lost machine is replaced about this"
        " long after its last renewal. Machines that are snapshotted or migrated want 15 to 30.",
    ),
    _seconds(
        "heartbeat",
        0.2,
        "ttl / 5, less where retry_timeout leaves less",
        "How often the primary renews the leader key.",
    ),
    _seconds(
        "loop_wait",
        0.2,
        "1, in profile wan 10",
        "The longest time between two looks at the cluster when nothing happens.",
    ),
    _seconds(
        "retry_timeout",
        0.2,
        "ttl / 4, in profile wan ttl / 3",
        "How long one operation of the key store may take before it is given up.",
    ),
    _seconds(
        "fence_budget",
        0.2,
        "0.5, in profile fast 0.3",
        "How long it may take to stop every process of PostgreSQL when the lease runs out; the"
        " fence starts this long before the end.",
    ),
    _seconds(
        "primary_health_timeout",
        1,
        "ttl / 2",
        "How long the primary may fail its health probe before its lease is no longer renewed.",
    ),
    _seconds(
        "primary_start_timeout",
        0,
        "300",
        "How long a crashed primary may take to start before a standby takes over. 0 means that"
        " a standby takes over at once.",
        maximum=86400,
    ),
    _seconds(
        "primary_stop_timeout",
        0,
        "0",
        "How long a stop of the primary in good order may take, with `before_stop`, until it is"
        " stopped at once. It counts in a synchronous mode alone, where a standby holds all that"
        " was acknowledged. Whatever it is, a server that does not answer for"
        " `primary_health_timeout` is not waited for longer than its lease lasts, nor any longer"
        " than 60 s where 0 stands here. A switchover or failover that comes to this is given up,"
        " and the server starts where it was.",
        maximum=86400,
    ),
    Option(
        path="maximum_lag_on_failover",
        kind=Kind.INTEGER,
        minimum=0,
        maximum=2**63 - 1,
        default="1048576",
        doc="How many bytes a standby may be behind and still be promoted.",
        reload=Reload.LIVE,
    ),
    Option(
        path="synchronous_mode",
        kind=Kind.SYNCHRONOUS,
        default="quorum",
        doc="With `on` commits wait for named standbys, which alone may be promoted; with `quorum`"
        " for any of all the standbys, and the one that holds the most is promoted. An automatic"
        " failover loses no acknowledged commit with either. With `off` it may lose the last"
        " transactions.",
        reload=Reload.LIVE,
    ),
    Option(
        path="synchronous_mode_strict",
        kind=Kind.BOOLEAN,
        default="false",
        doc="With `true` commits wait where no synchronous standby is left, for as long as it"
        " takes. With `false` the primary then goes on alone, and no standby is promoted"
        " automatically.",
        reload=Reload.LIVE,
    ),
    Option(
        path="synchronous_node_count",
        kind=Kind.INTEGER,
        minimum=1,
        maximum=9,
        default="1",
        doc="How many standbys must have a commit before it is acknowledged; all of them where"
        " there are fewer.",
        reload=Reload.LIVE,
    ),
    Option(
        path="maximum_lag_on_syncnode",
        kind=Kind.INTEGER,
        minimum=-1,
        maximum=2**63 - 1,
        default="-1",
        doc="How many bytes a synchronous standby may be behind before one that is not takes its"
        " place. -1 and 0 mean any number.",
        reload=Reload.LIVE,
    ),
    Option(
        path="pause",
        kind=Kind.BOOLEAN,
        default="false",
        doc="The maintenance pause: nobody is promoted, restarted or stopped by itself, and"
        " PostgreSQL runs on without its agent. Set by `raftha pause`, ended by `raftha resume`.",
        reload=Reload.LIVE,
    ),
    Option(
        path="member_slots_ttl",
        kind=Kind.DURATION,
        minimum=0,
        maximum=365 * 86400,
        default="1800",
        doc="How long the replication slot of a member is kept once the member is not in touch any"
        " more. With 0 it is dropped after a ttl.",
        reload=Reload.LIVE,
    ),
    Option(
        path="slots",
        kind=Kind.SLOTS,
        default="none",
        doc="Replication slots that are made on the primary and outlive a switchover or failover,"
        " by name: `type` is `physical` (the default) or `logical`, and a logical slot has a"
        " `database` and a `plugin` as well. A slot that is taken out of this section is dropped if"
        " raftha made it.",
        reload=Reload.LIVE,
    ),
    Option(
        path="ignore_slots",
        kind=Kind.SLOT_MATCHERS,
        default="none",
        doc="Replication slots that raftha never drops, made anew or not: those that have all"
        " properties of one entry. Slots that raftha did not make need no entry.",
        reload=Reload.LIVE,
    ),
    Option(
        path="postgresql.use_slots",
        kind=Kind.BOOLEAN,
        default="true",
        doc="Keep a replication slot for each standby, so that its WAL is not removed too early.",
        reload=Reload.LIVE,
    ),
    Option(
        path="postgresql.use_pg_rewind",
        kind=Kind.BOOLEAN,
        default="true",
        doc="Let a former primary rejoin by pg_rewind where that is possible.",
        reload=Reload.LIVE,
    ),
    Option(
        path="postgresql.parameters",
        kind=Kind.PARAMETERS,
        default="none",
        doc="Parameters of PostgreSQL for every member. Those that need a restart are shown as"
        " pending until it is done.",
        reload=Reload.LIVE,
    ),
    Option(
        path="postgresql.recovery_conf",
        kind=Kind.PARAMETERS,
        default="none",
        doc="Accepted as Patroni has it: another place for `parameters` of recovery, such as"
        " `restore_command`; the same name under `parameters` wins.",
        reload=Reload.LIVE,
    ),
    Option(
        path="postgresql.pg_hba",
        kind=Kind.LINES,
        default="none",
        doc="Lines of pg_hba.conf for every member.",
        reload=Reload.LIVE,
    ),
    Option(
        path="postgresql.pg_ident",
        kind=Kind.LINES,
        default="none",
        doc="Lines of pg_ident.conf for every member.",
        reload=Reload.LIVE,
    ),
)


def _sections(paths: Mapping[str, Option]) -> frozenset[str]:
    return frozenset(
        ".".join(parts[:count])
        for parts in (path.split(".") for path in paths)
        for count in range(1, len(parts))
    )


def schema(
    options: tuple[Option, ...],
    foreign: Mapping[str, Foreign],
    open_sections: frozenset[str] = frozenset(),
    *,
    takes_methods: bool = False,
) -> Schema:
    """The tables of one document."""
    by_path = {option.path: option for option in options}
    return Schema(
        options=by_path,
        foreign=foreign,
        open_sections=open_sections,
        takes_methods=takes_methods,
        sections=_sections(by_path),
    )


def embedded(options: tuple[Option, ...]) -> tuple[Option, ...]:
    """The dynamic options as they appear in a node's file, below `bootstrap.dcs`."""
    return tuple(
        replace(option, path=DYNAMIC_PREFIX + option.path, reload=Reload.BOOTSTRAP)
        for option in options
    )


def embedded_foreign() -> Mapping[str, Foreign]:
    """What is known of other keys in a node's file, those below `bootstrap.dcs` included."""
    below = {DYNAMIC_PREFIX + path: answer for path, answer in DYNAMIC_FOREIGN.items()}
    return {**NODE_FOREIGN, **below}


DYNAMIC_SCHEMA: Final = schema(DYNAMIC_OPTIONS, DYNAMIC_FOREIGN)
