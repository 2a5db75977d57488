"""What the holder of the leader key does while PostgreSQL is down: start it, or hand over. PURE.

A primary that crashed is restarted where it is, at once, unless that is expected to take longer
than `primary_start_timeout`, or came to nothing, or it keeps crashing, and a standby is ready that
loses nothing. What was chosen, and why, goes into the record of this leader's promotion.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from raftha.ha.actions import AskPeers
from raftha.ha.annals import amended, giving_back, record_of
from raftha.ha.backoff import FREE_STRIKES, pause, strikes
from raftha.ha.keys import LONGEST_REASON
from raftha.ha.parting import is_leaving
from raftha.ha.plans import primary_plan
from raftha.ha.rules.server import start, start_standby
from raftha.ha.situation import Situation
from raftha.ha.standbys import names_at_restart
from raftha.ha.table import Rule, Verdict
from raftha.instants import Seconds, longest
from raftha.model.cluster import HistoryRecord, Member
from raftha.model.ids import MemberName
from raftha.model.view import HeldLease

STARTS_PER_EPOCH: Final = 3
"""Tries to start in place before the lease is given to somebody else."""

REPLAYED_BYTES_PER_S: Final = 16 << 20
"""How fast a crashed server is expected to replay: one file of WAL a second, which is slow."""

HEIR_ASKED_S: Final = 1.0
"""How long a primary that is down waits for what the others say, before it starts after all."""

KEPT_RESTARTS: Final = 3


def _start(s: Situation) -> Verdict | None:
    lease = s.lease
    if lease is None or s.running:
        return None
    if not s.directory_ready:
        return _give_back(s, lease, f"{s.view.directory.path} is {s.view.directory.state}")
    if lease.epoch in s.view.guardian.burned:
        return giving_back(s, lease, "the guardian fenced this epoch")
    if s.memory.starts >= STARTS_PER_EPOCH:
        return _give_back(s, lease, f"PostgreSQL did not start in {STARTS_PER_EPOCH} tries")
    record = record_of(s, lease)
    off = None if record is None else _off(s, record)
    if off is not None:
        return _give_back(s, lease, off)
    if record is None:
        return start_standby(s, None, "starting as a standby, to be promoted")
    return _resume(s, lease, record)


def _give_back(s: Situation, lease: HeldLease, reason: str) -> Verdict:
    verdict = giving_back(s, lease, reason)
    if verdict.memory is None:
        return verdict
    due = s.now.plus(2 * s.config.ttl)
    return replace(verdict, memory=replace(verdict.memory, retry_at=due, failed=reason))


def _off(s: Situation, record: HistoryRecord) -> str | None:
    """Why the directory does not hold the timeline of this record; None if it does: the promotion
    to it was completed, and no other came after it."""
    control = s.view.directory.control
    here = record.timeline
    if control is not None:
        here = max(control.timeline, control.minimum_recovery_timeline)
    if control is None or s.view.directory.standby_signal or here < record.timeline:
        # The last complaint is what ended it, if it was not killed: a full disk, most of the time.
        *_, last = s.view.last_words.split("; ")
        words = f": {last}" if last else ""
        return f"the promotion to timeline {record.timeline} was cut short{words}"
    if here > record.timeline:
        return f"timeline {here} was written here, but {record.timeline} was committed"
    return None


def _resume(s: Situation, lease: HeldLease, record: HistoryRecord) -> Verdict:
    """Start the primary again where it was. After a crash, which is what nobody here asked for,
    and after a start that came to nothing, see first whether another member should go on."""
    is_again = s.memory.starts > 0
    if s.memory.stop is not None and not is_again:
        return _in_place(s, lease)
    why = _why_elsewhere(s)
    if why:
        unasked = _unasked(s)
        if unasked and s.since(s.memory.down_since) < HEIR_ASKED_S:
            return Verdict(f"{_how(s)}: asking who can go on, for {why}", (AskPeers(unasked),))
        heir = next((m.name for m in s.other_members if _is_ready(s, m)), None)
        if heir is not None:
            return _give_back(s, lease, f"{_how(s)}, and {heir} was ready, for {why}")
        why = f", though {why}: no standby was ready to go on without a loss"
    if is_again:
        return _in_place(s, lease)
    left = pause(s) - s.since(s.memory.down_since)
    if left > 0:
        often = f"{strikes(s.cluster)} times before, without peace since"
        return Verdict(f"{_how(s)}; it went {often}: starting in {left:.1f} s")
    return _noted(s, lease, record, f"{_how(s)}, and was restarted in place{why}")


def _how(s: Situation) -> str:
    return f"PostgreSQL ended with status {s.view.guardian.last_exit or 'unknown'}"


def _why_elsewhere(s: Situation) -> str:
    """Why another member should go on; empty if a restart here is as good."""
    if s.memory.starts > 0:
        return "a start came to nothing"
    expected, limit = _expected_recovery(s), s.config.primary_start_timeout
    if limit <= 0 or expected > limit:
        return f"about {expected:.0f} s of recovery (primary_start_timeout: {limit:g} s)"
    count = strikes(s.cluster)
    return f"it went {count} times before, without peace since" if count >= FREE_STRIKES else ""


def _expected_recovery(s: Situation) -> Seconds:
    """By the WAL between the redo point of the last checkpoint and the last renewal's position."""
    seen, control = s.memory.leader_seen, s.view.directory.control
    if seen is None or seen.position is None or control is None:
        return Seconds(0.0)
    if seen.timeline != control.timeline or seen.position < control.redo:
        return Seconds(0.0)
    return Seconds(control.redo.behind(seen.position) / REPLAYED_BYTES_PER_S)


