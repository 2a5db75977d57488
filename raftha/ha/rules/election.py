"""The race for a leader key that nobody holds. PURE.

Safety is the lease's, never the poll's: what the members answer decides only who should win. So a
member that does not answer holds nobody up, and a primary that is reported alive holds the race up
for one ttl at most. A position counts only where the old stream was cut before (`pledge.py`).
"""

from __future__ import annotations

from msgspec.structs import replace

from raftha.ha import pledge
from raftha.ha.actions import AcquireLeader, Action, AskPeers, CutStream, StopMode
from raftha.ha.backoff import (
    FIRST_PAUSE_TTLS,
    FREE_STRIKES,
    LONGEST_PAUSE_TTLS,
    PEACE_TTLS,
    pause,
    strikes,
)
from raftha.ha.candidates import floor_of, is_ahead, obstacle
from raftha.ha.foresight import was_silent
from raftha.ha.grounds import grounds
from raftha.ha.hearing import RULE_OF_HEARING, unheard
from raftha.ha.keys import LEADER_LEASE, encode_leader, encode_status, encode_sync
from raftha.ha.pausing import claim_guards, others_disarmed, words_for
from raftha.ha.plans import standby_plan
from raftha.ha.rules.server import start_standby, stop
from raftha.ha.situation import Situation
from raftha.ha.table import Rule, Verdict
from raftha.instants import Seconds, longest
from raftha.model.ids import MemberName, Revision
from raftha.model.settings import SynchronousMode
from raftha.model.store import Grant, Guard, Key, KeyAbsent, KeyAt, Put, Transact, Write

ASK_AGAIN_S = 0.5
"""How often the members are asked anew while the race is held up."""


PLEDGE_WAIT_S = 0.5
"""For how long a standby that answers is given the chance to cut its old stream; it takes less than
a tenth of a second. After that the race goes on without its position."""

ASK_UNPLEDGED_S = 0.05
"""How often such a standby is asked anew meanwhile."""

CUT_PATIENCE_S = 2.0
"""After so long a server whose receiver does not end is stopped, and started without one."""

PREFERRED_WAIT_S = 1.0
"""For how long a member that holds as much is given the chance to take the key, where the operator
prefers it: that takes a tenth of a second, and a failover is not to wait for one that hangs."""

AHEAD_TTLS = 2
"""For how many ttls a member that holds more is given the chance to take the key."""


def _vacant(s: Situation) -> bool:
    """The leader key is free, and was free at the last tick's revision too."""
    return s.cluster.leader is None and s.lease is None and not s.is_primary


def _not_running(s: Situation) -> Verdict | None:
    if not _vacant(s) or s.running:
        return None
    if not s.directory_ready:
        return Verdict("there is no leader to clone from yet")
    return start_standby(s, None, "there is no leader: starting as a standby")


def _disarmed(s: Situation) -> Verdict | None:
    others = others_disarmed(s)
    if not _vacant(s) or not others:
        return None
    return Verdict(f"there is no leader, and nobody is promoted: {words_for(others)}", _ask(s))


def _paused(s: Situation) -> Verdict | None:
    if not _vacant(s) or not s.cluster.paused:
        return None
    if s.request is not None and s.request.candidate == s.me:
        return None
    return Verdict("there is no leader, and nobody is promoted by itself in a pause", _ask(s))


def _cutting(s: Situation) -> Verdict | None:
    """Rules that keep everybody from a race stand before this one: a stream is not cut for nothing.
    Those that keep only this node from it stand after it: its position counts all the same."""
    server = s.server
    if not _vacant(s) or server is None:
        return None
    plan = standby_plan(s.cluster, s.view.me, None)
    if pledge.own(s) is not None and plan == s.memory.plan:
        return None
    since = s.memory.cutting_since or s.now
    reason = f"there is no leader: cutting the old stream of {s.me} before its position counts"
    if s.since(since) >= CUT_PATIENCE_S:
        reason += f": the WAL receiver did not end in {CUT_PATIENCE_S:g} s, stopping the server"
        return stop(s, StopMode.IMMEDIATE, reason)
    cut, seen = s.view.cut, s.view.server_seen
    is_cut = cut is not None and cut.process == s.view.guardian.process
    is_told = cut is not None and seen is not None and longest(cut.at, seen) >= 0
    memory = replace(s.memory, plan=plan, cutting_since=since)
    if is_cut and not is_told and plan == s.memory.plan:
        return Verdict(reason, _ask(s), memory)
    act = CutStream(plan, pledge.floor_now(s.cluster))
    return Verdict(reason, (*_ask(s), act), memory)


