"""What an operator wishes of the set of voters, as it stands in the key store. PURE.

A wish is one key for each name, so it outlives whoever took it in: any raft leader goes on with it
(`consensus/steward.py`), and the leader of the cluster clears away what a removed member leaves
behind (`ha/parting.py`). A wish that has ended stays, so that its outcome can be asked for; the
next one for the same name takes its place.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from raftha.model.ids import MemberName, Revision
from raftha.model.store import Entry, Guard, Key, KeyAbsent, KeyAt, Put, Transact, Write

FORMAT: Final = 1
LONGEST_MESSAGE: Final = 1000


class MemberVerb(StrEnum):
    """What is to become of a node."""

    ADD = "add"
    """It holds the log without a vote, and is to get one."""
    REMOVE = "remove"
    """Its vote goes, and everything that the cluster keeps for it."""
    REPLACE = "replace"
    """Another Raft directory, perhaps on another machine, gets the seat of its name."""


class WishState(StrEnum):
    """How far a wish has come; DONE and REFUSED are final."""

    ASKED = "asked"
    UNSEATED = "unseated"
    """Of a removal: the vote is gone, and what else belonged to the node is being cleared away."""
    DONE = "done"
    REFUSED = "refused"


class MemberWish(Struct, frozen=True, kw_only=True):
    """`address` is the Raft address of the seat in question. `barred` is the incarnation that a
    replacement takes the seat from. `released` says that no commit rests on who has the seat now:
    before that the seat is not taken. `revision` is that of the key, 0 before it is written."""

    id: str
    verb: MemberVerb
    name: MemberName
    address: str
    barred: str = ""
    released: bool = True
    state: WishState = WishState.ASKED
    message: str = ""
    revision: Revision = Revision(0)

    @property
    def is_open(self) -> bool:
        """It has not ended yet."""
        return self.state in (WishState.ASKED, WishState.UNSEATED)

    @property
    def unseats(self) -> bool:
        """Whoever has the seat now is to lose it, or has just lost it."""
        return self.is_open and self.verb is not MemberVerb.ADD

    def became(self, state: WishState, message: str) -> MemberWish:
        """The same wish, further on."""
        return replace(self, state=state, message=message[:LONGEST_MESSAGE])


class UnreadableWish(ValueError):
    """A stored wish has a shape that this version does not know."""


_Text = Annotated[str, msgspec.Meta(max_length=2 * LONGEST_MESSAGE)]


class _Document(msgspec.Struct, kw_only=True):
    format_version: int
    id: _Text
    verb: MemberVerb
    address: _Text
    barred: _Text
    released: bool
    state: WishState
    message: _Text


_DECODER: Final = msgspec.json.Decoder(_Document)


def below(scope: str) -> str:
    """What the keys of all wishes begin with."""
    return f"/raftha/{scope}/voters/"


def key_of(scope: str, name: str) -> Key:
    """The key of the wish for this name."""
    return Key(below(scope) + name)


def asking(scope: str, wish: MemberWish, before: MemberWish | None, *guards: Guard) -> Transact:
    """The command that writes a wish in place of the one that was there before, under further
    guards."""
    return Transact((_guard(scope, wish, before), *guards), (writing(scope, wish),))


def answering(scope: str, wish: MemberWish, state: WishState, message: str) -> Transact:
    """The command that says how far a stored wish has come, unless another has taken its place."""
    return asking(scope, wish.became(state, message), wish)


def writing(scope: str, wish: MemberWish) -> Write:
    """The write of a wish, for a command with further ones."""
    document = _Document(
        format_version=FORMAT,
        id=wish.id,
        verb=wish.verb,
        address=wish.address,
        barred=wish.barred,
        released=wish.released,
        state=wish.state,
        message=wish.message,
    )
    return Put(key_of(scope, wish.name), msgspec.json.encode(document))


def read_wish(scope: str, entry: Entry) -> MemberWish:
    """Read what `writing` wrote. Raises UnreadableWish."""
    try:
        document = _DECODER.decode(entry.value)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise UnreadableWish(str(error)) from None
    if document.format_version != FORMAT:
        raise UnreadableWish(f"format version {document.format_version}, known: {FORMAT}")
    return MemberWish(
        id=document.id,
        verb=document.verb,
        name=MemberName(entry.key.removeprefix(below(scope))),
        address=document.address,
        barred=document.barred,
        released=document.released,
        state=document.state,
        message=document.message,
        revision=entry.mod_revision,
    )


def _guard(scope: str, wish: MemberWish, before: MemberWish | None) -> Guard:
    key = key_of(scope, wish.name)
    return KeyAbsent(key) if before is None else KeyAt(key, before.revision)
