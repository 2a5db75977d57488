"""`raftha uri` and `raftha dsn`: where a client of PostgreSQL connects to.

No password is printed: it belongs into a password file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

import click
from msgspec import Struct

from raftha.api.listing import endpoint
from raftha.cli import discover
from raftha.cli.discover import Contact, NobodyAnswers
from raftha.cli.exits import Exit
from raftha.cli.handing import complain
from raftha.cli.topology import STANDBYS
from raftha.errors import RafthaError
from raftha.ha.halting import WORDS
from raftha.model.cluster import MemberState
from raftha.model.report import ClusterReport, MemberReport, ReportedRole

CONNECT_TIMEOUT_S: Final = 3
"""For each host in turn. Without it a machine that is off, and stands first, holds a client up for
as long as the kernel sends SYNs: two minutes."""

_SESSIONS: Final = {
    "primary": "read-write",
    "leader": "read-write",
    "replica": "prefer-standby",
    "standby": "prefer-standby",
    "any": "any",
}
_LEADERS: Final = ("primary", "leader")
_SYNCHRONOUS: Final = (ReportedRole.SYNC_STANDBY, ReportedRole.QUORUM_STANDBY)


class Target(Struct, frozen=True, kw_only=True):
    """What a connection is for. `role` is a word of the command line."""

    role: str = "primary"
    dbname: str | None = None
    user: str | None = None


class Place(Struct, frozen=True, kw_only=True):
    """A member, and where its PostgreSQL is reached; as this report tells it."""

    report: ClusterReport
    name: str
    host: str
    port: int


class Nobody(RafthaError):
    """No member is what was asked for."""


def uri(contact: Contact, target: Target) -> Exit:
    """Print a libpq URI of all members. It stays the same whoever leads."""
    try:
        report = discover.find(contact).report
        click.echo(_uri(report, target))
    except NobodyAnswers as error:
        complain(str(error))
        return Exit.UNREACHABLE
    except Nobody as error:
        complain(str(error))
        return Exit.REFUSED
    _warn_of_age(report)
    return Exit.DONE


def dsn(contact: Contact, role: str, name: str | None) -> Exit:
    """Print host and port of the member of this name, else of one of this role."""
    place = chosen(contact, role, name)
    if isinstance(place, Exit):
        return place
    click.echo(f"host={place.host} port={place.port}")
    _warn_of_age(place.report)
    return Exit.DONE


def chosen(contact: Contact, role: str, name: str | None) -> Place | Exit:
    """The member of this name, else one of this role; the exit code where there is none, which is
    told."""
    try:
        report = discover.find(contact).report
        member = _of_role(report, role) if name is None else _named(report, name)
        host, port = _endpoint(member)
    except NobodyAnswers as error:
        complain(str(error))
        return Exit.UNREACHABLE
    except Nobody as error:
        complain(str(error))
        return Exit.REFUSED
    return Place(report=report, name=member.name, host=host, port=port)


def _uri(report: ClusterReport, target: Target) -> str:
    members = _servers(report)
    if not members:
        raise Nobody(f"cluster {report.scope} has no member with PostgreSQL yet")
    session = _SESSIONS[target.role]
    if session == "prefer-standby":
        # A host that is not to be read from is asked last, and is still there if it comes to lead.
        members = sorted(members, key=_is_spared)
    hosts = ",".join(_authority(*_endpoint(member)) for member in members)
    user = "" if target.user is None else f"{_encoded(target.user)}@"
    return (
        f"postgresql://{user}{hosts}/{_encoded(target.dbname or '')}"
        f"?target_session_attrs={session}&connect_timeout={CONNECT_TIMEOUT_S}"
    )


def _servers(report: ClusterReport) -> list[MemberReport]:
    members = (m for m in report.members if m.role is not ReportedRole.WITNESS)
    return sorted(members, key=lambda member: member.name)


def _is_spared(member: MemberReport) -> bool:
    return bool(member.tags.get("noloadbalance", False))


def _endpoint(member: MemberReport) -> tuple[str, int]:
    host, port = endpoint(member)
    if not host or port is None:
        raise Nobody(f"the address of {member.name}'s PostgreSQL is not known: {member.address}")
    return host, port


def _authority(host: str, port: int) -> str:
    return f"[{quote(host, safe=':')}]:{port}" if ":" in host else f"{_encoded(host)}:{port}"


def _encoded(text: str) -> str:
    """libpq reads a plus sign as such, so a space is `%20`."""
    return quote(text, safe="")


def _named(report: ClusterReport, name: str) -> MemberReport:
    for member in report.members:
        if member.name == name and member.role is ReportedRole.WITNESS:
            raise Nobody(f"{name} is a witness, without PostgreSQL")
        if member.name == name:
            return member
    there = ", ".join(member.name for member in _servers(report))
    raise Nobody(f"there is no member {name}; there are: {there or 'none'}")


def _of_role(report: ClusterReport, role: str) -> MemberReport:
    """The leader, or the standby that is best to read from: the least behind."""
    if not report.majority:
        raise Nobody(
            f"nobody can say who is {role} now: no node that answers is in touch with a majority; "
            "name a member with -m, and see raftha status"
        )
    if report.stopped_by is not None:
        raise Nobody(f"nobody is {role} now: {WORDS}")
    members = _servers(report)
    leader = next((m for m in members if m.name == report.leader), None)
    if leader is not None and role in (*_LEADERS, "any"):
        return leader
    if role in _LEADERS:
        raise Nobody("there is no leader now: see raftha status, or take a standby with -r")
    standbys = _streaming(members, role)
    if not standbys:
        raise Nobody(f"there is no {role} that streams now: see raftha status")
    return standbys[0]


def _streaming(members: Sequence[MemberReport], role: str) -> list[MemberReport]:
    roles = _SYNCHRONOUS if role == "sync" else STANDBYS
    fitting = [m for m in members if m.role in roles and m.state == MemberState.STREAMING]
    return sorted(fitting, key=_preference)


def _preference(member: MemberReport) -> tuple[bool, float]:
    lag = float("inf") if member.lag_bytes is None else member.lag_bytes
    return _is_spared(member), lag


def _warn_of_age(report: ClusterReport) -> None:
    if report.stopped_by is not None:
        complain(WORDS)
    if not report.majority:
        complain(
            f"no majority: this is what {report.answered_by} last knew, "
            f"{report.age_seconds:.1f} s ago"
        )
