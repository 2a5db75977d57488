"""Whether a node may call itself primary, replica and so on, judged from its last report.

PURE. Every judgement is an *objection*: None means yes, a text says why not. A report is a memory,
and the lease in it ends whether or not the loop still runs; so each judgement looks at `now`, and
nothing here may say yes from a report that is older than the loop would leave it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from msgspec import Struct

from raftha.errors import RafthaError
from raftha.instants import Instant, Seconds, longest, remaining
from raftha.model.cluster import MemberState
from raftha.model.ids import Lsn
from raftha.model.postgres import ServerStatus
from raftha.model.report import IN_ARCHIVE_RECOVERY, NodeReport
from raftha.model.settings import Tags

LEAST_PATIENCE_S: Final = 2.0
"""A loop that is slower than two of its periods is suspect, but never before this many seconds:
a tick may wait a second for a member that does not answer."""

_UP: Final = (MemberState.RUNNING, MemberState.STREAMING, MemberState.PROMOTING)
_UNITS: Final = {"": 1, "B": 1, "KB": 2**10, "MB": 2**20, "GB": 2**30, "TB": 2**40}
_SIZE: Final = re.compile(r"\s*(\d{1,18})\s*([kKMGT]?B)?\s*")


class BadQuery(RafthaError):
    """A parameter of the question cannot be read."""


class Question(Struct, frozen=True, kw_only=True):
    """A health check: the report it is put to, its parameters, and the present instant."""

    report: NodeReport
    query: Mapping[str, str]
    now: Instant

    @property
    def age(self) -> Seconds:
        return longest(self.report.taken, self.now)


Objection = str | None
Check = Callable[[Question], Objection]


def primary(question: Question) -> Objection:
    """Clients may write here."""
    return leader(question) or _not_routed(question)


def leader(question: Question) -> Objection:
    """This node holds the lease at this instant, and its server is a primary."""
    return _not_holder(question) or not_running(question) or _not_primary_server(question)


def standby_leader(question: Question) -> Objection:
    """Never: clusters that follow another cluster do not exist here."""
    return "this is no standby cluster" if not question.report.witness else _witness()


def replica(question: Question) -> Objection:
    """Clients may read here, subject to `lag`, `tag_*` and `replication_state`."""
    return (
        _not_standby(question)
        or _kept_from_clients(question)
        or _other_tags(question)
        or _other_replication_state(question)
        or _behind(question, _asked_lag(question.query), _replayed)
    )


def read_only(question: Question) -> Objection:
    """Clients may read here, be it a primary or a replica."""
    if primary(question) is None:
        return _other_tags(question)
    return replica(question)


def synchronous(question: Question) -> Objection:
    """A standby that holds every acknowledged commit, by itself."""
    return replica(question) or (
        None if question.report.is_sync_standby else "this standby is not synchronous"
    )


def read_only_synchronous(question: Question) -> Objection:
    """The primary, or a synchronous standby."""
    return None if primary(question) is None else synchronous(question)


def quorum(question: Question) -> Objection:
    """A standby among those of which any so many hold every acknowledged commit."""
    return replica(question) or (
        None if question.report.is_quorum_standby else "this standby is not in the quorum"
    )


def read_only_quorum(question: Question) -> Objection:
    """The primary, or a quorum standby."""
    return None if primary(question) is None else quorum(question)


def asynchronous(question: Question) -> Objection:
    """A standby that commits do not wait for."""
    report = question.report
    is_waited_for = report.is_sync_standby or report.is_quorum_standby
    return replica(question) or ("this standby is synchronous" if is_waited_for else None)


def health(question: Question) -> Objection:
    """PostgreSQL runs and answers; on a witness, its loop does."""
    return stale(question) if question.report.witness else not_running(question)


def liveness(question: Question) -> Objection:
    """The loop makes progress: false is a reason to restart the agent, but not in a maintenance
    pause."""
    report = question.report
    if report.paused:
        return None
    limit = report.ttl if report.holds_leader_key else 2 * report.ttl
    if question.age <= limit:
        return None
    return f"the agent's last tick was {question.age:.1f} s ago, the limit is {limit:g} s"


def readiness(question: Question) -> Objection:
    """The primary, or a standby that streams and is close enough, or one that follows an archive
    alone, as its tag `nostream` says; `mode` is apply or write. On a witness: it votes, which takes
    a majority in touch."""
    if question.report.witness:
        alone = "no majority of the voters is in touch"
        return stale(question) or (None if question.report.raft.majority else alone)
    if leader(question) is None:
        return None
    mode = question.query.get("mode", "apply")
    if mode not in ("apply", "write"):
        raise BadQuery(f"mode={mode}: use apply or write")
    limit = _asked_lag(question.query)
    # An archive is behind by its nature, and one that follows it alone is no candidate.
    if limit is None and not question.report.tags.nostream:
        limit = question.report.maximum_lag_on_failover
    measured = _replayed if mode == "apply" else _received
    return _not_standby(question) or _not_streaming(question) or _behind(question, limit, measured)


def stale(question: Question) -> Objection:
    """The report is older than a loop that makes progress would leave it."""
    report = question.report
    limit = min(max(2 * report.loop_wait, LEAST_PATIENCE_S), report.ttl)
    if question.age <= limit:
        return None
    return f"what this node knows is {question.age:.1f} s old, the limit is {limit:g} s"


def not_running(question: Question) -> Objection:
    """PostgreSQL is not up, or has not answered for as long as a lease lasts."""
    report = question.report
    if report.witness:
        return _witness()
    if report.server is None or report.server_answered is None or report.state not in _UP:
        return stale(question) or f"PostgreSQL is not running: {report.state}"
    silence = longest(report.server_answered, question.now)
    if silence > report.ttl:
        return f"PostgreSQL last answered {silence:.1f} s ago"
    return stale(question)


def known_leader_position(report: NodeReport) -> Lsn | None:
    """The newest position of the leader that this node has heard of."""
    known = [lsn for lsn in (report.leader_position, _received(report.server)) if lsn is not None]
    return max(known) if known else None


def tags_document(tags: Tags) -> dict[str, str | int | float | bool]:
    """The tags that say something: the user's own, and ours where they differ from the default."""
    ours: dict[str, str | int | float | bool] = {
        name: True
        for name in ("nofailover", "nosync", "nostream", "noloadbalance", "clonefrom")
        if getattr(tags, name)
    }
    if tags.replicatefrom:
        ours["replicatefrom"] = tags.replicatefrom
    for name in ("failover_priority", "sync_priority"):
        if getattr(tags, name) != 1:
            ours[name] = getattr(tags, name)
    return {**tags.extra, **ours}


