"""The maintenance pause: who may run without a deadline, and what that forbids all others (R16).

Paused, a primary is *disarmed*: its guardian has no deadline, so that PostgreSQL outlives its agent
and the store. Then no lease bounds its life any more, and one thing alone keeps a second primary
away: the committed key `disarmed/<name>`.

- It is written under the epoch of the leader, before the deadline is taken away; so a candidate
  that sees the leader key free sees the entry as well, and each claim of the key names the entries
  of all others as absent.
- It goes only once the deadline stands again or the server is known to be dead, and by the member
  that wrote it; or by an operator who says that the machine is off (`failover --fenced`).
- A write whose outcome is not known may have failed when it disarms, and may have happened when it
  removes: who disarms looks at the entry in the replica, with no removal of it in flight.

What was thought of, each with its test in `tests/unit/ha/test_pausing.py`:

- The removal after a resume is slow, the operator pauses again, the entry still shows: the removal
  names the configuration that it was judged by, and nothing is disarmed while it is in flight.
- The server dies, the removal is slow, another server is started and disarmed by the old entry: an
  entry names its process, and another one writes it anew.
- Another machine has taken the name of the lost one: it finds an entry that is not its own, by the
  nonce of the guardian and by the identity of the Raft directory, and leaves it.
- A restarted agent looks at an old replica: until it holds what was committed before this process
  began, what is missing there proves nothing, and a disarmed primary is left alone.
- An operator declares the machine off and it is not: the entry is gone when its agent hears of the
  others again, and its server is stopped at once.

PURE.
"""

from __future__ import annotations

from typing import Final

from raftha.config.dynamic import patch_dynamic
from raftha.ha.actions import Action, Submit
from raftha.ha.configuring import settings_in, writing
from raftha.ha.keys import Keys, encode_disarmed
from raftha.ha.situation import Situation
from raftha.model.cluster import Cluster, Disarmed
from raftha.model.ids import MemberName, Revision
from raftha.model.report import Notice
from raftha.model.store import Entry, Guard, KeyAbsent, KeyAt, Put, Remove, Transact
from raftha.model.trouble import Trouble
from raftha.model.view import HeldLease

INTENT: Final = "disarmed"


def switching(keys: Keys, entry: Entry, *, paused: bool) -> Transact:
    """The settings with the pause begun or ended, and nothing else of them changed; `entry` is
    their key as it is. Raises ConfigError if it cannot be read."""
    changed, _ = patch_dynamic(settings_in(entry), {"pause": paused or None}, entry.key)
    return writing(keys, entry, changed)


def own_entry(s: Situation) -> Disarmed | None:
    """The entry that speaks of this machine: of the guardian that is here or of one before it, or
    of an agent with this Raft directory. One of this name alone may be of a machine that is gone.
    """
    entry = s.cluster.disarmed.get(s.me)
    if entry is None:
        return None
    here = next((v.incarnation for v in s.view.raft.voters if v.is_self), None)
    guardians = (s.view.guardian.nonce, *s.view.guardian.predecessors)
    guarded = entry.guardian != "" and entry.guardian in guardians
    same_directory = entry.incarnation != "" and entry.incarnation == here
    return entry if guarded or same_directory else None


def others_disarmed(s: Situation) -> tuple[MemberName, ...]:
    """Whose primary may run without a deadline, this machine aside."""
    own = own_entry(s)
    entries = s.cluster.disarmed.values()
    return tuple(sorted(entry.name for entry in entries if entry is not own))


def is_another_machine(s: Situation, name: MemberName) -> bool:
    """The node that has this name now is not the one that the entry of that name is about."""
    entry = s.cluster.disarmed.get(name)
    now = next((v.incarnation for v in s.view.raft.voters if v.name == name), None)
    known = entry is not None and entry.incarnation and now
    return bool(known) and entry is not None and entry.incarnation != now


def covers(s: Situation, entry: Disarmed | None) -> bool:
    """The entry is about the very server that runs here, in the cluster as it is: one that was
    recovered since without this server goes another way."""
    guardian = s.view.guardian
    if entry is None or entry.epoch is None or entry.epoch.generation != s.cluster.generation:
        return False
    return entry.guardian == guardian.nonce and entry.process == guardian.process


