"""The HTTP client: how an agent asks its peers, and how the CLI asks any node.

One connection for each request: a peer may be frozen, and a connection that was good a second ago
says nothing about the next. Every request ends at its timeout.
"""

from __future__ import annotations

import http.client
import socket
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from msgspec import Struct, field

from raftha.api import auth, codec, tls
from raftha.api.codec import BadDocument
from raftha.api.unanswered import reason
from raftha.clock import Clock, SystemClock
from raftha.errors import RafthaError
from raftha.instants import Instant, Seconds, remaining
from raftha.model.finding import Examination
from raftha.model.happening import Chapter
from raftha.model.report import (
    ClusterReport,
    MemberChange,
    MemberChangeRequest,
    OperationReport,
    OperationRequest,
    PauseChange,
    PeerReport,
    RequestKind,
)
from raftha.model.restarting import ServerChange, ServerRequest, WishKind
from raftha.model.settings import BasicAuth, TlsFiles
from raftha.model.stored import StoreEvents, StoreReport

_MAX_ANSWER_BYTES: Final = 8 << 20
_CHUNK_BYTES: Final = 65536


class ApiError(RafthaError):
    """A request to a node had no usable answer."""


class Unreachable(ApiError):
    """The node did not answer in time. `sent` false: it never saw the request."""

    def __init__(self, message: str, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


class Refused(ApiError):
    """The node answered, and not with what was asked for."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Unsettled(Refused):
    """The node cannot tell what became of it: it may have been done."""


class Answer(Struct, frozen=True, kw_only=True):
    """A status and a body as they came, and the `ETag`."""

    status: int
    body: bytes
    etag: str | None = None


class ApiClient(Struct, frozen=True, kw_only=True):
    """Asks the node at `url` (`http://host:port` or https). `timeout` bounds each request.

    Every method raises Unreachable or Refused. `auth` goes out only where it is asked for.
    """

    url: str
    timeout: Seconds
    auth: BasicAuth | None = None
    tls: TlsFiles | None = None
    verify: bool = True
    clock: Clock = field(default_factory=SystemClock)

    def peer(self) -> PeerReport:
        """The node measured now."""
        report: PeerReport = self._read(self._expect("/peer", 200), codec.peer_report)
        return report

    def cluster(self) -> ClusterReport:
        """The whole cluster as this node tells it."""
        return self.cluster_documents()[1]

    def cluster_documents(self) -> tuple[dict[str, Any], ClusterReport]:
        """`/cluster` as it came, in Patroni's words, and the report within it."""
        answer = self._expect("/cluster", 200)
        document = self._read(answer, lambda raw: raw)
        return document, self._read(answer, lambda raw: codec.cluster_report(raw.get("report")))

    def operation(self) -> OperationReport | None:
        """The latest operator's request that the node knows of."""
        answer = self._expect("/operation", 200, 204)
        return None if answer.status == 204 else self._read(answer, codec.operation_report)

    def operate(self, request: OperationRequest) -> OperationReport:
        """Hand a request over without waiting for its outcome. After Unreachable with `sent` it
        may have been accepted."""
        path = "/switchover" if request.kind is RequestKind.SWITCHOVER else "/failover"
        body = {"leader": request.leader, "candidate": request.candidate, "wait": False}
        if request.fenced is not None:
            body["fenced"] = request.fenced
        if request.may_lose:
            body["allow_data_loss"] = True
        if request.dry_run:
            body["dry_run"] = True
        answer = self._exchange("POST", path, codec.encode(body), known=True)
        if answer.status not in (200, 202, 412, 503):
            raise Refused(answer.status, self._reason(answer))
        try:
            return codec.operation_report(codec.parse(answer.body))
        except BadDocument:
            raise Refused(answer.status, self._reason(answer)) from None

    def change_pause(self, *, paused: bool) -> PauseChange:
        """Begin or end the maintenance pause. After Unreachable with `sent` it may have been
        done."""
        answer = self._exchange("POST", "/pause" if paused else "/resume", b"{}", known=True)
        if answer.status not in (200, 412, 503):
            raise Refused(answer.status, self._reason(answer))
        try:
            return codec.pause_change(codec.parse(answer.body))
        except BadDocument:
            raise Refused(answer.status, self._reason(answer)) from None

    def change_halt(self, *, halts: bool) -> str:
        """Stop or start PostgreSQL of the whole cluster; what the node says to it."""
        return self._said("POST", "/stop" if halts else "/start", 200, b"{}")

    def ask_server(self, asked: ServerRequest) -> ServerChange:
        """Have the node's server restarted or made anew, without waiting for the end. After
        Unreachable with `sent` it may have been accepted."""
        body: dict[str, Any] = {"name": asked.name}
        if asked.kind is WishKind.RESTART:
            body |= {"role": asked.role, "postgres_version": asked.postgres_version, "wait": False}
            body["restart_pending"] = asked.restart_pending
            if asked.dry_run:
                body["dry_run"] = True
        if asked.from_leader:
            body["from_leader"] = True
        answer = self._exchange("POST", f"/{asked.kind}", codec.encode(body), known=True)
        if answer.status not in (200, 202, 412):
            raise Refused(answer.status, self._reason(answer))
        try:
            return codec.server_change(codec.parse(answer.body))
        except BadDocument:
            raise Refused(answer.status, self._reason(answer)) from None

    def schedule_switchover(self, at: str, leader: str, candidate: str | None) -> str:
        """Schedule a switchover for an ISO 8601 time; what the node says to it."""
        body = {"leader": leader, "candidate": candidate, "scheduled_at": at}
        return self._said("POST", "/switchover", 202, codec.encode(body))

    def schedule_restart(self, at: str, asked: ServerRequest) -> str:
        """Schedule the restart of the node's server for an ISO 8601 time; what it says to it."""
        body = {
            "name": asked.name,
            "role": asked.role,
            "postgres_version": asked.postgres_version,
            "restart_pending": asked.restart_pending,
            "schedule": at,
        }
        return self._said("POST", "/restart", 202, codec.encode(body))

    def cancel_switchover(self) -> str:
        """Take the switchover off the schedule; Refused with 404 if there is none."""
        return self._said("DELETE", "/switchover", 200, None)

    def cancel_restart(self, name: str) -> str:
        """Take the restart of a member off the schedule; Refused with 404 if there is none."""
        return self._said("DELETE", f"/restart?{urlencode({'name': name})}", 200, None)

    def _said(self, method: str, path: str, status: int, body: bytes | None) -> str:
        """After Unreachable with `sent`, and after Unsettled, it may have been done."""
        answer = self._exchange(method, path, body, known=True)
        if answer.status == HTTPStatus.SERVICE_UNAVAILABLE:
            raise Unsettled(answer.status, self._reason(answer))
        if answer.status != status:
            raise Refused(answer.status, self._reason(answer))
        told: dict[str, Any] = self._read(answer, lambda raw: raw)
        return str(told.get("message", ""))

    def reload(self) -> str:
        """Have the node read its file again; what it says to it."""
        answer = self._exchange("POST", "/reload", b"{}", known=True)
        if answer.status != 202:
            raise Refused(answer.status, self._reason(answer))
        return str(self._read(answer, lambda raw: raw).get("reason", ""))

    def change_member(self, asked: MemberChangeRequest) -> MemberChange:
        """Hand a wish over without waiting for its outcome. After Unreachable with `sent` it may
        have been accepted."""
        body: dict[str, Any] = {"verb": asked.verb, "name": asked.name, "address": asked.address}
        body |= {"wait": False} | ({"dry_run": True} if asked.dry_run else {})
        answer = self._exchange("POST", "/members", codec.encode(body), known=True)
        if answer.status not in (200, 202, 412, 503):
            raise Refused(answer.status, self._reason(answer))
        try:
            return codec.member_change(codec.parse(answer.body))
        except BadDocument:
            raise Refused(answer.status, self._reason(answer)) from None

    def config(self) -> tuple[dict[str, Any], str | None]:
        """The shared settings as they were given, and the `ETag` of their revision."""
        answer = self._expect("/config", 200)
        return self._read(answer, lambda raw: raw), answer.etag

    def change_config(
        self, method: str, document: Mapping[str, Any], etag: str | None = None
    ) -> dict[str, Any]:
        """PATCH or PUT the shared settings, if they are those of `etag`; the new ones. After
        Unreachable with `sent`, and after Refused with 503, it may have been done."""
        body = codec.encode(document)
        answer = self._exchange(method, "/config", body, known=True, etag=etag)
        if answer.status != 200:
            raise Refused(answer.status, self._reason(answer))
        settings: dict[str, Any] = self._read(answer, lambda raw: raw)
        return settings

    def member_change(self, name: str) -> MemberChange | None:
        """The latest wish for a name that the node knows of."""
        answer = self._expect(f"/members?{urlencode({'name': name})}", 200, 204)
        return None if answer.status == 204 else self._read(answer, codec.member_change)

    def examination(self) -> Examination:
        """What the node found of itself, measured now."""
        answer = self._expect("/doctor", 200, known=True)
        found: Examination = self._read(answer, codec.examination)
        return found

    def events(self, last: int) -> Chapter:
        """The last so many lines of what happened on the node."""
        chapter: Chapter = self._read(self._expect(f"/events?last={last}", 200), codec.chapter)
        return chapter

    def store(self, prefix: str, *, local: bool) -> StoreReport:
        """The keys that begin with this; of the node's own replica, or linearizable."""
        query = {"prefix": prefix, **({"local": "1"} if local else {})}
        answer = self._expect(f"/store?{urlencode(query)}", 200, known=True)
        report: StoreReport = self._read(answer, codec.store_report)
        return report

    def store_events(self, prefix: str, after: int) -> StoreEvents:
        """What changed after a revision; Refused with 410 if the node keeps that no more."""
        query = urlencode({"prefix": prefix, "after": after})
        answer = self._expect(f"/store?{query}", 200, known=True)
        events: StoreEvents = self._read(answer, codec.store_events)
        return events

    def get(self, path: str, *, known: bool = False) -> Answer:
        """The answer to a GET, whatever its status. `known` shows who we are; else that is shown
        only to a node that asks for it."""
        answer = self._exchange("GET", path, None, known)
        if answer.status == 401 and self.auth is not None and not known:
            return self._exchange("GET", path, None, True)
        return answer

    def _expect(self, path: str, *statuses: int, known: bool = False) -> Answer:
        answer = self.get(path, known=known)
        if answer.status not in statuses:
            raise Refused(answer.status, self._reason(answer))
        return answer

    def _read(self, answer: Answer, decode: Any) -> Any:
        try:
            return decode(codec.parse(answer.body))
        except BadDocument as error:
            raise Refused(answer.status, f"{self.url}: {error}") from error

    def _reason(self, answer: Answer) -> str:
        try:
            reason = codec.parse(answer.body).get("reason")
        except BadDocument:
            reason = None
        did = "refused" if 400 <= answer.status < 500 else "answered"
        return f"{self.url} {did} ({answer.status}): {reason or 'no reason given'}"

    def _exchange(
        self, method: str, path: str, body: bytes | None, known: bool, etag: str | None = None
    ) -> Answer:
        deadline = self.clock.now().plus(self.timeout)
        connection = self._connection()
        sent = False
        try:
            connection.connect()
            sent = True
            self._limit(connection.sock, deadline)
            connection.request(method, path, body=body, headers=self._headers(body, known, etag))
            self._limit(connection.sock, deadline)
            response = connection.getresponse()
            return Answer(
                status=response.status,
                body=self._body(connection, response, deadline),
                etag=response.getheader("ETag"),
            )
        except (OSError, http.client.HTTPException) as error:
            why = reason(error, over_tls=isinstance(connection, http.client.HTTPSConnection))
            raise Unreachable(f"{self.url}: {why}", sent) from error
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        try:
            parts = urlsplit(self.url)
            port = parts.port
        except ValueError as error:
            raise Unreachable(f"{self.url}: not an address: {error}", sent=False) from error
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Unreachable(f"{self.url}: must be http://host:port or https", sent=False)
        if parts.scheme == "http":
            return http.client.HTTPConnection(parts.hostname, port, timeout=self.timeout)
        try:
            context = tls.client_context(self.tls, self.verify)
        except tls.TlsError as error:
            raise Unreachable(f"{self.url}: {error}", sent=False) from error
        return http.client.HTTPSConnection(
            parts.hostname, port, timeout=self.timeout, context=context
        )

    def _headers(self, body: bytes | None, known: bool, etag: str | None) -> dict[str, str]:
        headers = {"Connection": "close"}
        if etag is not None:
            headers["If-Match"] = etag
        if body is not None:
            headers["Content-Type"] = "application/json"
        if known and self.auth is not None:
            headers["Authorization"] = auth.basic(self.auth)
        return headers

    def _body(
        self,
        connection: http.client.HTTPConnection,
        response: http.client.HTTPResponse,
        deadline: Instant,
    ) -> bytes:
        """Read in pieces, so that an answer that drips does not outlive the deadline."""
        pieces = bytearray()
        while piece := response.read1(_CHUNK_BYTES):
            pieces += piece
            if len(pieces) > _MAX_ANSWER_BYTES:
                raise http.client.HTTPException("the answer is too large")
            self._limit(connection.sock, deadline)
        if response.length:
            raise http.client.IncompleteRead(bytes(pieces), response.length)
        return bytes(pieces)

    def _limit(self, sock: socket.socket | None, deadline: Instant) -> None:
        left = remaining(deadline, self.clock.now())
        if left <= 0:
            raise TimeoutError(f"no answer within {self.timeout:g} s")
        if sock is not None:
            sock.settimeout(left)
