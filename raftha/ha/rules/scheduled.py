"""What was scheduled, and whose time has come. PURE.

A switchover becomes a request like any other, in the command that takes it off the schedule, so it
happens once. A restart is noted down with the server that it is about before that is touched, and
is taken off once another one serves: a new agent goes on with it, and does not repeat it. What does
not happen keeps its entry, with the reason, until an operator has taken note.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from raftha.ha.actions import Submit
from raftha.ha.keys import encode_scheduled
from raftha.ha.operations import open_request
from raftha.ha.restarting import hindrance, unmet
from raftha.ha.scheduling import Scheduled, cancelling, key_of, words_of
from raftha.ha.situation import Situation
from raftha.ha.table import Rule, Verdict
from raftha.model.ids import Revision
from raftha.model.operation import OperatorRequest, RequestKind
from raftha.model.restarting import ServerRequest, WishKind
from raftha.model.scheduling import (
    RESTART_LASTS_S,
    SWITCHOVER_LASTS_S,
    ScheduledRestart,
    ScheduledSwitchover,
)
from raftha.model.store import Guard, KeyAt, Put, Transact
from raftha.model.view import HeldLease

INTENT: Final = "scheduled"


def _switchover(s: Situation) -> Verdict | None:
    lease, plan = s.lease, s.cluster.scheduled_switchover
    if lease is None or plan is None or plan.refused or not _is_free(s):
        return None
    if s.server is None or not s.server.is_primary:
        return None
    why = _outdated(s, plan)
    if why is not None:
        return _drop(s, plan, why, s.epoch_guard(lease))
    if s.view.wall < plan.due or s.request is not None:
        return None
    return Verdict(f"its time has come: {words_of(plan)}", (_opened(s, lease, plan),))


def _is_free(s: Situation) -> bool:
    return INTENT not in s.view.pending and not s.view.stopping


def _outdated(s: Situation, plan: ScheduledSwitchover) -> str | None:
    """Why it does not apply any more. Whether the candidate can take over is judged as for any
    other request, once its time has come."""
    if plan.leader != s.me:
        return f"{s.me} leads now"
    if plan.candidate is not None and plan.candidate not in s.cluster.members:
        return f"{plan.candidate} is no member any more"
    if s.view.wall > plan.due + SWITCHOVER_LASTS_S:
        return f"it could not begin within {SWITCHOVER_LASTS_S:g} s"
    return None


def _opened(s: Situation, lease: HeldLease, plan: ScheduledSwitchover) -> Submit:
    request = OperatorRequest(
        id=plan.id,
        kind=RequestKind.SWITCHOVER,
        leader=plan.leader,
        candidate=plan.candidate,
        revision=Revision(0),
    )
    opening, ending = open_request(s.keys, s.cluster, request, s.me), cancelling(s.keys, plan)
    guards = (s.epoch_guard(lease), *opening.guards, *ending.guards)
    return Submit(INTENT, Transact(guards, (*opening.writes, *ending.writes)))


def _drop(s: Situation, plan: Scheduled, why: str, *guards: Guard) -> Verdict:
    return Verdict(f"no {words_of(plan)}: {why}", (_written(s, plan, *guards, refused=why),))


def _written(s: Situation, plan: Scheduled, *guards: Guard, **changes: str) -> Submit:
    key = key_of(s.keys, plan)
    put = Put(key, encode_scheduled(replace(plan, **changes)))
    return Submit(INTENT, Transact((*guards, KeyAt(key, plan.revision)), (put,)))


def _restart(s: Situation) -> Verdict | None:
    plan = s.cluster.scheduled_restarts.get(s.me)
    if plan is None or plan.refused or not _is_free(s) or s.view.wall < plan.due:
        return None
    if plan.process and _serves_anew(s, plan):
        done = Submit(INTENT, cancelling(s.keys, plan))
        return Verdict("the scheduled restart is done", (done,))
    if s.view.wall > plan.due + RESTART_LASTS_S:
        verb = "end" if plan.process else "begin"
        return _drop(s, plan, f"it did not {verb} within {RESTART_LASTS_S:g} s")
    if plan.process:
        return None
    why = unmet(s, _conditions(plan)) or s.view.doomed
    if why:
        return _drop(s, plan, why)
    if s.server is None or hindrance(s) is not None or _goes_first(s):
        return None
    begun = _written(s, plan, process=s.view.guardian.process)
    return Verdict(f"its time has come: {words_of(plan)}", (begun,))


def _serves_anew(s: Situation, plan: ScheduledRestart) -> bool:
    """Another server than the one that was to be restarted serves here."""
    server = s.server
    if server is None or s.view.guardian.process == plan.process:
        return False
    if server.is_primary or s.view.me.tags.nostream:
        return True
    return server.receiver is not None and server.receiver.status == "streaming"


def _conditions(plan: ScheduledRestart) -> ServerRequest:
    return ServerRequest(
        kind=WishKind.RESTART,
        role=plan.role,
        postgres_version=plan.postgres_version,
        restart_pending=plan.restart_pending,
    )


def _goes_first(s: Situation) -> bool:
    """Another one's turn is before this member's: standbys go one after another, in the order of
    their names, and the leader goes last. Who has begun is waited for; who has not, while its node
    is in touch."""
    leader = s.cluster.leader
    held_by = None if leader is None else leader.name
    for other in s.cluster.scheduled_restarts.values():
        is_due = other.due <= s.view.wall <= other.due + RESTART_LASTS_S
        if other.member == s.me or other.refused or not is_due:
            continue
        if other.process:
            return True
        is_here = other.member not in s.memory.away and other.member in s.cluster.members
        if is_here and (other.member == held_by, other.member) < (s.me == held_by, s.me):
            return True
    return False


RULES = (
    Rule(
        id="sched-10",
        when="a switchover is scheduled and this node leads",
        then="make it a request once its time has come; drop it, with the reason, if it was meant "
        "for another leader, its candidate is no member any more, or it is too late",
        why="what was meant for one leader must not hit another; what was to happen at three is "
        "not wanted at four",
        check=_switchover,
    ),
    Rule(
        id="sched-20",
        when="the time of this member's scheduled restart has come",
        then="note down which server is meant, which `wish-10` then restarts, once it is this "
        "member's turn; take it off the schedule once another one serves; drop it, with the "
        "reason, if a condition is not met, the server would not start again, or it is too late",
        why="members that restart at one time would stop writes; one that was restarted must not "
        "be so again by a new agent; and what is stopped at night must come back by itself",
        check=_restart,
    ),
)
