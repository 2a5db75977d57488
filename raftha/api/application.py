"""From a request's method, path and body to a reply: which part of the API answers what.

Health checks must never wait behind slow questions: those that ask other members or wait for an
operation share a few places, and one more is told at once that the node is busy.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from threading import BoundedSemaphore, Event
from typing import Any, Final
from urllib.parse import parse_qsl

from msgspec import Struct, field

from raftha.api import (
    auth,
    codec,
    configurations,
    description,
    listing,
    members,
    operations,
    routes,
    schedules,
    stored,
    switches,
    wishes,
)
from raftha.api.allowlist import Allowlist
from raftha.api.auth import Caller
from raftha.api.reply import Reply, Text, refusal
from raftha.api.responder import Responder
from raftha.clock import Clock
from raftha.errors import RafthaError
from raftha.logs import event
from raftha.metrics import CONTENT_TYPE
from raftha.model.report import ClusterReport
from raftha.model.settings import RestConfig

log = logging.getLogger(__name__)

MAX_BODY_BYTES: Final = 65536
MOST_EVENTS: Final = 600
SLOW_PLACES: Final = 4
"""Requests for the whole cluster and waits for an operation that may run at once."""

_READS: Final = ("GET", "HEAD", "OPTIONS")
_NO_FAILSAFE: Final = (
    "failsafe_mode is off, and not needed here: the members are the voters, so there is no outside"
    " store to lose while all of them are in touch"
)
_ACTS: Final = (*operations.PATHS, *switches.PATHS, *wishes.PATHS)
_CHANGES: Final = (*_ACTS, members.PATH, description.FAILSAFE)
_OWN_PATHS: Final = (
    "/patroni",
    "/cluster",
    "/history",
    "/peer",
    "/operation",
    "/events",
    "/doctor",
    "/store",
    "/metrics",
    description.FAILSAFE,
    description.PATH,
    configurations.PATH,
    members.PATH,
)


class Request(Struct, frozen=True, kw_only=True):
    """One HTTP request. `body` is None where it cannot be told how long it is; `if_match` is the
    header of that name."""

    method: str
    path: str
    query: Mapping[str, str]
    body: bytes | None
    caller: Caller
    if_match: str | None = None


class Application(Struct, frozen=True, kw_only=True):
    """Answers requests for a node; `stopping` ends waits early. `allowlist` says from where changes
    are accepted; None: from everywhere."""

    config: RestConfig
    responder: Responder
    clock: Clock
    allowlist: Allowlist | None = None
    stopping: Event = field(default_factory=Event)
    slow: BoundedSemaphore = field(default_factory=lambda: BoundedSemaphore(SLOW_PLACES))

    def reply(self, request: Request) -> Reply:
        """The reply to one request."""
        try:
            if request.method in _READS:
                denied = self._unknown(request) if self.config.authenticate_reads else None
                return denied or self._read(request)
            if _is_change(request):
                return self._change(request)
        except RafthaError as error:
            return refusal(503, str(error))
        return _not_here(request)

    def _read(self, request: Request) -> Reply:
        match request.path:
            case "/cluster":
                return self._in_place(lambda: self._cluster(listing.cluster_document))
            case "/history":
                return self._in_place(lambda: self._cluster(listing.history_rows))
            case "/peer":
                return _reported(codec.document(self.responder.peer()))
            case "/operation":
                operation = self.responder.operation()
                return _reported(None if operation is None else codec.document(operation))
            case "/doctor":
                return self._doctor(request)
            case "/events":
                return _events(request, self.responder)
            case "/metrics":
                page = Text(content=self.responder.metrics(), content_type=CONTENT_TYPE)
                return Reply(status=200, body=page)
            case description.PATH:
                page = Text(content=description.DOCUMENT, content_type="application/json")
                return Reply(status=200, body=page)
            case "/store":
                return self._store(request)
            case description.FAILSAFE:
                return refusal(502, _NO_FAILSAFE)
            case members.PATH:
                return self._members(request)
            case configurations.PATH:
                return configurations.read(self.responder.configurations)
            case _:
                return self._about_node(request)

    def _about_node(self, request: Request) -> Reply:
        answer = routes.answer(
            request.path,
            request.query,
            self.responder.node(),
            self.clock.now(),
            self.clock.wall(),
        )
        return _not_here(request) if answer is None else answer

    def _cluster(self, render: Callable[[ClusterReport], Any]) -> Reply:
        return Reply(status=200, body=render(self.responder.cluster()))

    def _members(self, request: Request) -> Reply:
        name = request.query.get("name")
        if name is None:
            return self._in_place(lambda: self._cluster(listing.members_document))
        change = self.responder.changes.latest(name)
        return _reported(None if change is None else codec.document(change))

    def _doctor(self, request: Request) -> Reply:
        """It writes to the disk and connects to others, so it is not for everybody."""
        denied = self._denied(request, "an examination")
        if denied is not None:
            return denied
        return self._in_place(
            lambda: Reply(status=200, body=codec.document(self.responder.examine()))
        )

    def _store(self, request: Request) -> Reply:
        denied = self._denied(request, "a look into the store")
        if denied is not None:
            return denied
        return self._in_place(lambda: stored.answer(request.query, self.responder.stored))

    def _unknown(self, request: Request) -> Reply | None:
        """Balancers ask many times a second: a refusal of theirs is not worth a line of the log."""
        return auth.objection_to_reading(self.config, request.caller)

    def _denied(self, request: Request, act: str) -> Reply | None:
        caller = request.caller
        if self.allowlist is None or self.allowlist.admits(caller.address):
            denied = auth.objection(self.config, caller, act)
        else:
            denied = auth.strange_address(caller.address, act)
        if denied is not None:
            words = "request refused"
            facts = {"path": request.path, "caller": caller.address, "status": denied.status}
            event(log, logging.WARNING, words, **facts)
        return denied

    def _change(self, request: Request) -> Reply:
        denied = self._denied(request, "this change")
        if denied is not None:
            return denied
        body = b"" if request.method == "DELETE" else request.body
        if body is None:
            return refusal(
                411,
                "the length of the body is not known: send it in one piece with its Content-Length,"
                " not in chunks (Transfer-Encoding)",
            )
        if len(body) > MAX_BODY_BYTES:
            return refusal(413, f"the body is larger than {MAX_BODY_BYTES} bytes")
        act, caller = f"{request.method} {request.path}", request.caller.address
        if _is_dry_run(body):
            act = f"dry run of {act}"
        event(log, logging.WARNING, "change asked for", act=act, caller=caller)
        self.responder.asked(act, caller)
        reply = self._tried(request, body)
        if reply.status >= 400:
            why = reply.body.get("reason", "") if isinstance(reply.body, Mapping) else ""
            self.responder.declined(act, caller, reply.status, why)
        return reply

    def _tried(self, request: Request, body: bytes) -> Reply:
        try:
            return self._in_place(lambda: self._perform(request, body))
        except RafthaError as error:
            return refusal(503, str(error))

    def _perform(self, request: Request, body: bytes) -> Reply:
        path, responder = request.path, self.responder
        if request.method == "DELETE":
            return schedules.cancel(path, request.query, responder.schedules)
        if path == description.FAILSAFE:
            return refusal(502, _NO_FAILSAFE)
        if path == configurations.PATH:
            settings = responder.configurations
            return configurations.perform(request.method, body, request.if_match, settings)
        if path == members.PATH:
            return members.perform(body, responder.changes, self.clock, self.stopping)
        if path in wishes.PATHS:
            return wishes.perform(path, body, responder, self.clock, self.stopping)
        if path in switches.PATHS:
            return switches.perform(path, body, responder)
        return operations.perform(path, body, responder, self.clock, self.stopping)

    def _in_place(self, work: Callable[[], Reply]) -> Reply:
        if not self.slow.acquire(blocking=False):
            return refusal(503, "busy with other requests of this kind", (("Retry-After", "1"),))
        try:
            return work()
        finally:
            self.slow.release()


def parse_query(text: str) -> dict[str, str]:
    """The parameters behind the question mark; the first of each name counts."""
    return dict(reversed(parse_qsl(text, keep_blank_values=True)))


def _events(request: Request, responder: Responder) -> Reply:
    """What happened on this node, the oldest first; `last` limits how many lines."""
    text = request.query.get("last", str(MOST_EVENTS))
    if not text.isdecimal() or not 1 <= int(text[:9]) <= MOST_EVENTS:
        return refusal(400, f"last={text}: use a number from 1 to {MOST_EVENTS}")
    return Reply(status=200, body=codec.document(responder.events(int(text))))


def _reported(document: dict[str, Any] | None) -> Reply:
    """204 where there is nothing to report: no operation yet."""
    if document is None:
        return Reply(status=204, body=None)
    return Reply(status=200, body={**document, "age_seconds": 0.0})


def _is_dry_run(body: bytes) -> bool:
    try:
        return codec.parse(body).get("dry_run") is True
    except codec.BadDocument:
        return False


def _is_change(request: Request) -> bool:
    if request.path == configurations.PATH:
        return request.method in configurations.REPLACES
    if request.method == "DELETE":
        return request.path in schedules.PATHS
    return request.method == "POST" and request.path in _CHANGES


def _not_here(request: Request) -> Reply:
    known = (*routes.CHECKS, *_OWN_PATHS, *_ACTS)
    if request.path in known:
        methods: tuple[str, ...] = ("POST",) if request.path in _ACTS else _READS
        if request.path in (members.PATH, description.FAILSAFE):
            methods += ("POST",)
        elif request.path in schedules.PATHS:
            methods += ("DELETE",)
        elif request.path == configurations.PATH:
            methods += tuple(configurations.REPLACES)
        allowed = ", ".join(methods)
        return refusal(405, f"{request.path} takes {allowed}", (("Allow", allowed),))
    return refusal(404, f"there is no {request.path}; there are: {' '.join(known)}")