def _unfit(s: Situation) -> Verdict | None:
    if not _vacant(s):
        return None
    why_not = obstacle(s)
    if why_not is None:
        return None
    return Verdict(f"there is no leader, and {s.me} does not race: {why_not}", _ask(s))


def _ask(s: Situation) -> tuple[Action, ...]:
    """Ask everybody who was not asked since the key went, or whose answer grew old."""
    names = []
    for member in s.other_members:
        answer = s.view.peers.get(member.name)
        pause = ASK_UNPLEDGED_S if _may_pledge(s, member.name) else ASK_AGAIN_S
        fresh = answer is not None and _answered(s, member.name) and s.since(answer.asked) < pause
        if not fresh:
            names.append(member.name)
    return (AskPeers(tuple(names)),) if names else ()


def _answered(s: Situation, name: MemberName) -> bool:
    answer = s.view.peers.get(name)
    lost = s.memory.lost_since
    return answer is not None and lost is not None and longest(lost, answer.asked) >= 0


def _may_pledge(s: Situation, name: MemberName) -> bool:
    """A standby that might lead told a position that may still grow: it is about to cut its stream,
    or an older version that knows no pledge."""
    report = s.peer(name)
    if report is None or not report.wants_lead or report.obstacle is not None:
        return False
    is_early = s.since(s.memory.lost_since) < PLEDGE_WAIT_S
    return is_early and pledge.objection(s.cluster, report) is not None


def _asking(s: Situation) -> Verdict | None:
    if not _vacant(s):
        return None
    names = [member.name for member in s.other_members if not member.tags.nostream]
    waiting = [name for name in names if not (_answered(s, name) or was_silent(s, name))]
    if waiting:
        return Verdict(f"there is no leader: asking {', '.join(waiting)}", _ask(s))
    unpledged = [m.name for m in s.other_members if _may_pledge(s, m.name)]
    if not unpledged:
        return None
    reason = f"waiting for {', '.join(unpledged)} to cut the old stream, so that positions count"
    return Verdict(f"there is no leader: {reason}", _ask(s))


def _live_primary(s: Situation) -> Verdict | None:
    if not _vacant(s):
        return None
    for member in s.other_members:
        report = s.peer(member.name)
        if report is None or not report.primary_alive:
            continue
        since = s.memory.live_primary_since or s.now
        waited = longest(since, s.now)
        if waited >= s.config.ttl:
            return None
        memory = replace(s.memory, live_primary_since=since)
        reason = f"{member.name} still runs a primary: waiting {s.config.ttl - waited:.1f} s more"
        return Verdict(reason, _ask(s), memory)
    return None


def _another_was_chosen(s: Situation) -> Verdict | None:
    request = s.request
    if not _vacant(s) or request is None or request.candidate in (None, s.me):
        return None
    report = s.peer(request.candidate) if request.candidate else None
    # There may have been no leader for long when somebody is chosen by hand.
    waited = min(s.since(s.memory.lost_since), s.since(s.memory.request_since))
    if report is None or report.obstacle is not None or waited >= s.config.ttl:
        return None
    return Verdict(f"leaving the leader key to {request.candidate}, as was asked for", _ask(s))


def _raced_s(s: Situation) -> Seconds:
    """For how long the key could have been taken: everybody makes the same pause before."""
    held_up = 0.0 if s.request is not None else pause(s)
    return Seconds(s.since(s.memory.lost_since) - held_up)