def _unasked(s: Situation) -> tuple[MemberName, ...]:
    """Whose answer is older than the end of the server here."""
    return tuple(m.name for m in s.other_members if not _has_answered(s, m.name))


def _has_answered(s: Situation, name: MemberName) -> bool:
    answer, down = s.view.peers.get(name), s.memory.down_since
    return answer is not None and down is not None and longest(down, answer.asked) >= 0


def _is_ready(s: Situation, member: Member) -> bool:
    """It says that nothing stands against it, and with it nothing that counts is lost: it holds
    every acknowledged commit, or without a synchronous set no less than is tolerated."""
    report, sync, seen = s.peer(member.name), s.cluster.sync, s.memory.leader_seen
    if report is None or report.obstacle is not None or not _has_answered(s, member.name):
        return False
    if not member.tags.may_lead or not s.has_vote(member) or is_leaving(s.cluster, member.name):
        return False
    if sync is not None:
        return member.name in sync.standbys
    if seen is None or seen.position is None or report.position is None:
        return False
    return report.position.behind(seen.position) <= s.config.maximum_lag_on_failover


def _in_place(s: Situation, lease: HeldLease) -> Verdict:
    names = names_at_restart(s)
    plan = primary_plan(s.cluster, s.view.me, names, closed=bool(names))
    return start(s, plan, lease.epoch, "restarting the primary in place")


def _noted(s: Situation, lease: HeldLease, record: HistoryRecord, what: str) -> Verdict:
    """The start does not wait until the store has the note: a restart is a matter of moments."""
    restarts = (*record.restarts, what[:LONGEST_REASON])[-KEPT_RESTARTS:]
    changed = replace(record, strikes=record.strikes + 1, restarts=restarts, ended="")
    verdict = _in_place(s, lease)
    return replace(verdict, actions=(*verdict.actions, *amended(s, lease, changed)))


def _starting(s: Situation) -> Verdict | None:
    lease = s.lease
    if lease is None or s.server is not None:
        return None
    return Verdict(f"PostgreSQL does not answer yet: {s.view.server_problem or 'starting'}")


RULES = (
    Rule(
        id="lead-10",
        when="the leader key is held and PostgreSQL does not run",
        then="restart the primary in place, or start the standby that is to be promoted; after "
        f"{STARTS_PER_EPOCH} tries, or without a usable directory, give the key back. Where "
        "recovery is expected to outlast `primary_start_timeout`, or a start came to nothing, as "
        f"on a full disk, or the primary went {FREE_STRIKES} times before in a row, a standby that "
        "is ready goes on instead; if none "
        "is, and it keeps going, the restart waits. What was chosen is written into the history",
        why="a local restart is the shortest outage while it works, and leaves nothing to be "
        "rewound; a machine on which it does not work should not keep the key",
        check=_start,
    ),
    Rule(
        id="lead-20",
        when="the leader key is held and PostgreSQL has not answered yet",
        then="wait: renewals stop by themselves if it never does",
        why="recovery takes the time it takes, and the health gate bounds a hang",
        check=_starting,
    ),
)
