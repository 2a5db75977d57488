"""`/cluster` and `/history` in Patroni's form, with all of raftha's own report beside it.

PURE. Patroni's keys keep Patroni's words (`leader`, `replica`, `sync_standby`,
`quorum_standby`); what is ours lies
under `report`, in the words of the screen, and is what peers and the CLI decode.
"""

from __future__ import annotations

from typing import Any, Final

from raftha.api import codec
from raftha.api.routes import iso_time, pending_document, scheduled_document
from raftha.model.cluster import successions
from raftha.model.ids import Lsn
from raftha.model.report import ClusterReport, MemberReport, ReportedRole

_ROLE_WORDS: Final = {
    ReportedRole.SYNC_STANDBY: "sync_standby",
    ReportedRole.QUORUM_STANDBY: "quorum_standby",
    ReportedRole.STANDBY: "replica",
    ReportedRole.WITNESS: "witness",
    ReportedRole.NONE: "replica",
}


def cluster_document(report: ClusterReport) -> dict[str, Any]:
    """What `/cluster` answers."""
    position = next((member.position for member in report.members if member.is_leader), None)
    return {
        "scope": report.scope,
        "members": [_member_document(member, position, report) for member in report.members],
        **_scheduled_switchover(report),
        **({"pause": True} if report.paused else {}),
        **({"stopped": True} if report.stopped_by is not None else {}),
        "majority": report.majority,
        "age_seconds": report.age_seconds,
        "answered_by": report.answered_by,
        "report": codec.document(report),
    }


def endpoint(member: MemberReport) -> tuple[str, int | None]:
    """Host, without brackets, and port of a member's PostgreSQL."""
    host, _, port = member.address.rpartition(":")
    return host.strip("[]"), int(port) if port.isdecimal() else None


def members_document(report: ClusterReport) -> dict[str, Any]:
    """What `/members` answers: who votes, who does not, and the latest change of each name."""
    return {
        "scope": report.scope,
        "answered_by": report.answered_by,
        "majority": report.majority,
        "age_seconds": report.age_seconds,
        "members": [codec.document(node) for node in (*report.group, *report.without_vote)],
        "changes": [codec.document(change) for change in report.changes],
    }


def history_rows(report: ClusterReport) -> list[list[Any]]:
    """What `/history` answers: for each timeline that ended [timeline, position in bytes, reason,
    time of day, new leader], as in Patroni, and after that ours: [old leader, seconds in which
    nobody could write, bytes of WAL left behind], each null where it is not known."""
    return [
        [
            record.parent,
            None if record.switch is None else record.switch.value,
            told.words,
            iso_time(record.wall),
            record.leader,
            told.before,
            record.gap_seconds,
            record.lost_bytes,
        ]
        for told in successions(report.history)
        if (record := told.record).parent is not None
    ]


def _scheduled_switchover(report: ClusterReport) -> dict[str, Any]:
    plan = report.scheduled_switchover
    if plan is None or plan.refused:
        return {}
    to = {} if plan.candidate is None else {"to": plan.candidate}
    return {"scheduled_switchover": {"at": iso_time(plan.due), "from": plan.leader, **to}}


def _member_document(
    member: MemberReport, leader_position: Lsn | None, report: ClusterReport
) -> dict[str, Any]:
    document: dict[str, Any] = {
        "name": member.name,
        "role": _role_word(member),
        "state": member.state,
        "api_url": member.api_url,
    }
    if member.role is not ReportedRole.WITNESS:
        document["host"], document["port"] = endpoint(member)
        document["timeline"] = member.timeline
    if member.proxy_url:
        document["proxy_url"] = member.proxy_url
    document |= pending_document(member.pending)
    if member.agent_pending:
        document["pending_agent_restart"] = list(member.agent_pending)
    for restart in report.scheduled_restarts:
        if restart.member == member.name:
            document |= scheduled_document(restart)
    if member.tags:
        document["tags"] = dict(member.tags)
    if member.is_leader or member.role is ReportedRole.WITNESS:
        return document
    document["lag"] = "unknown" if member.lag_bytes is None else member.lag_bytes
    for word, lsn in (("receive", member.received), ("replay", member.replayed)):
        document[f"{word}_lsn"] = "unknown" if lsn is None else str(lsn)
        document[f"{word}_lag"] = _lag(lsn, leader_position)
    return document


def _lag(here: Lsn | None, there: Lsn | None) -> int | str:
    return "unknown" if here is None or there is None else here.behind(there)


def _role_word(member: MemberReport) -> str:
    if member.is_leader:
        return "leader"
    return _ROLE_WORDS.get(member.role, "replica")
