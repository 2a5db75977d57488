"""The HTTP server: cheroot around the application, with bounded threads.

A client that connects and says nothing must not hold up the others. cheroot performs TLS handshakes
in the one thread that accepts connections; the adapter here leaves them to the workers, where the
connection's timeout bounds them.
"""

from __future__ import annotations

import errno
import logging
import platform
import socket
import ssl
import sys
from collections.abc import Callable, Iterable
from http import HTTPStatus
from queue import SimpleQueue
from threading import Event, Thread
from typing import Any, Final

from cheroot.makefile import StreamReader, StreamWriter
from cheroot.server import HTTPConnection, HTTPRequest
from cheroot.ssl import Adapter
from cheroot.wsgi import Server
from msgspec.structs import replace

from raftha import __version__
from raftha.api import codec, tls
from raftha.api.allowlist import Allowlist, Names
from raftha.api.application import MAX_BODY_BYTES, Application, Request, parse_query
from raftha.api.auth import Caller
from raftha.api.patience import Crowd, Patience, hang_up
from raftha.api.reply import Reply, Text
from raftha.api.responder import Responder
from raftha.clock import Clock
from raftha.errors import RafthaError
from raftha.model.settings import Address, RestConfig, ServerTokens

log = logging.getLogger(__name__)

THREADS: Final = 12
"""At most eight peers measure this node at once, and a third of the threads may do slow work."""

MOST_QUIET: Final = 200
"""Connections that wait for their client: more would take file handles that the agent needs."""

_QUEUE: Final = 64
"""Connections that wait for a worker."""

_SILENCE_S: Final = 5
"""How long a connection may say nothing, within a request and between two."""

_EXPIRY_S: Final = 0.25
"""How often the accepting thread wakes without work; a stop waits for it."""

_QUEUE_WAIT_S: Final = 1
_STOP_S: Final = 2
_IS_VERIFIED: Final = "raftha.is_verified"
_TOKENS: Final = {
    ServerTokens.PRODUCT_ONLY: "raftha",
    ServerTokens.MINIMAL: f"raftha/{__version__}",
    ServerTokens.ORIGINAL: f"raftha/{__version__} Python/{platform.python_version()}",
}

_WANT: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
_REST_S: Final = 0.1
"""Pause after a connection for which this node has no file handle or no memory: whoever knocks
waits, and the accepting thread would turn without end."""

StartResponse = Callable[[str, list[tuple[str, str]]], Any]


class ListenError(RafthaError):
    """The server cannot listen on its address."""


class ApiServer:
    """Serves the API of one node from `start` to `stop`; it starts once."""

    def __init__(self, config: RestConfig, responder: Responder, clock: Clock) -> None:
        self._config = config
        self._responder = responder
        self._clock = clock
        self._stopping = Event()
        self._names = Names(clock)
        self._fresh: tls.Fresh | None = None
        self._server: _Server | None = None

    def start(self) -> Address:
        """Listen, and serve from threads of its own. Returns the address listened on, whose port
        was chosen by the system if 0 was asked for. Raises ListenError or TlsError."""
        application = Application(
            config=self._config,
            responder=self._responder,
            clock=self._clock,
            allowlist=self._allowlist(self._config),
            stopping=self._stopping,
        )
        adapter = None
        if self._config.tls is not None:
            self._fresh = tls.Fresh(
                self._config.tls, self._config.verify_client, self._clock, self._config.ciphers
            )
            adapter = _LazyTls(self._fresh)
        listen = self._config.listen
        server = _Server(self._config, application, adapter, self._clock)
        outcome: SimpleQueue[OSError | None] = SimpleQueue()
        Thread(target=_serve, args=(server, outcome), name="api", daemon=True).start()
        if (error := outcome.get()) is not None:
            raise ListenError(_why_not(listen, error)) from error
        self._server = server
        host, port = server.bind_addr[:2]
        return Address(host, port)

    def take(self, config: RestConfig) -> None:
        """Go by these settings where that needs no other server: requests that came before end by
        the old ones. Raises TlsError if the certificate, the key or the ciphers cannot be used;
        nothing has changed then."""
        fresh = self._config.followed_by(config)
        if self._fresh is not None and fresh.tls is not None:
            self._fresh.change(fresh.tls, fresh.verify_client, fresh.ciphers)
        self._config = fresh
        if self._server is not None:
            self._server.go_by(fresh, self._allowlist(fresh))

    def _allowlist(self, config: RestConfig) -> Allowlist | None:
        if not config.is_limited:
            return None
        members = self._responder.hosts if config.allowlist_include_members else tuple
        return Allowlist(config.allowlist, members, self._names)

    def stop(self) -> None:
        """Close the port and end the threads; those that still answer get two seconds."""
        self._stopping.set()
        if self._server is not None:
            self._server.stop()


