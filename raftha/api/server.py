"""The HTTP server: cheroot around the application, with bounded threads.

A client that connects and says nothing must not hold up the others. cheroot performs TLS handshakes
in the one thread that accepts connections; the adapter here leaves them to the workers, where the
connection's timeout bounds them.
"""

from __future__ import annotations

import errno
import logging
import socket
import ssl
import sys
from collections.abc import Callable, Iterable
from http import HTTPStatus
from queue import SimpleQueue
from threading import Event, Thread
from typing import Any, Final

from cheroot.makefile import StreamReader, StreamWriter
from cheroot.ssl import Adapter
from cheroot.wsgi import Server

from raftha import __version__
from raftha.api import codec, tls
from raftha.api.application import MAX_BODY_BYTES, Application, Request, parse_query
from raftha.api.auth import Caller
from raftha.api.reply import Reply, Text
from raftha.api.responder import Responder
from raftha.clock import Clock
from raftha.errors import RafthaError
from raftha.model.settings import Address, RestConfig

log = logging.getLogger(__name__)

THREADS: Final = 12
"""At most eight peers measure this node at once, and a third of the threads may do slow work."""

_QUEUE: Final = 64
_SILENCE_S: Final = 5
"""How long a connection may say nothing, within a request and between two."""

_EXPIRY_S: Final = 0.25
"""How often the accepting thread wakes without work; a stop waits for it."""

_QUEUE_WAIT_S: Final = 1
_STOP_S: Final = 2
_TLS_SOCKET: Final = "raftha.tls_socket"

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
        self._server: _Server | None = None
        self._adapter: _LazyTls | None = None

    def start(self) -> Address:
        """Listen, and serve from threads of its own. Returns the address listened on, whose port
        was chosen by the system if 0 was asked for. Raises ListenError or TlsError."""
        application = Application(
            config=self._config,
            responder=self._responder,
            clock=self._clock,
            stopping=self._stopping,
        )
        if self._config.tls is not None:
            context = tls.server_context(self._config.tls, self._config.verify_client)
            self._adapter = _LazyTls(context)
        listen = self._config.listen
        server = _Server((listen.host, listen.port), _Gateway(application), self._adapter)
        outcome: SimpleQueue[OSError | None] = SimpleQueue()
        Thread(target=_serve, args=(server, outcome), name="api", daemon=True).start()
        if (error := outcome.get()) is not None:
            raise ListenError(_why_not(listen, error)) from error
        self._server = server
        host, port = server.bind_addr[:2]
        return Address(host, port)

    def reload_tls(self) -> None:
        """Read the certificate files again; connections that exist keep theirs. Raises TlsError,
        and the old ones stay in use."""
        if self._adapter is not None and self._config.tls is not None:
            self._adapter.context = tls.server_context(self._config.tls, self._config.verify_client)

    def stop(self) -> None:
        """Close the port and end the threads; those that still answer get two seconds."""
        self._stopping.set()
        if self._server is not None:
            self._server.stop()


class _Gateway:
    """The application as WSGI."""

    def __init__(self, application: Application) -> None:
        self._application = application

    def __call__(self, environ: dict[str, Any], start: StartResponse) -> Iterable[bytes]:
        reply = self._application.reply(_request(environ))
        silent = reply.body is None or environ["REQUEST_METHOD"] == "OPTIONS"
        body = b"" if silent else _encoded(reply)
        start(f"{reply.status} {HTTPStatus(reply.status).phrase}", _headers(reply, body))
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


class _Server(Server):
    """cheroot with our limits, and its errors in our log."""

    timeout = _SILENCE_S
    expiration_interval = _EXPIRY_S
    max_request_body_size = MAX_BODY_BYTES
    max_request_header_size = 16384
    keep_alive_conn_limit = 100

    def __init__(
        self, address: tuple[str, int], gateway: _Gateway, adapter: _LazyTls | None
    ) -> None:
        super().__init__(
            address,
            gateway,
            numthreads=THREADS,
            max=THREADS,
            server_name=f"raftha/{__version__}",
            request_queue_size=_QUEUE,
            timeout=_SILENCE_S,
            shutdown_timeout=_STOP_S,
            accepted_queue_size=_QUEUE,
            accepted_queue_timeout=_QUEUE_WAIT_S,
        )
        self.ssl_adapter = adapter

    def error_log(self, msg: str = "", level: int = logging.INFO, traceback: bool = False) -> None:
        """A connection that broke is a client's affair; anything else is a fault of ours."""
        ours = traceback and not isinstance(sys.exc_info()[1], OSError)
        log.log(level if ours else logging.DEBUG, "%s", msg, exc_info=ours)


class _LazyTls(Adapter):
    """Wraps a connection without its handshake, which the first read then performs."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.context = context

    def bind(self, sock: socket.socket) -> socket.socket:
        """The listening socket stays as it is."""
        return sock

    def wrap(self, sock: socket.socket) -> tuple[ssl.SSLSocket, dict[str, Any]]:
        wrapped = self.context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        return wrapped, {"wsgi.url_scheme": "https", _TLS_SOCKET: wrapped}

    def get_environ(self) -> dict[str, Any]:
        """Nothing: `wrap` gives the socket, and who needs its certificate asks it."""
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
    server.serve()


def _request(environ: dict[str, Any]) -> Request:
    length = environ.get("CONTENT_LENGTH", "")
    tls_socket: ssl.SSLSocket | None = environ.get(_TLS_SOCKET)
    return Request(
        method=environ["REQUEST_METHOD"],
        path=_path(environ.get("PATH_INFO", "")),
        query=parse_query(environ.get("QUERY_STRING", "")),
        body=environ["wsgi.input"].read(int(length)) if length.isdecimal() else None,
        caller=Caller(
            address=environ.get("REMOTE_ADDR", ""),
            authorization=environ.get("HTTP_AUTHORIZATION"),
            verified=tls_socket is not None and bool(tls_socket.getpeercert()),
        ),
        if_match=environ.get("HTTP_IF_MATCH"),
    )


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
