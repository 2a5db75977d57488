"""The settings that the whole cluster shares, as a document and as a typed value. PURE.

The document that is stored holds only what somebody gave, and the number of its format; whatever
follows from that is worked out here each time it is read, so that a later version may derive
better. Nothing here compares a document with the one before it (rule R2 is the lease holder's).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from raftha.config.document import Node, from_plain
from raftha.config.foreign import OLD_NAMES
from raftha.config.managed import parameters_at, warn_managed
from raftha.config.reading import Reading, read
from raftha.config.schema import DYNAMIC_SCHEMA
from raftha.config.slots import dump_matchers, dump_slots
from raftha.errors import ConfigError, Problem
from raftha.instants import RHO, Seconds
from raftha.model.settings import (
    TIMINGS,
    DynamicConfig,
    DynamicPostgres,
    Profile,
    SynchronousMode,
)

FORMAT_VERSION: Final = 1

SHORTEST_HEARTBEAT_S: Final = 0.2


class Preset(Struct, frozen=True):
    """What a profile gives: seconds, and the part of the ttl that one store operation may take."""

    ttl: float
    loop_wait: float
    fence_budget: float
    retry_part: float


PRESETS: Final[Mapping[Profile, Preset]] = {
    Profile.FAST: Preset(2.0, 1.0, 0.3, 1 / 4),
    Profile.LAN: Preset(5.0, 1.0, 0.5, 1 / 4),
    Profile.SLOW: Preset(10.0, 1.0, 0.5, 1 / 4),
    Profile.WAN: Preset(30.0, 10.0, 0.5, 1 / 3),
}


def parse_dynamic(document: object, where: str) -> DynamicConfig:
    """The typed value of a stored or proposed document; `where` names it in messages.

    Raises ConfigError with every problem. Warnings are dropped: they were given when a person
    wrote the document.
    """
    if not isinstance(document, Mapping):
        raise ConfigError([Problem(where, "must be a mapping of keys to values")])
    return read_dynamic(from_plain(document, where))[0]


def read_dynamic(document: Node) -> tuple[DynamicConfig, tuple[Problem, ...]]:
    """As `parse_dynamic`, for a document whose places are known, with the warnings."""
    reading = read(document, DYNAMIC_SCHEMA)
    config = build_dynamic(reading, "")
    if reading.problems:
        raise ConfigError(reading.problems)
    return config, tuple(reading.warnings)


def read_stored(document: object, where: str) -> tuple[DynamicConfig, tuple[Problem, ...]]:
    """What is understood of a stored document, and what is not: a newer version may have written
    more than this one knows. Timings that do not fit together, or of which one is not understood,
    are the defaults.
    """
    if not isinstance(document, Mapping):
        return DynamicConfig(), (Problem(where, "must be a mapping of keys to values"),)
    reading = read(from_plain(document, where), DYNAMIC_SCHEMA)
    strange = tuple(reading.problems)
    config = build_dynamic(reading, "")
    if len(reading.problems) > len(strange) or _is_refused(reading, ""):
        usual = DynamicConfig()
        timings = {name: getattr(usual, name) for name in ("profile", *DERIVED)}
        config = replace(config, **timings)
    return config, tuple(reading.problems)


DERIVED: Final = (
    "heartbeat",
    "primary_health_timeout",
    "retry_timeout",
    "fence_budget",
    "loop_wait",
    "ttl",
)
"""Timings that follow from others where they are not given, each from what stands behind it."""


def dump_dynamic(config: DynamicConfig, given: Collection[str] = ()) -> dict[str, object]:
    """A document for JSON that parsed again gives an equal value. Timings that follow from the
    profile and the ttl are left out, so that they go on following when those are changed; but not
    those that are `given`, which stay what somebody wrote."""
    document = dump_every_setting(config)
    for name in DERIVED:
        if name in given:
            continue
        fewer = {key: value for key, value in document.items() if key != name}
        if _is_read_as(fewer, config):
            document = fewer
    return document


def _is_read_as(document: dict[str, object], config: DynamicConfig) -> bool:
    try:
        return parse_dynamic(document, "settings") == config
    except ConfigError:
        return False


def dump_every_setting(config: DynamicConfig) -> dict[str, object]:
    """A document for JSON that says every setting, also those that follow from others."""
    return {
        "format_version": FORMAT_VERSION,
        "profile": config.profile.value,
        "ttl": config.ttl,
        "heartbeat": config.heartbeat,
        "loop_wait": config.loop_wait,
        "retry_timeout": config.retry_timeout,
        "fence_budget": config.fence_budget,
        "primary_health_timeout": config.primary_health_timeout,
        "primary_start_timeout": config.primary_start_timeout,
        "primary_stop_timeout": config.primary_stop_timeout,
        "maximum_lag_on_failover": config.maximum_lag_on_failover,
        "maximum_lag_on_syncnode": config.maximum_lag_on_syncnode,
        "synchronous_mode": config.synchronous_mode.value,
        "synchronous_mode_strict": config.synchronous_mode_strict,
        "synchronous_node_count": config.synchronous_node_count,
        "pause": config.pause,
        "member_slots_ttl": config.member_slots_ttl,
        "slots": dump_slots(config.slots),
        "ignore_slots": dump_matchers(config.ignore_slots),
        "postgresql": {
            "use_slots": config.postgresql.use_slots,
            "use_pg_rewind": config.postgresql.use_pg_rewind,
            "parameters": dict(config.postgresql.parameters),
            "pg_hba": list(config.postgresql.pg_hba),
            "pg_ident": list(config.postgresql.pg_ident),
        },
    }


def stored_document(given: Mapping[str, object]) -> dict[str, object]:
    """What goes into the store: what was given, without nulls, by the names of today, and the
    number of the format. An old name beside the new one stays, to be refused."""
    document = merge({}, given)
    for old, new in OLD_NAMES.items():
        if old in document and new not in document:
            document[new] = document.pop(old)
    return {**document, "format_version": FORMAT_VERSION}


def merge(document: Mapping[str, object], change: Mapping[str, object]) -> dict[str, object]:
    """The document with the change put over it: sections are merged, null removes a key, any other
    value replaces what was there."""
    merged = dict(document)
    for key, value in change.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, Mapping):
            before = merged.get(key)
            merged[key] = merge(before if isinstance(before, Mapping) else {}, value)
        else:
            merged[key] = value
    return merged


def patch_dynamic(
    document: Mapping[str, object], change: object, where: str
) -> tuple[dict[str, object], DynamicConfig]:
    """The stored document after a `PATCH`, and its typed value. Raises ConfigError."""
    if not isinstance(change, Mapping):
        raise ConfigError([Problem(where, "must be a mapping of keys to values")])
    patched = stored_document(merge(document, change))
    return patched, parse_dynamic(patched, where)


def given_timings(reading: Reading, prefix: str) -> frozenset[str]:
    """The timings below `prefix` that somebody gave, though they may be what would follow."""
    return frozenset(name for name in DERIVED if reading.get(prefix + name, float) is not None)


def build_dynamic(reading: Reading, prefix: str) -> DynamicConfig:
    """The value of the options below `prefix`; adds to the problems of `reading`.

    With problems the result is only good for looking for more of them.
    """
    defaults = DynamicConfig()
    timings = _timings(reading, prefix)
    lag = reading.get(prefix + "maximum_lag_on_failover", int)
    sync_lag = reading.get(prefix + "maximum_lag_on_syncnode", int)
    return DynamicConfig(
        profile=timings.profile,
        ttl=Seconds(timings.ttl),
        heartbeat=Seconds(timings.heartbeat),
        loop_wait=Seconds(timings.loop_wait),
        retry_timeout=Seconds(timings.retry_timeout),
        fence_budget=Seconds(timings.fence_budget),
        primary_health_timeout=Seconds(
            _given(reading, prefix + "primary_health_timeout", timings.ttl / 2)
        ),
        primary_start_timeout=Seconds(
            _given(reading, prefix + "primary_start_timeout", defaults.primary_start_timeout)
        ),
        primary_stop_timeout=Seconds(
            _given(reading, prefix + "primary_stop_timeout", defaults.primary_stop_timeout)
        ),
        maximum_lag_on_failover=defaults.maximum_lag_on_failover if lag is None else lag,
        maximum_lag_on_syncnode=defaults.maximum_lag_on_syncnode if sync_lag is None else sync_lag,
        synchronous_mode=reading.get(prefix + "synchronous_mode", SynchronousMode)
        or defaults.synchronous_mode,
        synchronous_mode_strict=bool(reading.get(prefix + "synchronous_mode_strict", bool)),
        synchronous_node_count=reading.get(prefix + "synchronous_node_count", int)
        or defaults.synchronous_node_count,
        pause=reading.get(prefix + "pause", bool) or defaults.pause,
        member_slots_ttl=Seconds(
            _given(reading, prefix + "member_slots_ttl", defaults.member_slots_ttl)
        ),
        slots=reading.get(prefix + "slots", tuple) or (),
        ignore_slots=reading.get(prefix + "ignore_slots", tuple) or (),
        postgresql=_postgres(reading, prefix + "postgresql.", defaults.postgresql),
    )


def _postgres(reading: Reading, prefix: str, defaults: DynamicPostgres) -> DynamicPostgres:
    slots = reading.get(prefix + "use_slots", bool)
    rewind = reading.get(prefix + "use_pg_rewind", bool)
    for section in ("parameters", "recovery_conf"):
        warn_managed(reading, prefix + section)
    return DynamicPostgres(
        use_slots=defaults.use_slots if slots is None else slots,
        use_pg_rewind=defaults.use_pg_rewind if rewind is None else rewind,
        parameters=parameters_at(reading, prefix),
        pg_hba=reading.get(prefix + "pg_hba", tuple) or (),
        pg_ident=reading.get(prefix + "pg_ident", tuple) or (),
    )


class _Timings(Struct, frozen=True, kw_only=True):
    """The settings that rule R7 ties together, in seconds."""

    profile: Profile
    ttl: float
    heartbeat: float
    loop_wait: float
    retry_timeout: float
    fence_budget: float

    @property
    def room(self) -> float:
        """What a store operation or an election, each tried twice, and a fence leave of a lease."""
        slowest = max(self.retry_timeout, TIMINGS[self.profile].election_max)
        return self.ttl * (1 - RHO) - 2 * slowest - self.fence_budget


def _timings(reading: Reading, prefix: str) -> _Timings:
    profile = Profile(reading.get(prefix + "profile", str) or Profile.LAN)
    preset = PRESETS[profile]
    ttl = _given(reading, prefix + "ttl", preset.ttl)
    timings = _derive(
        profile,
        ttl,
        _given(reading, prefix + "loop_wait", preset.loop_wait),
        _given(reading, prefix + "retry_timeout", ttl * preset.retry_part),
        _given(reading, prefix + "fence_budget", preset.fence_budget),
        reading.get(prefix + "heartbeat", float),
    )
    if not _is_refused(reading, prefix):
        _check_lease(reading, prefix, timings)
    return timings


def _is_refused(reading: Reading, prefix: str) -> bool:
    """One of the timings that have to fit together has a value that is none."""
    names = ("profile", "ttl", "heartbeat", "retry_timeout", "fence_budget")
    return any(
        reading.wrote(prefix + name) and reading.get(prefix + name, object) is None
        for name in names
    )


def _derive(
    profile: Profile,
    ttl: float,
    loop_wait: float,
    retry_timeout: float,
    fence_budget: float,
    heartbeat: float | None,
) -> _Timings:
    """Complete the timings. A heartbeat that is not given is made short enough to fit, where one
    that is long enough does; so Patroni's `loop_wait + 2 * retry_timeout <= ttl` fits too."""
    first = _Timings(
        profile=profile,
        ttl=ttl,
        heartbeat=ttl / 5,
        loop_wait=loop_wait,
        retry_timeout=retry_timeout,
        fence_budget=fence_budget,
    )
    fitting = first.heartbeat if first.heartbeat < first.room else round(0.9 * first.room, 3)
    derived = fitting if fitting >= SHORTEST_HEARTBEAT_S else first.heartbeat
    return _Timings(
        profile=profile,
        ttl=ttl,
        heartbeat=derived if heartbeat is None else heartbeat,
        loop_wait=loop_wait,
        retry_timeout=retry_timeout,
        fence_budget=fence_budget,
    )


