"""Connections to PostgreSQL: the one file that imports psycopg2.

Two ways, because libpq blocks in two ways. The local server is reached without blocking, every
wait bounded by a deadline of ours: a stopped postmaster costs its time-out and leaves nothing
behind. A remote one may block in a name look-up, so it is asked in a thread that is abandoned.
Neither a query's text nor its parameters appear in an error: they may hold secrets.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable, Mapping, Sequence
from queue import Empty, SimpleQueue
from typing import Any, Final

import psycopg2
import psycopg2.extensions
import psycopg2.extras
from msgspec import Struct

from raftha import threads
from raftha.clock import Clock
from raftha.errors import PostgresError, PostgresUnavailable
from raftha.instants import Instant, remaining
from raftha.pg.libpq import conninfo

APPLICATION_NAME: Final = "raftha"
OWN_OPTIONS: Final = {
    "client_min_messages": "error",
    "log_min_duration_statement": "-1",
    "log_min_error_statement": "panic",  # a failed ALTER ROLE must not be logged with its verifier
    "log_statement": "none",
    "search_path": "pg_catalog",
    "synchronous_commit": "local",  # what the agent writes never waits for a standby
}
ORDINARY_OPTIONS: Final = {
    name: OWN_OPTIONS[name] for name in ("client_min_messages", "search_path")
}
"""What a role may set that is no superuser."""

_GLANCE_S: Final = 1.0
_UNAVAILABLE_CLASSES: Final = ("08", "53", "57")  # connection, resources, operator intervention

Row = tuple[Any, ...]


class Session:
    """One connection over the Unix socket. Not for use by two threads at once."""

    def __init__(
        self,
        parameters: Mapping[str, str],
        clock: Clock,
        options: Mapping[str, str] = OWN_OPTIONS,
    ) -> None:
        self._parameters = parameters
        self._options = options
        self._clock = clock
        self._connection: psycopg2.extensions.connection | None = None

    def query(self, sql: str, values: Sequence[object], timeout: float) -> list[Row]:
        """Connect if need be, run one statement, return its rows (none for a command).

        `timeout` (seconds) bounds all of it. Raises PostgresUnavailable (no answer in time,
        refused, shutting down) or PostgresError (the server refused the statement). After either
        the connection is closed; the next query makes a new one.
        """
        deadline = self._clock.now().plus(timeout)
        try:
            return self._run(sql, values, timeout, deadline)
        except psycopg2.Error as error:
            self.close()
            raise _translated(error) from error
        except BaseException:
            self.close()
            raise

    def encrypted(self, user: str, password: str, timeout: float) -> str:
        """The SCRAM verifier of a password, so that the password itself is never sent."""
        self.query(sql="SELECT 1", values=(), timeout=timeout)
        verifier: str = psycopg2.extensions.encrypt_password(
            password, user, self._connection, "scram-sha-256"
        )
        return verifier

    def close(self) -> None:
        """Close the connection, if there is one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _run(
        self, sql: str, values: Sequence[object], timeout: float, deadline: Instant
    ) -> list[Row]:
        if self._connection is None:
            self._connection = psycopg2.connect(
                conninfo(_startup(self._parameters, self._options, timeout)), async_=True
            )
            self._wait(self._connection, deadline)
        cursor = self._connection.cursor()
        cursor.execute(sql, tuple(values) or None)
        self._wait(self._connection, deadline)
        rows = [] if cursor.description is None else list(cursor.fetchall())
        cursor.close()
        return rows

    def _wait(self, connection: psycopg2.extensions.connection, deadline: Instant) -> None:
        _await(connection, lambda: remaining(deadline, self._clock.now()))


