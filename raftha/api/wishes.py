"""`POST /restart`, `/reinitialize` and `/reload`: what is asked of this member alone."""

from __future__ import annotations

from threading import Event
from typing import Any, Final

import msgspec

from raftha.api import codec, schedules
from raftha.api.outcome import WAIT_S, answer, wait_for_end
from raftha.api.reply import Reply, refusal
from raftha.api.responder import Responder
from raftha.api.schedules import BadTime, parse_time
from raftha.api.tls import TlsError
from raftha.clock import Clock
from raftha.errors import ConfigError
from raftha.instants import Seconds
from raftha.model.ids import MemberName
from raftha.model.report import Reloaded
from raftha.model.restarting import ServerRequest, WishKind, unreadable
from raftha.model.scheduling import ScheduledRestart

RELOAD: Final = "/reload"
RESTART: Final = "/restart"
REINITIALIZE: Final = "/reinitialize"
PATHS: Final = (RESTART, REINITIALIZE, RELOAD)


class _Restart(msgspec.Struct, forbid_unknown_fields=True):
    name: str | None = None
    role: str | None = None
    postgres_version: str | None = None
    restart_pending: bool = False
    timeout: float | str | None = None
    schedule: str | None = None
    dry_run: bool = False
    wait: bool = True


class _Remaking(msgspec.Struct, forbid_unknown_fields=True):
    name: str | None = None
    force: bool = False
    from_leader: bool = False
    from_leader_as_documented: bool = msgspec.field(default=False, name="from-leader")


class _Nothing(msgspec.Struct, forbid_unknown_fields=True):
    pass


RESTART_BODY: Final = _Restart
REMAKING_BODY: Final = _Remaking
NOTHING_BODY: Final = _Nothing
_RESTART: Final = msgspec.json.Decoder(_Restart)
_REMAKING: Final = msgspec.json.Decoder(_Remaking)
_NOTHING: Final = msgspec.json.Decoder(_Nothing)


def perform(path: str, body: bytes, responder: Responder, clock: Clock, stopping: Event) -> Reply:
    """Answer a POST. 200 done, 202 under way or scheduled, 400 bad request, 409 another one is
    scheduled, 412 refused, 422 a time that has passed or is none, 503 not possible. `stopping` ends
    the wait."""
    try:
        match path:
            case "/restart":
                return _restarted(_RESTART.decode(body or b"{}"), responder, clock, stopping)
            case "/reinitialize":
                return _remade(_REMAKING.decode(body or b"{}"), responder)
            case _:
                _NOTHING.decode(body or b"{}")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return refusal(400, f"the body is not a request: {error}")
    return _reloaded(responder)


def _reloaded(responder: Responder) -> Reply:
    """202 as in Patroni: what changed acts as soon as each part of the agent comes to it."""
    try:
        told = responder.reload()
    except (ConfigError, TlsError) as error:
        return refusal(412, f"the file cannot be used, and the old settings stay: {error}")
    document = codec.document(told)
    return Reply(status=202, body={"reason": words_of(told), **document, "age_seconds": 0.0})


def words_of(told: Reloaded) -> str:
    """What a reading of the file came to, in a sentence."""
    parts = [f"changed: {', '.join(told.changed)}" if told.changed else "nothing changed"]
    if told.waiting:
        parts.append(f"waiting for a restart of the agent: {', '.join(told.waiting)}")
    if told.log:
        parts.append(f"the log goes on as before: {told.log}")
    return "the file was read again; " + "; ".join(parts)


def _restarted(asked: _Restart, responder: Responder, clock: Clock, stopping: Event) -> Reply:
    if (why := unreadable(asked.role, asked.postgres_version)) is not None:
        return refusal(400, why)
    if asked.schedule is not None:
        return _scheduled(asked, asked.schedule, responder, clock)
    limit = _seconds(asked.timeout)
    if limit is None:
        return refusal(400, f"timeout must be a number of seconds above 0, not {asked.timeout!r}")
    told = responder.wishes.ask(
        ServerRequest(
            kind=WishKind.RESTART,
            name=asked.name,
            role=asked.role,
            postgres_version=asked.postgres_version,
            restart_pending=asked.restart_pending,
            dry_run=asked.dry_run,
        )
    )
    if asked.wait:
        told = wait_for_end(told, responder.wishes.latest, clock, stopping, limit)
    return answer(told)


def _scheduled(asked: _Restart, text: str, responder: Responder, clock: Clock) -> Reply:
    if asked.timeout is not None:
        return refusal(400, "timeout bounds how long the caller waits, and nobody waits for a time")
    if asked.dry_run:
        return refusal(400, "dry_run goes with what is to happen now: leave schedule out")
    try:
        due = parse_time(text, clock.wall())
    except BadTime as error:
        return refusal(error.status, f"schedule: {error}")
    member = responder.schedules.me if asked.name is None else MemberName(asked.name)
    plan = ScheduledRestart(
        due=due,
        member=member,
        role=asked.role,
        postgres_version=asked.postgres_version,
        restart_pending=asked.restart_pending,
    )
    return schedules.answer(responder.schedules.restart(plan))


def _remade(asked: _Remaking, responder: Responder) -> Reply:
    """As in Patroni the answer says that it has begun. Its documentation calls the key
    `from-leader`, its program reads `from_leader`."""
    request = ServerRequest(
        kind=WishKind.REINITIALIZE,
        name=asked.name,
        from_leader=asked.from_leader or asked.from_leader_as_documented,
    )
    return answer(responder.wishes.ask(request))


def _seconds(given: Any) -> Seconds | None:
    """How long to wait, at most as long as anybody is kept; None for what is no time."""
    try:
        seconds = WAIT_S if given is None else float(given)
    except ValueError:
        return None
    return Seconds(min(seconds, WAIT_S)) if seconds > 0 else None
