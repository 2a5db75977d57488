"""How a server is to be configured in each of its roles. PURE.

The cluster's parameters come first, the node's own file overrides them, as in Patroni. In
synchronous mode a standby carries a name that matches nobody, so that a promotion outside this
product could acknowledge nothing; only the rules of `sync.py` put a real name there.
"""

from __future__ import annotations

from typing import Final

from raftha.ha.streams import as_streams, quote_name
from raftha.model.cluster import Cluster, Member
from raftha.model.ids import MemberName
from raftha.model.postgres import ServerPlan, ServerRole, Upstream
from raftha.model.settings import SynchronousMode
from raftha.model.view import Identity

NOBODY: Final = "raftha_nobody"
"""A name that no standby may carry (`config` refuses it)."""


def names_for(standby: MemberName | None) -> str:
    """The setting that waits for this standby, or for nobody."""
    return "" if standby is None else f"1 ({quote_name(standby)})"


def primary_plan(cluster: Cluster, me: Identity, names: str, *, closed: bool = False) -> ServerPlan:
    """A primary whose commits wait for `names`."""
    return _plan(cluster, me, ServerRole.PRIMARY, None, names, closed=closed)


def standby_plan(cluster: Cluster, me: Identity, source: Member | None) -> ServerPlan:
    """A standby of `source`, or one that only replays what it has and serves reads."""
    upstream = None
    if source is not None:
        slot = me.slot if cluster.config.postgresql.use_slots else None
        upstream = Upstream(
            address=source.postgres, slot=slot, application_name=me.stream or me.name
        )
    synchronous = cluster.config.synchronous_mode is not SynchronousMode.OFF
    names = NOBODY if synchronous else ""
    return _plan(cluster, me, ServerRole.STANDBY, upstream, names, closed=False)


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
    # A sender or receiver that hears nothing for a ttl must let go: PostgreSQL's own 60 s would
    # keep commits waiting for a standby that is gone (loss of the last synchronous standby).
    patience = f"{round(cluster.config.ttl * 1000)}ms"
    defaults = {"wal_sender_timeout": patience, "wal_receiver_timeout": patience}
    return ServerPlan(
        role=role,
        upstream=upstream,
        synchronous_standby_names=as_streams(names, cluster),
        parameters={**defaults, **dynamic.parameters, **me.parameters},
        pg_hba=me.pg_hba or dynamic.pg_hba,
        closed=closed,
    )
