"""The status screen as text: what a person needs to see first stands first.

It takes a report and gives text; it must never soften what it was told. Without colour it also
draws no lines, so that a pipe gets plain columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from io import StringIO
from typing import Final

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from raftha.api.routes import iso_time
from raftha.cli.topology import lines, roots
from raftha.ha.scheduling import words_of
from raftha.model.postgres import HeldRows
from raftha.model.report import (
    IN_ARCHIVE_RECOVERY,
    ClusterReport,
    Exposure,
    Level,
    MemberReport,
    ReportedRole,
    VoterReport,
)

PLAIN_WIDTH: Final = 200
"""Columns of what is not shown on a terminal: enough that nothing is folded."""

_WELL: Final = ("running", "streaming", IN_ARCHIVE_RECOVERY)
_STEP: Final = 1024.0


def status(report: ClusterReport, width: int, colour: bool, *, extended: bool = False) -> str:
    """The whole screen, ending with a line break. `extended` adds columns of what waits for a
    restart, of tags where nobody has any, and of connection pools."""
    out = StringIO()
    console = _console(out, width, colour)
    for line in _warning(report):
        console.print(Text(line, style="bold red"))
    for line in _header(report):
        console.print(Text(line))
    console.print()
    rows = [(m.name, m) for m in report.members]
    console.print(_members(rows, framed=colour, plans=_plans(report) if extended else None))
    if report.group:
        console.print()
        console.print(_voters(report, framed=colour))
    for text in _below(report):
        console.print(text)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def topology(report: ClusterReport, width: int, colour: bool) -> str:
    """The members as a tree, each standby below whom it streams from."""
    out = StringIO()
    console = _console(out, width, colour)
    for line in _warning(report):
        console.print(Text(line, style="bold red"))
    console.print(Text(f"cluster {report.scope}; {_leader(report)}"))
    console.print()
    rows = [
        ("  " * (depth - 1) + "+ " * min(depth, 1) + member.name, member)
        for depth, member in lines(roots(report))
    ]
    console.print(_members(rows, framed=colour))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _console(out: StringIO, width: int, colour: bool) -> Console:
    return Console(
        file=out,
        width=width,
        force_terminal=colour,
        color_system="standard" if colour else None,
        highlight=False,
        emoji=False,
    )


def voters_of(report: ClusterReport) -> str:
    """How many have a vote, in words."""
    return "1 voter" if report.voters == 1 else f"{report.voters} voters"


def members(report: ClusterReport, framed: bool) -> str:
    """The nodes of the Raft group, with and without a vote, and the last wishes about them."""
    out = StringIO()
    console = Console(file=out, width=PLAIN_WIDTH, highlight=False, emoji=False)
    for line in _warning(report):
        console.print(Text(line))
    console.print(Text(f"cluster {report.scope}: {voters_of(report)}, {report.quorum} needed"))
    console.print(_nodes(report, framed))
    for change in report.changes:
        words = f"{change.verb} {change.name}: {change.state}: {change.message}"
        console.print(Text(words))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _nodes(report: ClusterReport, framed: bool) -> Table:
    table = _table(framed)
    for heading in ("member", "address", "directory", "role", "standing", "raft"):
        table.add_column(heading, overflow="fold", no_wrap=True)
    for heading in ("behind", "last contact"):
        table.add_column(heading, justify="right", no_wrap=True)
    for node in (*report.group, *report.without_vote):
        table.add_row(
            node.name,
            node.address or "-",
            (node.incarnation or "-")[:8],
            node.kind,
            node.standing.value,
            node.role if node.in_touch else "not in touch",
            "" if node.behind_entries is None else str(node.behind_entries),
            _contact(node, report.answered_by),
        )
    return table


def human_bytes(count: int) -> str:
    """A number of bytes in the largest unit that leaves at least 1, in steps of 1024."""
    if count < _STEP:
        return f"{count} B"
    size = count / _STEP
    for unit in ("kB", "MB", "GB"):
        if size < _STEP:
            return f"{size:.1f} {unit}"
        size /= _STEP
    return f"{size:.1f} TB"


def member_line(member: MemberReport) -> str:
    """A member in one short line."""
    parts = [member.name, member.role.value, member.state]
    lag = _lag(member)
    return "  ".join(part for part in (*parts, f"lag {lag}" if lag else "") if part)


def _warning(report: ClusterReport) -> Iterator[str]:
    if report.majority:
        return
    yield (
        f"NO MAJORITY: no node that answers is in touch with a majority of the {report.voters} "
        "voters."
    )
    yield (
        f"What follows is what {report.answered_by} last knew, {_seconds(report.age_seconds)} ago; "
        "it may be wrong by now."
    )


def _header(report: ClusterReport) -> Iterator[str]:
    yield (
        f"cluster {report.scope}, system {report.system_id or 'unknown'}, "
        f"PostgreSQL {report.postgres_version or 'unknown'}"
    )
    yield _leader(report)
    yield (
        f"raft leader {report.raft_leader or 'unknown'}, term {report.raft_term}, "
        f"commit {report.raft_commit}; "
        f"{voters_of(report)}, {report.voters_connected} in touch, {report.quorum} needed"
    )
    yield _synchronous(report)
    if report.rpo is not None:
        yield _loss(report.rpo)
    if report.stopped_by is not None:
        yield f"STOPPED by an operator at {report.stopped_by}, until raftha start"
    if report.request:
        words = ", ".join(f"{key} {value}" for key, value in report.request.items())
        yield f"operator's request: {words}"
    if report.held:
        yield _held(report.held)
    for scheduled in (report.scheduled_switchover, *report.scheduled_restarts):
        if scheduled is not None and not scheduled.refused:
            yield f"scheduled: {words_of(scheduled)}"


def _synchronous(report: ClusterReport) -> str:
    strict = ", strict" if report.synchronous_mode_strict else ""
    mode, standbys = report.synchronous_mode + strict, ", ".join(report.sync_standbys)
    if report.sync_quorum == 0:
        return f"synchronous mode {mode}; synchronous standbys: {standbys or 'none'}"
    holding = len(report.sync_standbys) - report.sync_quorum
    return (
        f"synchronous mode {mode}; any {holding} of {standbys} hold each commit, "
        f"{report.sync_quorum + 1} of them are heard before one is promoted"
    )


def _loss(rpo: Exposure) -> str:
    if rpo.bytes == 0 and rpo.automatic:
        return "a failover now would lose nothing"
    lost = "nobody tells how much"
    if rpo.bytes == 0:
        lost = "nothing"
    elif rpo.bytes is not None:
        age = "" if not rpo.seconds else f", the last {_seconds(rpo.seconds)}"
        lost = f"{human_bytes(rpo.bytes)}{age} ({rpo.standby} holds the most)"
    if rpo.automatic:
        return f"a failover now would lose: {lost}"
    return f"there would be no automatic failover now; one by hand would lose: {lost}"


def _held(held: Sequence[HeldRows]) -> str:
    """The oldest of each kind."""
    oldest = [
        max((rows for rows in held if rows.catalog is catalog), key=lambda rows: rows.transactions)
        for catalog in sorted({rows.catalog for rows in held})
    ]
    words = [
        f"{rows.transactions} transactions by {rows.slot}"
        + (" (catalogs alone)" if rows.catalog else "")
        for rows in oldest
    ]
    return f"vacuum is held back by slots: {', '.join(words)}"


def _leader(report: ClusterReport) -> str:
    if report.leader is None:
        return "no leader is known"
    if report.lease_remaining_seconds is None:
        return f"leader {report.leader}, on a lease of {report.ttl:g} s"
    return (
        f"leader {report.leader}; {_seconds(report.lease_remaining_seconds)} left of its lease "
        f"of {report.ttl:g} s"
    )


def _table(framed: bool) -> Table:
    return Table(
        box=box.SIMPLE_HEAD if framed else None,
        pad_edge=False,
        show_edge=False,
        padding=(0, 1) if framed else (0, 2, 0, 0),
        collapse_padding=True,
    )


def _voters(report: ClusterReport, framed: bool) -> Table:
    """The Raft group, as the node that answers sees it."""
    table = _table(framed)
    for heading in ("voter", "address", "raft"):
        table.add_column(heading, overflow="fold", no_wrap=True)
    for heading in ("behind", "last contact", "fsync"):
        table.add_column(heading, justify="right", no_wrap=True)
    for voter in report.group:
        behind, fsync = voter.behind_entries, voter.fsync_seconds
        table.add_row(
            Text(voter.name),
            Text(voter.address),
            Text(voter.role if voter.in_touch else "not in touch", style=_red(not voter.in_touch)),
            Text("" if behind is None else str(behind)),
            Text(_contact(voter, report.answered_by)),
            Text("" if fsync is None else f"{fsync * 1000:.1f} ms"),
        )
    return table


def _contact(voter: VoterReport, answered_by: str) -> str:
    if voter.name == answered_by and voter.in_touch:  # a lost voter may have its successor's name
        return "answers"
    seconds = voter.last_contact_seconds
    return "never" if seconds is None else f"{_seconds(seconds)} ago"


def _red(wrong: bool) -> str:
    return "red" if wrong else ""


def _plans(report: ClusterReport) -> dict[str, str]:
    """The restarts that wait for their time, by the member's name."""
    return {
        plan.member: iso_time(plan.due) for plan in report.scheduled_restarts if not plan.refused
    }