class _Gateway:
    """The application as WSGI. A worker that has a whole request no more waits for its client."""

    def __init__(self, application: Application, patience: Patience) -> None:
        self.application = application
        self._patience = patience
        self.extra: tuple[tuple[str, str], ...] = ()

    def __call__(self, environ: dict[str, Any], start: StartResponse) -> Iterable[bytes]:
        # Before its certificate is judged: what counted for the old settings counts for no others.
        application = self.application
        request = _request(environ)
        self._patience.work()
        try:
            return self._answer(application, request, environ, start)
        finally:
            self._patience.wait()

    def _answer(
        self,
        application: Application,
        request: Request,
        environ: dict[str, Any],
        start: StartResponse,
    ) -> Iterable[bytes]:
        reply = application.reply(request)
        silent = reply.body is None or environ["REQUEST_METHOD"] == "OPTIONS"
        body = b"" if silent else _encoded(reply)
        headers = [*_headers(reply, body), *self.extra]
        start(f"{reply.status} {HTTPStatus(reply.status).phrase}", headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


class _Head(HTTPRequest):
    """One request. A body in chunks is never read: what is behind it is not another request. One
    on a connection that was let in on other terms is the last on it."""

    def read_request_headers(self) -> bool:
        read: Callable[[], bool] = super().read_request_headers
        is_fine = read()
        length: bytes = self.inheaders.get(b"Content-Length", b"0")
        if b"Transfer-Encoding" in self.inheaders or not length.isdigit():
            self.close_connection = True
        if self.conn.terms != self.server.terms:
            self.close_connection = True
        return is_fine


class _Connection(HTTPConnection):
    """A connection that says to whom its worker listens."""

    RequestHandlerClass = _Head
    is_new = True

    def __init__(self, server: _Server, sock: socket.socket, makefile: Any) -> None:
        super().__init__(server, sock, makefile)
        self.terms = server.terms

    def communicate(self) -> bool:
        """Serve one request. True if the connection stays open."""
        patience: Patience = self.server.patience
        exchange: Callable[[], bool] = super().communicate
        patience.serve(self.socket)
        try:
            return exchange()
        finally:
            patience.leave()

    def close(self) -> None:
        """Let the client go."""
        self.server.quiet.pop(self, None)
        super().close()


class _Server(Server):
    """cheroot with our limits, and its errors in our log."""

    timeout = _SILENCE_S
    expiration_interval = _EXPIRY_S
    max_request_body_size = MAX_BODY_BYTES
    max_request_header_size = 16384
    keep_alive_conn_limit = 100
    ConnectionClass = _Connection

    def __init__(
        self,
        config: RestConfig,
        application: Application,
        adapter: _LazyTls | None,
        clock: Clock,
    ) -> None:
        self.patience = Patience(clock, self._crowd)
        self.quiet: dict[_Connection, None] = {}
        self._ended = Event()
        self._answers = _Gateway(application, self.patience)
        super().__init__(
            (config.listen.host, config.listen.port),
            self._answers,
            numthreads=THREADS,
            max=THREADS,
            request_queue_size=config.request_queue_size,
            timeout=_SILENCE_S,
            shutdown_timeout=_STOP_S,
            accepted_queue_size=_QUEUE,
            accepted_queue_timeout=_QUEUE_WAIT_S,
        )
        self.ssl_adapter = adapter
        self._show(config)

    def go_by(self, config: RestConfig, allowlist: Allowlist | None) -> None:
        """From the next request on."""
        application = self._answers.application
        self._answers.application = replace(application, config=config, allowlist=allowlist)
        self._show(config)

    def _show(self, config: RestConfig) -> None:
        """What goes with each answer, and by which terms a client is let in."""
        self.server_name = _TOKENS[config.server_tokens]
        self._answers.extra = config.extra_headers
        self.terms = (config.tls, config.verify_client)

    def _crowd(self) -> Crowd:
        return Crowd(queued=self.requests.qsize, idle=self.requests.idle)

    def process_conn(self, conn: _Connection) -> None:
        """A new connection waits without a worker until its client says something."""
        if conn.is_new:
            conn.is_new = False
            self.put_conn(conn)
            return
        self.quiet.pop(conn, None)
        super().process_conn(conn)
        self.patience.crowd()

    def put_conn(self, conn: _Connection) -> None:
        """Wait for a client; whoever has been silent longest goes where that are too many."""
        self.quiet[conn] = None
        super().put_conn(conn)
        if len(self.quiet) > MOST_QUIET:
            oldest = next(iter(self.quiet), None)
            if oldest is not None:
                hang_up(oldest.socket)

    def error_log(self, msg: str = "", level: int = logging.INFO, traceback: bool = False) -> None:
        """A connection that broke is a client's affair; anything else is a fault of ours."""
        error = sys.exc_info()[1]
        ours = traceback and not isinstance(error, OSError)
        log.log(level if ours else logging.DEBUG, "%s", msg, exc_info=ours)
        if isinstance(error, OSError) and error.errno in _WANT:
            self._ended.wait(_REST_S)

    def stop(self) -> None:
        """Also end a rest."""
        self._ended.set()
        super().stop()


class _LazyTls(Adapter):
    """Wraps a connection without its handshake, which the first read then performs."""

    def __init__(self, fresh: tls.Fresh) -> None:
        self._fresh = fresh

    def bind(self, sock: socket.socket) -> socket.socket:
        """The listening socket stays as it is."""
        return sock

    def wrap(self, sock: socket.socket) -> tuple[ssl.SSLSocket, dict[str, Any]]:
        trust = self._fresh.trust
        wrapped = self._fresh.context().wrap_socket(
            sock, server_side=True, do_handshake_on_connect=False
        )

        def is_verified() -> bool:
            """Its certificate was asked for by whom and what it has to be shown for now."""
            return bool(wrapped.getpeercert()) and self._fresh.trust == trust

        return wrapped, {"wsgi.url_scheme": "https", _IS_VERIFIED: is_verified}

    def get_environ(self) -> dict[str, Any]:
        """Nothing: `wrap` gives what says of a connection whether its certificate counts."""
        return {}

    def makefile(self, sock: ssl.SSLSocket, mode: str = "r", bufsize: int = -1) -> Any:
        return (StreamReader if "r" in mode else StreamWriter)(sock, mode, bufsize)


def _serve(server: _Server, outcome: SimpleQueue[OSError | None]) -> None:
    """The accepting thread. It makes the workers too, which inherit from it that they do not keep
    a process alive that ends."""
    try:
        server.prepare()
    except OSError as error:
        outcome.put(error)
        return
    outcome.put(None)
    server.patience.begin()
    server.serve()
    server.patience.end()


def _request(environ: dict[str, Any]) -> Request:
    is_verified: Callable[[], bool] | None = environ.get(_IS_VERIFIED)
    return Request(
        method=environ["REQUEST_METHOD"],
        path=_path(environ.get("PATH_INFO", "")),
        query=parse_query(environ.get("QUERY_STRING", "")),
        body=_body(environ),
        caller=Caller(
            address=environ.get("REMOTE_ADDR", ""),
            authorization=environ.get("HTTP_AUTHORIZATION"),
            verified=is_verified is not None and is_verified(),
        ),
        if_match=environ.get("HTTP_IF_MATCH"),
    )


def _body(environ: dict[str, Any]) -> bytes | None:
    """Empty where the client announces none (RFC 9112, 6.3); None where it is in chunks, or its
    length is no number."""
    length = environ.get("CONTENT_LENGTH") or "0"
    if "HTTP_TRANSFER_ENCODING" in environ or not length.isdecimal():
        return None
    body: bytes = environ["wsgi.input"].read(int(length))
    return body


def _path(text: str) -> str:
    return "/" + text.strip("/")


def _encoded(reply: Reply) -> bytes:
    if isinstance(reply.body, Text):
        return reply.body.content
    return codec.encode(reply.body) + b"\n"


def _headers(reply: Reply, body: bytes) -> list[tuple[str, str]]:
    if reply.status == HTTPStatus.NO_CONTENT:
        return list(reply.headers)
    kind = reply.body.content_type if isinstance(reply.body, Text) else "application/json"
    return [
        ("Content-Type", kind),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
        *reply.headers,
    ]


def _why_not(listen: Address, error: OSError) -> str:
    if f"[Errno {errno.EADDRINUSE}]" in str(error):  # cheroot keeps the text only
        return (
            f"restapi.listen {listen}: another process listens on this port; stop it (another "
            "raftha, or Patroni?) or choose another port"
        )
    return f"restapi.listen {listen}: cannot listen there: {error}"