def _somebody_is_ahead(s: Situation) -> Verdict | None:
    server = s.server
    if not _vacant(s) or server is None or server.position is None:
        return None
    if _raced_s(s) >= AHEAD_TTLS * s.config.ttl:
        return None
    for member in s.other_members:
        report = s.peer(member.name)
        if report is None or report.position is None:
            continue
        if not pledge.counts(s.cluster, report):
            continue
        if is_ahead(report, server.timeline, server.position):
            lag = server.position.behind(report.position)
            reason = f"leaving the leader key to {member.name}: it is {lag} bytes ahead"
            return Verdict(reason, _ask(s))
    return None


def _another_is_preferred(s: Situation) -> Verdict | None:
    server, request = s.server, s.request
    if not _vacant(s) or server is None or _raced_s(s) >= PREFERRED_WAIT_S:
        return None
    if request is not None and request.candidate == s.me:
        return None
    own = s.view.me.tags.failover_priority
    for member in s.other_members:
        report, priority = s.peer(member.name), member.tags.failover_priority
        if report is None or priority <= own or not pledge.counts(s.cluster, report):
            continue
        holds_as_much = (report.timeline, report.position) == (server.timeline, server.position)
        if holds_as_much and report.wants_lead and report.obstacle is None:
            reason = f"its failover_priority is {priority}, the one here {own}"
            return Verdict(f"leaving the leader key to {member.name}: {reason}", _ask(s))
    return None


def _too_often(s: Situation) -> Verdict | None:
    if not _vacant(s) or s.request is not None:
        return None
    left = pause(s) - s.since(s.memory.lost_since)
    if left <= 0:
        return None
    count = strikes(s.cluster)
    reason = f"the primary went {count} times before, without peace since: racing in {left:.1f} s"
    return Verdict(reason, _ask(s))


def _too_few_heard(s: Situation) -> Verdict | None:
    if not _vacant(s):
        return None
    why = unheard(s)
    if why is None:
        return None
    return Verdict(f"{s.me} may lack acknowledged commits: {why}", _ask(s))


def _race(s: Situation) -> Verdict | None:
    if not _vacant(s) or s.server is None:
        return None
    if "leader" in s.view.pending:
        return Verdict("racing for the leader key")
    acquire = AcquireLeader(claim(s), LEADER_LEASE, s.config.ttl)
    reason = f"racing for the leader key at timeline {s.server.timeline}, {s.server.position}"
    memory = replace(
        s.memory, promoted=None, starts=0, stop=None, checkpoint_asked=None, race=grounds(s)
    )
    return Verdict(reason, (acquire,), memory)


def claim(s: Situation) -> Transact:
    """Create the key, judged by exactly the `sync` and `config` that eligibility was judged by,
    and by nobody else being disarmed; take `sync` over, and forget the slots of the old leader."""
    keys = s.keys
    sync = s.cluster.sync
    guards: tuple[Guard, ...] = (
        KeyAbsent(keys.leader),
        _at(keys.sync, None if sync is None else sync.revision),
        _at(keys.config, s.cluster.config_revision),
        _at(keys.status, s.cluster.status_revision),
        *claim_guards(s),
    )
    writes: tuple[Write, ...] = (
        Grant(LEADER_LEASE, s.me, s.config.ttl),
        Put(keys.leader, encode_leader(s.me, s.view.guardian.nonce), LEADER_LEASE),
        Put(keys.status, encode_status((), s.cluster.timeline, checkpointed=False)),
    )
    if sync is not None or s.config.synchronous_mode is not SynchronousMode.OFF:
        writes = (*writes, Put(keys.sync, encode_sync(s.me, (), floor=floor_of(s))))
    return Transact(guards, writes)


def _at(key: Key, revision: Revision | None) -> Guard:
    return KeyAbsent(key) if revision is None else KeyAt(key, revision)


