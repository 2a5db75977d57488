"""Which stream is which member's: the name that a standby's stream carries, and who is meant. PURE.

PostgreSQL counts connections: whatever streams under a name of `synchronous_standby_names`
acknowledges commits for it. A member's name alone could be carried by another machine, as by one
that was replaced and whose agent died. So a stream is named after the member and the incarnation of
its Raft directory, the member says so in its entry, and the setting names exactly that (R21).

What is decided speaks of members: a status is told in their names, a plan is written in those of
their streams. A stream that is nobody's, or one of two that carry one name, becomes a stranger:
under a name that no member can have it counts for nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

from msgspec.structs import replace

from raftha.model.cluster import Cluster
from raftha.model.ids import MemberName
from raftha.model.postgres import ServerStatus

LONGEST_NAME: Final = 63
"""PostgreSQL cuts an application name after so many bytes."""

OF_ANOTHER: Final = " of another machine"
TWICE: Final = " twice"
"""How strangers are told: a member's name holds no blank."""

_MARK: Final = "@"
"""Between member and incarnation: no name of a member holds it."""

_INCARNATION_LETTERS: Final = 8
_QUOTED: Final = re.compile(r'"((?:[^"]|"")*)"')


def stream_name(name: MemberName, incarnation: str) -> str:
    """How a member's stream is called; by its name alone where there is no incarnation."""
    if not incarnation:
        return name
    mark = _MARK + incarnation[:_INCARNATION_LETTERS]
    return name[: LONGEST_NAME - len(mark)] + mark


def stream_of(cluster: Cluster, name: MemberName) -> str:
    """What a member says that its stream is called. A version that names none has its own name."""
    member = cluster.members.get(name)
    return name if member is None or not member.stream else member.stream


def as_members(server: ServerStatus, cluster: Cluster) -> ServerStatus:
    """A primary's status with the members' names for those of their streams."""
    owners = _owners(cluster)
    counts = Counter(row.application_name.lower() for row in server.attached)

    def told(stream: str) -> str:
        owner = _owner(stream, owners, cluster)
        return owner + TWICE if owner in cluster.members and counts[stream.lower()] > 1 else owner

    attached = tuple(
        replace(row, application_name=told(row.application_name)) for row in server.attached
    )
    names = _renamed(
        server.synchronous_standby_names, lambda stream: _owner(stream, owners, cluster)
    )
    return replace(server, attached=attached, synchronous_standby_names=names)


def as_streams(names: str, cluster: Cluster) -> str:
    """A setting that names members, with those of their streams. What it names otherwise stays, and
    a stranger gets its own name back."""

    def streamed(name: str) -> str:
        if name.endswith(OF_ANOTHER):
            return name.removesuffix(OF_ANOTHER)
        return stream_of(cluster, MemberName(name))

    return _renamed(names, streamed)


def doubled(server: ServerStatus) -> tuple[MemberName, ...]:
    """The members under whose stream's name several streams are attached."""
    found = {row.application_name for row in server.attached}
    return tuple(MemberName(n.removesuffix(TWICE)) for n in sorted(found) if n.endswith(TWICE))


def strangers(server: ServerStatus) -> tuple[str, ...]:
    """The members' names under which somebody else streams."""
    found = sorted({row.application_name for row in server.attached})
    return tuple(name.removesuffix(OF_ANOTHER) for name in found if name.endswith(OF_ANOTHER))


def _owners(cluster: Cluster) -> Mapping[str, MemberName]:
    return {stream_of(cluster, name).lower(): name for name in cluster.members}


def _owner(stream: str, owners: Mapping[str, MemberName], cluster: Cluster) -> str:
    """The member whose stream it is; a stranger's name if it only calls itself like one."""
    owner = owners.get(stream.lower())
    if owner is not None:
        return owner
    members = {name.lower() for name in cluster.members}
    return stream + OF_ANOTHER if stream.lower() in members else stream


def _renamed(names: str, change: Callable[[str], str]) -> str:
    """A setting with each quoted name in it changed."""

    def one(match: re.Match[str]) -> str:
        return quote_name(change(match[1].replace('""', '"')))

    return _QUOTED.sub(one, names)


def quote_name(name: str) -> str:
    """A name as `synchronous_standby_names` takes it: always quoted."""
    return '"' + name.replace('"', '""') + '"'
