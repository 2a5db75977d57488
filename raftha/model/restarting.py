"""What an operator asks of one member's server: a restart where it is, or to be made anew."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from msgspec import Struct

from raftha.instants import Instant, Seconds
from raftha.model.operation import OperationState

WISH_LASTS_S: Final = Seconds(120.0)
"""What could not be begun by then is not wanted any more: nobody expects it an hour later."""


class WishKind(StrEnum):
    RESTART = "restart"
    REINITIALIZE = "reinitialize"


class ServerWish(Struct, frozen=True, kw_only=True):
    """The latest wish that was taken. It is about the server process that ran then, empty if none
    did: once another one runs there is nothing left of it to do. It lapses at `until`."""

    id: str
    kind: WishKind
    process: str
    until: Instant


class ServerRequest(Struct, frozen=True, kw_only=True):
    """A wish as it came in, with its conditions: only a member of this role, only a server below
    this release, only if a restart is pending. `name` is whom the asker means.
    `dry_run` wants it judged and not done."""

    kind: WishKind
    name: str | None = None
    role: str | None = None
    postgres_version: str | None = None
    restart_pending: bool = False
    dry_run: bool = False


class ServerChange(Struct, frozen=True, kw_only=True):
    """What became of a wish."""

    id: str
    kind: WishKind
    state: OperationState
    message: str