def _members(
    rows: Sequence[tuple[str, MemberReport]],
    framed: bool,
    plans: Mapping[str, str] | None = None,
) -> Table:
    """A line for each member, under the name that stands beside it; with `plans` those too, and
    why it waits for a restart."""
    table = _table(framed)
    tagged = plans is not None or any(member.tags for _, member in rows)
    pooled = plans is not None and any(member.proxy_url for _, member in rows)
    for heading in ("member", "address", "role", "state"):
        table.add_column(heading, overflow="fold", no_wrap=heading != "state")
    for heading in ("TL", "received", "replayed", "lag"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("raft", no_wrap=True)
    if tagged:
        table.add_column("tags", overflow="fold")
    if pooled:
        table.add_column("proxy", no_wrap=True)
    if plans is not None:
        table.add_column("pending restart", overflow="fold")
        table.add_column("scheduled restart", overflow="fold")
    table.add_column("seen", justify="right", no_wrap=True)
    for label, member in rows:
        cells = _cells(label, member, tagged)
        if pooled:
            cells.insert(-1, Text(member.proxy_url))
        if plans is not None:
            waits = ", ".join(map(str, member.pending))
            cells[-1:-1] = [Text(waits), Text(plans.get(member.name, ""))]
        table.add_row(*cells)
    return table


def _cells(label: str, member: MemberReport, tagged: bool) -> list[Text]:
    well = member.state in _WELL or member.role is ReportedRole.WITNESS
    cells = [
        Text(label, style="bold" if member.is_leader else ""),
        Text(member.address),
        Text(member.role.value, style="bold green" if member.is_leader else ""),
        Text(member.state, style="" if well else "red"),
        Text("" if member.timeline is None else str(member.timeline)),
        Text("" if member.received is None else str(member.received)),
        Text(str(member.replayed or member.position or "")),
        Text(_lag(member)),
        Text(member.raft_role),
    ]
    if tagged:
        cells.append(Text(", ".join(_tag(key, value) for key, value in member.tags.items())))
    seen = member.last_seen_seconds
    cells.append(Text("never" if seen is None else _seconds(seen)))
    return cells


def _tag(key: str, value: object) -> str:
    return key if value is True else f"{key}={str(value).lower()}"


def _lag(member: MemberReport) -> str:
    if member.role in (ReportedRole.PRIMARY, ReportedRole.WITNESS):
        return ""
    if member.lag_bytes is None:
        return "unknown"
    if member.lag_seconds is None:
        return human_bytes(member.lag_bytes)
    return f"{human_bytes(member.lag_bytes)}, {_seconds(member.lag_seconds)}"


def _below(report: ClusterReport) -> Iterator[Text]:
    notes = [member for member in report.members if member.note]
    if notes:
        yield Text("\nnotes", style="bold")
    for member in notes:
        yield Text(f"  {member.name}: {member.note}")
    for level, style in ((Level.PROBLEM, "red"), (Level.WARNING, "yellow")):
        notices = [notice for notice in report.problems if notice.level is level]
        if notices:
            yield Text(f"\n{level.value}s", style=f"bold {style}")
        for notice in notices:
            yield Text(f"  {notice.subject}: {notice.what}", style=style)
            more = f" [docs/runbook.md#{notice.code}]" if notice.code else ""
            yield Text(f"    to do: {notice.remedy}{more}")


def _seconds(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
