"""How two sets that cannot change at once are moved safely: who may be promoted, in the store, and
whom commits wait for, in the setting of the server. PURE.

A commit is acknowledged once `count` of the standbys in the setting hold it. One of the standbys in
the store is promoted once it has heard `heard` of them, itself included, and none of these holds
more than it. So nothing is lost as long as any `count` of the one and any `heard` of the other have
a standby in common, and that holds as long as the two numbers are more than all standbys together:
`meets`. The leader that the store names holds everything by itself and is in neither set.

A setting that was written may come into force at any later moment, until that is proved. So a
setting is written only if it meets the store, and the store only as one of

- *implied*: whoever could be promoted by the new one could be by the old one;
- *proved*: the setting is known to be the only one in force, the new store meets it, and of any
  `heard` of its standbys one has all that was acknowledged before.

So the store gives way first where the setting asks less of commits, and follows where it asks more.
"""

from __future__ import annotations

from collections.abc import Set

from msgspec import Struct

from raftha.model.ids import MemberName


class Waits(Struct, frozen=True):
    """What a setting asks of a commit: the answers of any `count` of `names`. A commit that waits
    for more than there are is never acknowledged."""

    count: int
    names: frozenset[MemberName]

    @property
    def never_ends(self) -> bool:
        return self.count > len(self.names)


class Promotable(Struct, frozen=True):
    """Whom the store lets be promoted beside the leader: one of `names` that has heard `heard` of
    them, itself included, of which none holds more than it. `heard` is 0 where there is nobody."""

    names: frozenset[MemberName]
    heard: int


NO_STANDBY = Promotable(frozenset(), 0)
"""Nobody but the leader may be promoted."""


class SetNames(Struct, frozen=True):
    """Write this setting."""

    waits: Waits


class StoreSet(Struct, frozen=True):
    """Write this into the store."""

    promotable: Promotable


class Prove(Struct, frozen=True):
    """Show that the setting is in force, and what each standby holds of what was acknowledged
    before."""


Step = SetNames | StoreSet | Prove | None
"""None: all is as it should be, or standbys are still to receive what was acknowledged before."""


def meets(waits: Waits, stored: Promotable) -> bool:
    """Every set of standbys that can acknowledge a commit has one in common with every set that can
    promote."""
    if not stored.names or waits.never_ends:
        return True
    return waits.count + stored.heard > len(waits.names | stored.names)


def is_implied(new: Promotable, old: Promotable) -> bool:
    """Among any that `new` has a candidate hear are as many of the `old` ones as these need."""
    if not new.names:
        return True
    return bool(old.names) and new.heard - len(new.names - old.names) >= old.heard


def goal(waits: Waits) -> Promotable:
    """The most that the store may promise while a setting is in force."""
    if waits.count == 0 or waits.never_ends:
        return NO_STANDBY
    return Promotable(waits.names, len(waits.names) - waits.count + 1)


def weakened(stored: Promotable, waits: Waits) -> Promotable:
    """What is implied by the store and meets this setting: with those that both name, or with all
    that the setting names, or with nobody."""
    need = goal(waits).heard
    kept = stored.names & waits.names
    added = waits.names - stored.names
    for tried in (
        Promotable(kept, max(stored.heard, need)),
        Promotable(waits.names, max(stored.heard + len(added), need)),
    ):
        is_possible = need > 0 and stored.names and tried.heard <= len(tried.names)
        if is_possible and meets(waits, tried):
            return tried
    return NO_STANDBY


def next_step(
    stored: Promotable, setting: Waits | None, wanted: Waits, holders: Set[MemberName] | None
) -> Step:
    """One step from what is stored and set towards what is wanted.

    `setting` is the one that the server shows, None if it is none of ours. `holders` are the
    standbys that hold what was acknowledged before that setting was proved to be the only one in
    force; None while it is not proved.
    """
    if stored.names and setting is None:
        return StoreSet(NO_STANDBY)
    if setting is not None and not meets(setting, stored):
        return StoreSet(weakened(stored, setting))
    if setting != wanted:
        is_safe = meets(wanted, stored)
        return SetNames(wanted) if is_safe else StoreSet(weakened(stored, wanted))
    aim = goal(wanted)
    if aim == stored:
        return None
    if is_implied(aim, stored):
        return StoreSet(aim)
    if holders is None:
        return Prove()
    return StoreSet(aim) if len(aim.names - holders) < aim.heard else None