def _check_lease(reading: Reading, prefix: str, timings: _Timings) -> None:
    """Rule R7: one lost store operation, or one split vote, must not cost a healthy primary its
    lease."""
    limit = timings.ttl * (1 - RHO)
    election = TIMINGS[timings.profile].election_max
    works = f"for example {_working_combination(timings)}"
    path = prefix + "ttl"
    base = f"heartbeat {timings.heartbeat:g}"
    fence = f"fence_budget {timings.fence_budget:g}"
    if timings.heartbeat + 2 * timings.retry_timeout + timings.fence_budget >= limit:
        reading.refuse(
            path,
            f"is too short: {base} + 2 * retry_timeout {timings.retry_timeout:g} + {fence} must be"
            f" below 0.99 * ttl {timings.ttl:g} = {limit:g}",
            works,
        )
    if timings.heartbeat + 2 * election + timings.fence_budget >= limit:
        reading.refuse(
            path,
            f"is too short for profile {timings.profile}: {base} + 2 * its longest election"
            f" {election:g} + {fence} must be below 0.99 * ttl {timings.ttl:g} = {limit:g}",
            works,
        )


def _working_combination(timings: _Timings) -> str:
    """The shortest ttl, not below the one given, that works with what its profile derives."""
    preset = PRESETS[timings.profile]
    ttl = timings.ttl
    while True:
        tried = _derive(
            timings.profile,
            ttl,
            timings.loop_wait,
            ttl * preset.retry_part,
            preset.fence_budget,
            None,
        )
        if tried.heartbeat < tried.room:
            break
        ttl = math.floor(ttl * 2 + 1) / 2
    return (
        f"ttl {tried.ttl:g}, heartbeat {tried.heartbeat:g},"
        f" retry_timeout {tried.retry_timeout:g}, fence_budget {tried.fence_budget:g}"
    )


def _given(reading: Reading, path: str, default: float) -> float:
    value = reading.get(path, float)
    return default if value is None else value
