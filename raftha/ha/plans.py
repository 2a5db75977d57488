"""How a server is to be configured in each of its roles. PURE.

The cluster's parameters come first, the node's own file overrides them, as in Patroni. In
synchronous mode a standby carries a name that matches nobody, so that a promotion outside this
product could acknowledge nothing; only the rules of `sync.py` put a real name there.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Final

from msgspec.structs import replace

from raftha.ha.quorum import Waits
from raftha.ha.sizes import limits_by, sizes_in, standbys_of
from raftha.ha.streams import as_streams, quote_name
from raftha.model.cluster import Cluster, Member
from raftha.model.ids import MemberName
from raftha.model.postgres import DEFAULT_SIZES, ServerPlan, ServerRole, Upstream
from raftha.model.settings import DynamicConfig, SynchronousMode
from raftha.model.view import Identity

NOBODY: Final = "raftha_nobody"
"""A name that no standby may carry (`config` refuses it)."""

SENDER_SHARE: Final = 0.5
"""The part of the ttl after which a standby that does not answer is let go."""

_SETTING: Final = re.compile(r"(?:ANY )?(\d+) \((\"(?:[^\"]|\"\")+\"(?:, \"(?:[^\"]|\"\")+\")*)\)")
_NAME: Final = re.compile(r"\"((?:[^\"]|\"\")+)\"")


def names_for(*standbys: MemberName) -> str:
    """The setting that waits for all of these standbys, or for nobody."""
    return f"{len(standbys)} ({_listed(standbys)})" if standbys else ""


def names_for_any(count: int, standbys: Collection[MemberName]) -> str:
    """The setting that waits for any `count` of these standbys."""
    return f"ANY {count} ({_listed(standbys)})"


def _listed(standbys: Collection[MemberName]) -> str:
    return ", ".join(map(quote_name, sorted(standbys)))


def setting_of(waits: Waits, mode: SynchronousMode) -> str:
    """How `synchronous_standby_names` says this."""
    if waits.never_ends:
        return NOBODY
    if mode is SynchronousMode.QUORUM and waits.count:
        return names_for_any(waits.count, waits.names)
    return names_for(*waits.names)


def waits_of(setting: str) -> Waits | None:
    """What this setting asks of commits; None if it was not written here."""
    if setting == "":
        return Waits(0, frozenset())
    if setting == NOBODY:
        return Waits(1, frozenset())
    found = _SETTING.fullmatch(setting)
    if found is None:
        return None
    names = frozenset(MemberName(n.replace('""', '"')) for n in _NAME.findall(found[2]))
    count = int(found[1])
    return Waits(count, names) if 0 < count <= len(names) else None


def primary_plan(cluster: Cluster, me: Identity, names: str, *, closed: bool = False) -> ServerPlan:
    """A primary whose commits wait for `names`."""
    plan = _plan(cluster, me, ServerRole.PRIMARY, None, names, closed=closed)
    return replace(plan, birth=birth_of(cluster, me))


def recovery_plan(cluster: Cluster, me: Identity) -> ServerPlan:
    """What a bootstrap has restored, as long as it is recovered."""
    plan = _plan(cluster, me, ServerRole.STANDBY, None, "", closed=True)
    return replace(plan, birth=birth_of(cluster, me), recovers=True)


def standby_plan(cluster: Cluster, me: Identity, source: Member | None) -> ServerPlan:
    """A standby of `source`, which may be tagged to get its WAL by restore_command; or one that
    only replays what it has and serves reads."""
    upstream = None
    if source is not None and not me.tags.nostream:
        slot = me.slot if cluster.config.postgresql.use_slots else None
        upstream = Upstream(
            address=source.postgres, slot=slot, application_name=me.stream or me.name
        )
    synchronous = cluster.config.synchronous_mode is not SynchronousMode.OFF
    names = NOBODY if synchronous else ""
    plan = _plan(cluster, me, ServerRole.STANDBY, upstream, names, closed=False)
    # One that has found nobody to follow yet may still prove to be of no cluster.
    birth = "" if source is None else birth_of(cluster, me)
    return replace(plan, birth=birth, archive_only=me.tags.nostream)


def birth_of(cluster: Cluster, me: Identity) -> str:
    """Which cluster a directory becomes part of here. A cluster is called after the stream of the
    node that brings it in, which bears the random identity of a Raft directory: of all that ever
    had the same data directories none else is called so."""
    initialize = cluster.initialize
    if initialize is None:
        return ""
    return initialize.birth if initialize.system_id is not None else me.stream or me.name


def _plan(
    cluster: Cluster,
    me: Identity,
    role: ServerRole,
    upstream: Upstream | None,
    names: str,
    *,
    closed: bool,
) -> ServerPlan:
    dynamic = cluster.config.postgresql
    # Commits wait for a standby that hangs until its sender lets go (PostgreSQL's own 60 s would be
    # a minute), and then until that was seen, for SYNC_WAIT_S, and for the set to change: less than
    # a ttl in all (R23).
    ttl = cluster.config.ttl
    defaults = {
        "wal_sender_timeout": _milliseconds(ttl * SENDER_SHARE),
        "wal_receiver_timeout": _milliseconds(ttl),
    }
    parameters = {**defaults, **dynamic.parameters, **me.parameters}
    return ServerPlan(
        role=role,
        upstream=upstream,
        synchronous_standby_names=as_streams(names, cluster),
        parameters=parameters,
        pg_hba=me.pg_hba or dynamic.pg_hba,
        pg_ident=me.pg_ident or dynamic.pg_ident,
        closed=closed,
        limits=_limits(cluster, me, parameters) if role is ServerRole.PRIMARY else {},
        logical=_keeps_logical_slots(cluster.config),
        awaited=_awaited(cluster, me, names) if role is ServerRole.PRIMARY else (),
    )


def _limits(cluster: Cluster, me: Identity, parameters: Mapping[str, str]) -> Mapping[str, int]:
    """Those that matter: most standbys come and go without a word in the primary's files."""
    limits = limits_by(standbys_of(cluster, me.name))
    wanted = {**DEFAULT_SIZES, **sizes_in(parameters)}
    return {name: limit for name, limit in limits.items() if wanted[name] > limit}


def _keeps_logical_slots(config: DynamicConfig) -> bool:
    """There are logical slots that are to outlive a failover, or might be by the user's wish."""
    asked = config.postgresql.parameters.get("sync_replication_slots", "off").lower()
    is_asked = asked in ("on", "true", "yes", "1")
    return config.postgresql.use_slots and (
        is_asked or any(slot.is_logical for slot in config.slots)
    )


def _awaited(cluster: Cluster, me: Identity, names: str) -> tuple[str, ...]:
    """The slots of all who may be promoted for what this primary writes: those that commits wait
    for, as they are to be, and as the store has them until then."""
    if not _keeps_logical_slots(cluster.config):
        return ()
    waits, sync = waits_of(names), cluster.sync
    found = set() if waits is None else set(waits.names)
    if sync is not None and sync.leader == me.name:
        found.update(sync.standbys)
    members = cluster.members
    return tuple(sorted(members[name].slot for name in found if name in members))


def _milliseconds(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"
