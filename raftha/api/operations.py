"""`POST /switchover` and `POST /failover`: read the body, hand it over, wait for the outcome.

An operation that was handed over is never repeated here: what its outcome is, or that it is not
known, is for the agent to say and for the caller to act on.
"""

from __future__ import annotations

from threading import Event
from typing import Final

import msgspec

from raftha.api import schedules
from raftha.api.outcome import answer, wait_for_end
from raftha.api.reply import Reply, refusal
from raftha.api.responder import Responder
from raftha.api.schedules import BadTime, parse_time
from raftha.clock import Clock
from raftha.model.ids import MemberName
from raftha.model.report import OperationRequest, RequestKind

PATHS: Final = {
    "/switchover": RequestKind.SWITCHOVER,
    "/failover": RequestKind.FAILOVER,
}


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    leader: str | None = None
    candidate: str | None = None
    scheduled_at: str | None = None
    fenced: str | None = None
    allow_data_loss: bool = False
    dry_run: bool = False
    wait: bool = True


BODY: Final = _Body
_BODY: Final = msgspec.json.Decoder(_Body)


def perform(path: str, body: bytes, responder: Responder, clock: Clock, stopping: Event) -> Reply:
    """Answer a POST. 200 done, 202 accepted or scheduled, 400 bad request, 409 another one is
    scheduled, 412 refused, 422 a time that has passed or is none, 503 outcome not known.
    `stopping` ends the wait."""
    try:
        asked = _BODY.decode(body or b"{}")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return refusal(400, f"the body is not a request: {error}")
    request = _request(PATHS[path], asked)
    if isinstance(request, Reply):
        return request
    if asked.scheduled_at is not None:
        return _scheduled(request, asked.scheduled_at, responder, clock)
    report = responder.operate(request)
    if asked.wait:
        report = wait_for_end(report, responder.operation, clock, stopping)
    return answer(report)


def _request(kind: RequestKind, asked: _Body) -> OperationRequest | Reply:
    """As Patroni: a failover that names a leader is a switchover."""
    if kind is RequestKind.FAILOVER and asked.scheduled_at is not None:
        return refusal(400, "a failover cannot be scheduled: leave scheduled_at out")
    if asked.scheduled_at is not None and asked.dry_run:
        return refusal(400, "dry_run goes with what is to happen now: leave scheduled_at out")
    if kind is RequestKind.FAILOVER and asked.candidate is None:
        return refusal(400, "a failover needs a candidate: name the member that is to take over")
    if asked.leader is not None:
        kind = RequestKind.SWITCHOVER
    elif kind is RequestKind.SWITCHOVER:
        return refusal(400, "a switchover needs the leader's name, so that it cannot hit another")
    if asked.fenced is not None and kind is not RequestKind.FAILOVER:
        return refusal(400, "fenced goes with a failover without a leader only")
    if asked.allow_data_loss and kind is not RequestKind.FAILOVER:
        return refusal(400, "allow_data_loss goes with a failover without a leader only")
    if asked.leader is not None and asked.leader == asked.candidate:
        return refusal(400, f"leader and candidate are the same member, {asked.leader}")
    return OperationRequest(
        kind=kind,
        leader=None if asked.leader is None else MemberName(asked.leader),
        candidate=None if asked.candidate is None else MemberName(asked.candidate),
        fenced=None if asked.fenced is None else MemberName(asked.fenced),
        may_lose=asked.allow_data_loss,
        dry_run=asked.dry_run,
    )


def _scheduled(request: OperationRequest, text: str, responder: Responder, clock: Clock) -> Reply:
    assert request.leader is not None, "a switchover names its leader"
    try:
        due = parse_time(text, clock.wall())
    except BadTime as error:
        return refusal(error.status, f"scheduled_at: {error}")
    told = responder.schedules.switchover(due, request.leader, request.candidate)
    return schedules.answer(told)
