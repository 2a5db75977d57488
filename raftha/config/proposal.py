"""What a change would make of the settings that the whole cluster shares, and why it may not. PURE.

A document that was taken may still be refused as a change: what raftha sets itself is passed over
in a file, and told to somebody who asks for it now; and what takes a restart of the agents holds
later than what does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from raftha.config.document import from_plain
from raftha.config.dynamic import (
    dump_every_setting,
    merge,
    parse_dynamic,
    read_dynamic,
    stored_document,
)
from raftha.config.managed import MANAGED_PARAMETERS
from raftha.errors import ConfigError, Problem
from raftha.instants import RHO
from raftha.model.settings import TIMINGS, DynamicConfig, Profile, SynchronousMode

PARAMETERS: Final = "postgresql.parameters"


class Proposal(Struct, frozen=True, kw_only=True):
    """Settings that may be written, as far as can be said without a server: the document, its
    value, what is to be said of it, the paths of the settings that differ from those before, and
    those of PostgreSQL's parameters that are new or have another value."""

    document: Mapping[str, Any]
    config: DynamicConfig
    warnings: tuple[Problem, ...]
    changed: tuple[str, ...]
    parameters: Mapping[str, str]

    def touches(self, path: str) -> bool:
        """A setting at or below this path differs from before."""
        return any(each == path or each.startswith(f"{path}.") for each in self.changed)


def propose(
    before: Mapping[str, Any], change: object, *, replaces: bool, timers: Profile, where: str
) -> Proposal:
    """The settings after a change, which is merged into those before (null removes a key), or
    replaces them. `timers` is the profile that the Raft group's timers run by. Raises ConfigError
    with every problem; `where` names the document in messages."""
    if not isinstance(change, Mapping):
        raise ConfigError([Problem(where, "must be a mapping of keys to values")])
    after = stored_document(change if replaces else merge(before, change))
    config, warnings = read_dynamic(from_plain(after, where))
    problems = newly_managed(before, after, where)
    if _lease_of(before) != _lease(config):
        problems += _of_timers(config, timers, where)
    if problems:
        raise ConfigError(problems)
    given = _parameters(before)
    return Proposal(
        document=after,
        config=config,
        warnings=warnings,
        changed=_changed(before, after),
        parameters={
            name: value
            for name, value in config.postgresql.parameters.items()
            if name not in given or given[name] != _parameters(after)[name]
        },
    )


def differences(
    before: DynamicConfig, after: DynamicConfig
) -> tuple[tuple[str, object, object], ...]:
    """The settings whose value changes, each with its value before and after: those that were
    given, and those that follow from them. Sections are passed over."""
    old, new = dump_every_setting(before), dump_every_setting(after)
    return tuple(
        (name, old[name], new[name])
        for name in old
        if old[name] != new[name] and not isinstance(old[name], Mapping)
    )


def consequences(before: DynamicConfig, after: DynamicConfig) -> tuple[str, ...]:
    """What an operator should know before such a change is made, in sentences."""
    found = []
    if after.pause and not before.pause:
        found.append("the maintenance pause begins: nobody takes over by itself until it ends")
    if _waits(before) and not _waits(after):
        found.append("commits wait for no standby any more: a failover may lose the last of them")
    if after.synchronous_mode_strict and not before.synchronous_mode_strict and _waits(after):
        found.append("commits wait for ever while no synchronous standby is left")
    if before.postgresql.use_slots and not after.postgresql.use_slots:
        found.append("the primary keeps no WAL any more for a standby that is away for long")
    return tuple(found)


def _waits(config: DynamicConfig) -> bool:
    return config.synchronous_mode is not SynchronousMode.OFF


def newly_managed(
    before: Mapping[str, Any], after: Mapping[str, Any], where: str
) -> tuple[Problem, ...]:
    """What is asked for anew although raftha sets it itself, each with the reason."""
    known = _parameters(before)
    return tuple(
        Problem(f"{where}: {PARAMETERS}.{name}", f"raftha sets it: {MANAGED_PARAMETERS[name]}")
        for name in sorted(_parameters(after))
        if name in MANAGED_PARAMETERS and name not in known
    )


def _lease_of(document: Mapping[str, Any]) -> tuple[float, ...] | None:
    """None for settings that this version would not take."""
    try:
        return _lease(parse_dynamic(document, ""))
    except ConfigError:
        return None


def _lease(config: DynamicConfig) -> tuple[float, ...]:
    return (config.ttl, config.heartbeat, config.fence_budget)


def _of_timers(config: DynamicConfig, timers: Profile, where: str) -> tuple[Problem, ...]:
    """Rule R7 once more, for elections as long as they are until the agents restart."""
    election = TIMINGS[timers].election_max
    needed = config.heartbeat + 2 * election + config.fence_budget
    if timers is config.profile or needed < config.ttl * (1 - RHO):
        return ()
    return (
        Problem(
            f"{where}: ttl",
            f"{config.ttl:g} is too short while the agents run with the timers of profile "
            f"{timers}: heartbeat {config.heartbeat:g} + 2 * its longest election {election:g} + "
            f"fence_budget {config.fence_budget:g} must be below 0.99 * ttl",
            f"keep a longer ttl with profile {config.profile}, restart the agents one after the "
            "other, then shorten the ttl",
        ),
    )


def _parameters(document: Mapping[str, Any]) -> Mapping[str, object]:
    """What a document gives for PostgreSQL, as it stands there, by small names."""
    section = document.get("postgresql")
    if not isinstance(section, Mapping):
        return {}
    places = (section.get("recovery_conf"), section.get("parameters"))
    return {
        str(name).lower(): value
        for given in places
        if isinstance(given, Mapping)
        for name, value in given.items()
    }


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    old, new = _flat(before, ""), _flat(after, "")
    return tuple(path for path in sorted({*old, *new}) if old.get(path) != new.get(path))


def _flat(document: Mapping[str, Any], prefix: str) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in document.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{key}.")
        elif value is not None and prefix + key != "format_version":
            found[prefix + key] = value
    return found