def _witness() -> str:
    return "this is a witness: it votes, and holds no PostgreSQL"


def _not_holder(question: Question) -> Objection:
    report = question.report
    if report.witness:
        return _witness()
    if not report.holds_leader_key or report.valid_until is None:
        holder = f"{report.leader} does" if report.leader else "nobody is known to"
        return f"this node does not hold the leader key: {holder}"
    left = remaining(report.valid_until, question.now)
    if left <= 0:
        return f"the lease of this node ended {-left:.1f} s ago"
    return None


def _not_primary_server(question: Question) -> Objection:
    server = question.report.server
    if server is not None and server.is_primary:
        return None
    return "this node holds the leader key, and its server is not promoted yet"


def _not_routed(question: Question) -> Objection:
    if question.report.routed:
        return None
    return "promoted, and its synchronous standbys are not settled yet"


def _not_standby(question: Question) -> Objection:
    server = question.report.server
    return not_running(question) or (
        None if server is not None and server.in_recovery else "this server is not a standby"
    )


def _kept_from_clients(question: Question) -> Objection:
    return "tagged noloadbalance" if question.report.tags.noloadbalance else None


def _other_tags(question: Question) -> Objection:
    ours = tags_document(question.report.tags)
    for key, wanted in question.query.items():
        if not key.startswith("tag_"):
            continue
        name = key.removeprefix("tag_")
        value = ours.get(name)
        text = value if isinstance(value, str) else str(value).lower()
        if value is None or text != wanted:
            return f"tag {name} is {'not set' if value is None else text}, {wanted} is wanted"
    return None


def _other_replication_state(question: Question) -> Objection:
    wanted = question.query.get("replication_state")
    if wanted is None or wanted == replication_state(question.report.server):
        return None
    return f"replication state is not {wanted}"


def _not_streaming(question: Question) -> Objection:
    state = replication_state(question.report.server)
    if state == "streaming" or (question.report.tags.nostream and state == IN_ARCHIVE_RECOVERY):
        return None
    return "this standby does not stream"


def replication_state(server: ServerStatus | None) -> str | None:
    """What a standby's receiver does, such as `streaming`; without one, whether it restores from an
    archive. None where nothing comes in."""
    if server is None or server.is_primary:
        return None
    if server.receiver is not None:
        return server.receiver.status
    return IN_ARCHIVE_RECOVERY if server.restores else None


def _replayed(server: ServerStatus | None) -> Lsn | None:
    return None if server is None else server.replayed


def _received(server: ServerStatus | None) -> Lsn | None:
    if server is None or not server.in_recovery:
        return None
    return server.position


def _asked_lag(query: Mapping[str, str]) -> int | None:
    text = query.get("lag")
    if text is None:
        return None
    match = _SIZE.fullmatch(text)
    if match is None:
        raise BadQuery(f"lag={text}: use bytes, or a number with kB, MB, GB or TB such as 10MB")
    return int(match[1]) * _UNITS[(match[2] or "").upper()]


def _behind(
    question: Question, limit: int | None, measured: Callable[[ServerStatus | None], Lsn | None]
) -> Objection:
    if limit is None:
        return None
    here = measured(question.report.server)
    there = known_leader_position(question.report)
    if here is None or there is None:
        return "its lag cannot be known now"
    lag = here.behind(there)
    return None if lag <= limit else f"it is {lag} bytes behind, {limit} are allowed"