class Table(Struct, frozen=True, kw_only=True):
    """What a statement answered: `status` is its command tag, such as `UPDATE 3`."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    status: str


def tell(parameters: Mapping[str, str], sql: str, clock: Clock, timeout: float) -> Table:
    """What the last of these statements answers, for a person who waits for it and may interrupt.

    `timeout` (seconds) is for the connection alone, of which libpq knows the rest: user, password
    file, certificates. Raises PostgresUnavailable or PostgresError.
    """
    deadline = clock.now().plus(timeout)
    connection = None
    try:
        named = {"application_name": APPLICATION_NAME, **parameters}
        connection = psycopg2.connect(conninfo(named), async_=True)
        _await(connection, lambda: remaining(deadline, clock.now()))
        cursor = connection.cursor()
        cursor.execute(sql)
        _await(connection, lambda: _GLANCE_S)
        described = cursor.description or ()
        rows = tuple(cursor.fetchall()) if described else ()
        columns = tuple(column.name for column in described)
        return Table(columns=columns, rows=rows, status=cursor.statusmessage or "")
    except psycopg2.Error as error:
        raise _translated(error) from error
    finally:
        if connection is not None:
            connection.close()


def _await(connection: psycopg2.extensions.connection, left: Callable[[], float]) -> None:
    """Until the connection is ready; raises PostgresUnavailable once no time (seconds) is left."""
    while (state := connection.poll()) != psycopg2.extensions.POLL_OK:
        seconds = left()
        if seconds <= 0:
            raise PostgresUnavailable("PostgreSQL did not answer in time")
        reading = state == psycopg2.extensions.POLL_READ
        poller = select.poll()  # select() takes no descriptor from 1024 on
        poller.register(connection, select.POLLIN if reading else select.POLLOUT)
        poller.poll(max(1, int(seconds * 1000)))


def ask_remote(parameters: Mapping[str, str], commands: Sequence[str], timeout: float) -> list[Row]:
    """Send replication commands to a server; the first row of each answer.

    Raises PostgresUnavailable at the latest after `timeout` seconds; an abandoned thread ends when
    libpq gives up. Raises PostgresError if the server refuses a command.
    """
    return _abandoned_late(lambda: _ask(parameters, commands), parameters, timeout)


def read_remote(parameters: Mapping[str, str], sql: str, timeout: float) -> list[Row]:
    """The rows of one query on a server. Raises as `ask_remote` does."""
    return _abandoned_late(lambda: _read(parameters, sql, timeout), parameters, timeout)


def _abandoned_late(
    ask: Callable[[], list[Row] | PostgresError], parameters: Mapping[str, str], timeout: float
) -> list[Row]:
    answers: SimpleQueue[list[Row] | PostgresError] = SimpleQueue()
    where = f"{parameters.get('host')}:{parameters.get('port')}"
    try:
        threads.begin(lambda: answers.put(ask()), "pg-ask-remote")
        answer = answers.get(timeout=timeout)
    except OSError as error:
        raise PostgresUnavailable(f"{where} cannot be asked: {error.strerror}") from error
    except Empty:
        raise PostgresUnavailable(f"{where} did not answer within {timeout:g} s") from None
    if isinstance(answer, PostgresError):
        raise answer
    return answer


def _ask(parameters: Mapping[str, str], commands: Sequence[str]) -> list[Row] | PostgresError:
    try:
        connection = psycopg2.connect(
            conninfo({**parameters, "application_name": APPLICATION_NAME, "replication": "true"}),
            connection_factory=psycopg2.extras.PhysicalReplicationConnection,
        )
    except psycopg2.Error as error:
        return _translated(error)
    try:
        with connection.cursor() as cursor:
            return [_first_row(cursor, command) for command in commands]
    except psycopg2.Error as error:
        return _translated(error)
    finally:
        connection.close()


def _read(parameters: Mapping[str, str], sql: str, timeout: float) -> list[Row] | PostgresError:
    try:
        bound = {"options": f"-c statement_timeout={max(1, int(timeout * 1000))}"}
        named = {"application_name": APPLICATION_NAME}
        connection = psycopg2.connect(conninfo({**parameters, **named, **bound}))
    except psycopg2.Error as error:
        return _translated(error)
    try:
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall())
    except psycopg2.Error as error:
        return _translated(error)
    finally:
        connection.close()


def _first_row(cursor: psycopg2.extensions.cursor, command: str) -> Row:
    cursor.execute(command)
    row = cursor.fetchone()
    return () if row is None else tuple(row)


def _startup(
    parameters: Mapping[str, str], options: Mapping[str, str], timeout: float
) -> dict[str, str]:
    settings = {**options, "statement_timeout": f"{max(1, int(timeout * 1000))}"}
    return {
        "dbname": "postgres",
        "application_name": APPLICATION_NAME,
        "client_encoding": "UTF8",
        "gssencmode": "disable",
        **parameters,
        "options": " ".join(f"-c {name}={value}" for name, value in settings.items()),
    }


def _translated(error: psycopg2.Error) -> PostgresError:
    message = " ".join(str(error).split("\n", 1)[0].split()) or _unsaid(error)
    code = error.pgcode
    if code is None or code[:2] in _UNAVAILABLE_CLASSES:
        did = "says" if "FATAL:" in message else "did not answer"
        return PostgresUnavailable(f"PostgreSQL {did}: {message}")
    return PostgresError(f"PostgreSQL refused a statement: {message} ({code})")


def _unsaid(error: psycopg2.Error) -> str:
    """libpq has no words for a socket that it could not get (measured: no file handle was left).
    The kernel, asked once more, has."""
    try:
        socket.socket(socket.AF_UNIX).close()
    except OSError as reason:
        return reason.strerror or str(reason)
    return type(error).__name__