RULES = (
    Rule(
        id="elect-10",
        when="nobody holds the leader key and PostgreSQL does not run here",
        then="start as a standby without upstream, if there is a data directory",
        why="only a running standby knows its position; every node starts as a standby, so that "
        "none is a primary without a promotion",
        check=_not_running,
    ),
    Rule(
        id="elect-15",
        when="nobody holds the leader key, and another member's primary may run without a deadline",
        then="say whose, and what an operator can do; wait",
        why="it was cut off in a pause and never heard of the end of it: no lease ends it, and "
        "nobody here can know that it is dead (R16)",
        check=_disarmed,
    ),
    Rule(
        id="elect-17",
        when="nobody holds the leader key, the cluster is paused, and no operator named this node",
        then="wait",
        why="nobody is promoted by itself in a maintenance pause",
        check=_paused,
    ),
    Rule(
        id="elect-18",
        when="nobody holds the leader key and the standby here may still hear from the old one",
        then="configure it without an upstream, end its WAL receiver, see that it is gone, and "
        f"read the position then; stop the server if it does not end in {CUT_PATIENCE_S:g} s",
        why="a position that is told and then grows lets an old primary acknowledge commits that "
        "the next one does not hold; an empty setting alone cuts no stream (R17)",
        check=_cutting,
    ),
    Rule(
        id="elect-20",
        when="nobody holds the leader key and this node may not lead now",
        then="say why, and wait",
        why="tags, unknown or diverged WAL, not in the synchronous set: promoting it would lose "
        "what was acknowledged (S6, S7)",
        check=_unfit,
    ),
    Rule(
        id="elect-30",
        when="nobody holds the leader key and not every member was asked since",
        then="ask all the others directly, the vanished primary too, but do not wait for that one "
        "if it has been silent since its last renewal, nor for one tagged `nostream`; for at most "
        f"{PLEDGE_WAIT_S:g} s ask a standby again that has not cut its old stream",
        why="positions told before the key lapsed may be old, and one that may still grow does not "
        "count (R17); a machine that is off would cost a whole time-out",
        check=_asking,
    ),
    Rule(
        id="elect-40",
        when="a member says that a primary still runs there",
        then="wait, for one ttl at most",
        why="it may be about to win its key back; but safety is the lease's, not the poll's",
        check=_live_primary,
    ),
    Rule(
        id="elect-50",
        when="an operator asked for another candidate, who answers and may lead",
        then="leave the key to it, for one ttl at most since it was asked for",
        why="a hand-over goes where it was asked to go, also where nobody has led for long",
        check=_another_was_chosen,
    ),
    Rule(
        id="elect-60",
        when="a reachable member that may lead holds more WAL",
        then=f"leave the key to it, for {AHEAD_TTLS} ttls at most",
        why="whoever holds the most loses the least; but one that never takes it must not keep the "
        "cluster without a leader",
        check=_somebody_is_ahead,
    ),
    Rule(
        id="elect-62",
        when="a reachable member that may lead holds exactly as much WAL and has a higher "
        "`failover_priority`",
        then=f"leave the key to it, for {PREFERRED_WAIT_S:g} s at most",
        why="the operator prefers it, as long as that loses nothing and costs no time",
        check=_another_is_preferred,
    ),
    Rule(
        id="elect-65",
        when=f"the primary went {FREE_STRIKES} times or more in a row without being asked to, and "
        "no operator asks for a leader now",
        then=f"wait, from {FIRST_PAUSE_TTLS:g} ttl up to {LONGEST_PAUSE_TTLS:g} ttls, since the "
        f"key was lost; {PEACE_TTLS} ttls of a primary that serves end this",
        why="what ends one primary after the other does so faster the faster they follow, and "
        "each leaves something to be rewound",
        check=_too_often,
    ),
    Rule(
        id=RULE_OF_HEARING,
        when="commits wait for a quorum, and too few of its standbys have told since that they "
        "hold no more than this node",
        then="ask them again, and wait",
        why="each acknowledged commit is held by one of so many, and by nobody else for sure (S6)",
        check=_too_few_heard,
    ),
    Rule(
        id="elect-70",
        when="nothing stands against this node",
        then="create the leader key, guarded by the `sync` and `config` it was judged by",
        why="one create wins; a delayed write of the old leader cannot change who may lead (R4)",
        check=_race,
    ),
)
