"""What an operator asks of one member's server: a restart where it is, or to be made anew."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from msgspec import Struct

from raftha.instants import Instant, Seconds
from raftha.model.operation import OperationState

WISH_LASTS_S: Final = Seconds(120.0)
"""What could not be begun by then is not wanted any more: nobody expects it an hour later."""

SAME_ROLES: Final = {"primary": ("master", "leader"), "replica": ("standby",)}
"""The roles that a condition may name, each with its other words."""


class WishKind(StrEnum):
    RESTART = "restart"
    REINITIALIZE = "reinitialize"


class ServerWish(Struct, frozen=True, kw_only=True):
    """The latest wish that was taken. It is about the server process that ran then, empty if none
    did: once another one runs there is nothing left of it to do. It lapses at `until`. With
    `from_leader` a copy is taken of the leader, whoever is tagged `clonefrom`."""

    id: str
    kind: WishKind
    process: str
    until: Instant
    from_leader: bool = False


class ServerRequest(Struct, frozen=True, kw_only=True):
    """A wish as it came in, with its conditions: only a member of this role, only a server below
    this release, only if a restart is pending. `name` is whom the asker means.
    `dry_run` wants it judged and not done; `from_leader` is for a new copy alone."""

    kind: WishKind
    name: str | None = None
    role: str | None = None
    postgres_version: str | None = None
    restart_pending: bool = False
    dry_run: bool = False
    from_leader: bool = False


class ServerChange(Struct, frozen=True, kw_only=True):
    """What became of a wish."""

    id: str
    kind: WishKind
    state: OperationState
    message: str


def unreadable(role: str | None, postgres_version: str | None) -> str | None:
    """What is wrong with conditions that no server could meet or fail; None if they can be
    judged."""
    words = [word for one, others in SAME_ROLES.items() for word in (one, *others)]
    if role is not None and role not in words:
        return f"role must be one of {', '.join(words)}, not {role!r}"
    if postgres_version is not None and number_of(postgres_version) is None:
        return f"{postgres_version!r} is no release of PostgreSQL, such as 15.18"
    return None


def number_of(release: str) -> int | None:
    """15.18 as 150018, and 16 as 160000; None for anything else."""
    major, _, minor = release.partition(".")
    if not major.isdecimal() or not (minor or "0").isdecimal():
        return None
    return int(major) * 10000 + int(minor or 0)