def is_armed(s: Situation, lease: HeldLease) -> bool:
    """Both say so: who keeps the lease, and the guardian itself."""
    return lease.armed and s.view.guardian.armed


def entering(s: Situation, lease: HeldLease) -> Action:
    """The write that has to be committed before the deadline goes. Only the leader of this epoch
    writes it, and only while the pause stands that it was judged by."""
    key, known = s.keys.disarmed_of(s.me), s.cluster.disarmed.get(s.me)
    here = next((v.incarnation for v in s.view.raft.voters if v.is_self), None)
    entry = Disarmed(
        name=s.me,
        revision=Revision(0),
        guardian=s.view.guardian.nonce,
        process=s.view.guardian.process,
        incarnation=here or "",
    )
    guards = (
        s.epoch_guard(lease),
        *_same_config(s),
        KeyAbsent(key) if known is None else KeyAt(key, known.revision),
    )
    return Submit(INTENT, Transact(guards, (Put(key, encode_disarmed(entry, lease.epoch)),)))


def leaving(s: Situation) -> tuple[Action, ...]:
    """The removal of the own entry, as soon as it says nothing true any more."""
    entry = own_entry(s)
    if entry is None or INTENT in s.view.pending or not s.view.raft.majority:
        return ()
    here = KeyAt(s.keys.disarmed_of(s.me), entry.revision)
    lease = s.lease
    guards: tuple[Guard, ...]
    if is_verified_down(s):
        guards = (here,)
    elif lease is not None and not s.cluster.paused and s.running and is_armed(s, lease):
        guards = (here, s.epoch_guard(lease), *_same_config(s))
    else:
        return ()
    return (Submit(INTENT, Transact(guards, (Remove(s.keys.disarmed_of(s.me)),))),)


def is_verified_down(s: Situation) -> bool:
    """The guardian knows that no primary of this directory is left; one that does not answer, or
    a server that has not, knows nothing."""
    guardian, server = s.view.guardian, s.server
    if not guardian.alive or guardian.primary:
        return False
    return not guardian.running or (server is not None and not server.is_primary)


def claim_guards(s: Situation) -> tuple[Guard, ...]:
    """What a claim of the leader key names besides: that nobody else is disarmed; and in a pause
    the operator's request that allows it."""
    own = own_entry(s)
    names = {*s.cluster.members, *s.cluster.disarmed, s.me}
    guards: list[Guard] = [
        KeyAbsent(s.keys.disarmed_of(name))
        for name in sorted(names)
        if own is None or name != own.name
    ]
    if own is not None:
        guards.append(KeyAt(s.keys.disarmed_of(own.name), own.revision))
    if s.cluster.paused and s.request is not None and not s.view.guardian.disarmed:
        guards.append(KeyAt(s.keys.failover, s.request.revision))
    return tuple(guards)


def words_for(names: tuple[MemberName, ...]) -> str:
    """Why nobody is promoted, and what to do, in one sentence."""
    who = ", ".join(names)
    return (
        f"{who} may still run a primary without a deadline, from a maintenance pause: start the "
        f"agent there, or, if that machine is off for good: raftha failover --candidate NAME "
        f"--fenced {names[0]}"
    )


def notices_of_pause(cluster: Cluster) -> list[Notice]:
    """The pause itself, and each primary that nobody but its own agent can vouch for."""
    found = []
    if cluster.paused:
        what = (
            "MAINTENANCE PAUSE: nobody is promoted, restarted or stopped by itself, and "
            "PostgreSQL runs on without its agent"
        )
        found.append(
            Notice(code=Trouble.PAUSED, subject="pause", what=what, remedy="raftha resume ends it")
        )
    leader = None if cluster.leader is None else cluster.leader.name
    for name in sorted(cluster.disarmed):
        if name == leader:
            continue
        found.append(
            Notice(
                code=Trouble.DISARMED,
                subject=name,
                what="its primary may run without a deadline, from a maintenance pause, so nobody "
                "else is promoted",
                remedy="start its agent, which settles that; if the machine is off for good: "
                f"raftha failover --candidate NAME --fenced {name}",
            )
        )
    return found


def _same_config(s: Situation) -> tuple[Guard, ...]:
    revision = s.cluster.config_revision
    return () if revision is None else (KeyAt(s.keys.config, revision),)
