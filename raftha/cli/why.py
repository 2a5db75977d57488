"""`raftha why`, and the events of `raftha history --events`: from what the nodes recorded.

Times of day are of the node that tells, so that lines of two nodes may stand in the wrong order by
as much as their clocks differ.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import click
import msgspec

from raftha.api.client import ApiError
from raftha.cli import discover
from raftha.cli.asking import ask_all
from raftha.cli.discover import Contact, NobodyAnswers
from raftha.cli.exits import Exit
from raftha.cli.handing import complain
from raftha.cli.render import member_line
from raftha.errors import RafthaError
from raftha.model.cluster import HistoryRecord
from raftha.model.happening import Chapter, Happening
from raftha.model.report import ClusterReport, MemberReport, PeerReport, ReportedRole

ALL: Final = 600
"""As many events as a node gives."""

SHOWN: Final = 20
"""Events of a node that was asked about."""


class BadTime(RafthaError):
    """A time on the command line cannot be read."""


def moment(text: str, now: datetime) -> datetime:
    """A time of day in UTC, the last one that has passed, or a date and time with its zone, in UTC
    where it has none. Raises BadTime."""
    try:
        if "-" not in text:
            clock = datetime.strptime(text, "%H:%M:%S" if text.count(":") == 2 else "%H:%M")
            found = now.replace(
                hour=clock.hour, minute=clock.minute, second=clock.second, microsecond=0
            )
            return found if found <= now else found - timedelta(days=1)
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadTime(
            f"{text!r} is no time: write 03:12 (UTC), or 2030-01-31T03:12:00+02:00"
        ) from error
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found


def why(contact: Contact, name: str | None, output: str) -> Exit:
    """Say why the leader leads and the others do not; of one node with what it did last."""
    try:
        report = discover.find(contact).report
    except NobodyAnswers as error:
        complain(str(error))
        return Exit.UNREACHABLE
    members = [m for m in report.members if name in (None, m.name)]
    if not members:
        there = ", ".join(sorted(m.name for m in report.members))
        complain(f"there is no node {name}; there are: {there}")
        return Exit.REFUSED
    peers = ask_all(contact, members, lambda client: client.peer())
    chapters = ask_all(contact, report.members, lambda client: client.events(ALL))
    events = _merged(chapters.values())
    answers = [_answer(report, member, peers[member.name], events) for member in members]
    if name is not None:
        answers[0]["events"] = [e for e in events if e.node == name][-SHOWN:]
    if output == "json":
        _print_json({"cluster": report.scope, "leader": report.leader, "nodes": answers})
    else:
        _print_answers(report, answers)
    _complain_of(chapters)
    return Exit.DONE


def around(contact: Contact, at: datetime, seconds: float, output: str) -> Exit:
    """Print what the store and the nodes recorded at that time, and so many seconds around it."""
    return _print_events(
        contact, output, lambda wall: abs(wall - at.timestamp()) <= seconds, count=ALL * 9
    )


def events(contact: Contact, count: int, output: str) -> Exit:
    """Print the latest events of all nodes."""
    return _print_events(contact, output, lambda _wall: True, count)


def _print_events(
    contact: Contact, output: str, is_wanted: Callable[[float], bool], count: int
) -> Exit:
    try:
        report = discover.find(contact).report
    except NobodyAnswers as error:
        complain(str(error))
        return Exit.UNREACHABLE
    chapters = ask_all(contact, report.members, lambda client: client.events(ALL))
    found = [e for e in _merged(chapters.values()) if is_wanted(e.wall)][-count:]
    records = [r for r in report.history if count > ALL and is_wanted(r.wall)]
    if output == "json":
        _print_json({"promotions": [_record(r) for r in records], "events": found})
    else:
        for record in records:
            click.echo(f"{stamp(record.wall)} {_promotion(record)}")
        for each in found:
            click.echo(line(each))
        if not found and not records:
            click.echo("nothing was recorded then, or it is not kept any more")
    _complain_of(chapters)
    return Exit.DONE


def stamp(wall: float) -> str:
    """A time of day as the log writes it."""
    return datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def line(event: Happening) -> str:
    """An event on one line."""
    facts = " ".join(f"{key}={_quoted(value)}" for key, value in event.facts.items())
    rule = f" [{event.rule}]" if event.rule else ""
    words = event.words if event.words.isprintable() else json.dumps(event.words)
    return f"{stamp(event.wall)} {event.node} {event.kind}: {words}{rule} {facts}".rstrip()


def _quoted(text: str) -> str:
    return text if text and " " not in text and text.isprintable() else json.dumps(text)


def _answer(
    report: ClusterReport,
    member: MemberReport,
    peer: PeerReport | ApiError,
    events: Sequence[Happening],
) -> dict[str, Any]:
    """What is known of one node. `because` is a list of sentences, the first the most telling."""
    is_leader = report.leader == member.name
    found: dict[str, Any] = {
        "name": member.name,
        "state": member_line(member),
        "leads": is_leader,
    }
    if is_leader:
        found["because"] = _why_leader(report, member.name, events)
    elif isinstance(peer, ApiError):
        found["because"] = [f"it does not answer, so it cannot take over: {peer}"]
    else:
        found["because"] = _why_not(report, member, peer)
    if isinstance(peer, PeerReport):
        found |= {"rule": peer.rule, "reason": peer.reason}
    return found


def _why_leader(report: ClusterReport, name: str, events: Sequence[Happening]) -> list[str]:
    """The record of its promotion, what the former leader left, and how long it took."""
    promotions = [record for record in report.history if record.is_promotion]
    if not promotions or promotions[-1].leader != name:
        return ["it holds the leader key, and the history has no promotion of it yet"]
    record = promotions[-1]
    found = [f"{_promotion(record)}, at {stamp(record.wall)}"]
    before = [promotions[-2].end] if len(promotions) > 1 else []
    found += filter(None, (*before, *record.restarts, record.end))
    since = [e for e in events if e.node == name and e.wall >= record.wall - 60]
    found += [f"{e.rule}: {e.words}" for e in since if e.rule.startswith("elect")][-1:]
    return found


def _why_not(report: ClusterReport, member: MemberReport, peer: PeerReport) -> list[str]:
    if member.role is ReportedRole.WITNESS:
        return ["it is a witness: it votes, and has no PostgreSQL to promote"]
    obstacle = peer.obstacle or peer.lacking
    if obstacle is not None:
        return [f"it is no candidate: {obstacle}"]
    if report.leader is None:
        return ["nothing stands against it: it takes over once the others have answered"]
    where = "" if peer.position is None else f" (its WAL goes to {peer.position})"
    return [f"it could take over{where}, and {report.leader} holds the leader key"]


def _promotion(record: HistoryRecord) -> str:
    begun = "initialised" if record.switch is None else f"took over at {record.switch}"
    what = f"{record.leader} {begun}, timeline {record.timeline}"
    parts = (what, record.reason, record.gap, record.loss)
    return "; ".join(filter(None, parts))


def _record(record: HistoryRecord) -> dict[str, Any]:
    return {
        "time": stamp(record.wall),
        "timeline": record.timeline,
        "leader": record.leader,
        "position": None if record.switch is None else str(record.switch),
        "reason": record.reason,
        "gap_seconds": record.gap_seconds,
        "lost_bytes": record.lost_bytes,
        "restarts": record.restarts,
        "end": record.end,
    }


def _merged(chapters: Iterable[Chapter | ApiError]) -> list[Happening]:
    told = [e for chapter in chapters if isinstance(chapter, Chapter) for e in chapter.events]
    return sorted(told, key=lambda event: event.wall)


def _complain_of(chapters: Mapping[str, Chapter | ApiError]) -> None:
    for name, chapter in chapters.items():
        if isinstance(chapter, ApiError):
            complain(f"{name} is not heard, and its events are missing here: {chapter}")


def _print_answers(report: ClusterReport, answers: Sequence[Mapping[str, Any]]) -> None:
    lead = f"{report.leader} leads" if report.leader else "nobody leads"
    click.echo(f"cluster {report.scope}: {lead}")
    for answer in sorted(answers, key=lambda each: not each["leads"]):
        click.echo(f"\n{answer['state']}")
        for words in answer["because"]:
            click.echo(f"  {words}")
        if answer.get("reason"):
            rule = f" [{answer['rule']}]" if answer.get("rule") else ""
            click.echo(f"  now: {answer['reason']}{rule}")
        if answer.get("events"):
            click.echo("\nwhat it did last")
        for event in answer.get("events", ()):
            click.echo(f"  {line(event)}")


def _print_json(document: Mapping[str, Any]) -> None:
    click.echo(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())
