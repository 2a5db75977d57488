"""Writers of unique rows, the memory of what became of each, and the checkers that read it.

An attempt ends *ok* (the server acknowledged it without a warning), *failed* (the server said that
it did not happen) or *unknown* (everything else). Acknowledged rows must survive, failed ones must
not appear, unknown ones may do either; and no server may acknowledge between two acknowledgements
of another server's reign.
"""

from __future__ import annotations

import itertools
import select
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import psycopg2
from psycopg2 import errorcodes, extensions

PROBE_PERIOD_S: Final = 0.05
ATTEMPT_LIMIT_S: Final = 2.0
TABLE: Final = "public.ledger"
CREATE: Final = f"CREATE TABLE IF NOT EXISTS {TABLE} (id bigint PRIMARY KEY, server text NOT NULL)"
# The timeline is read from the name of the WAL file that takes the next record.
INSERT: Final = (
    f"INSERT INTO {TABLE} VALUES (%s, %s) RETURNING"
    " ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int"
)
NEVER_HAPPENED: Final = frozenset(
    {
        errorcodes.READ_ONLY_SQL_TRANSACTION,
        errorcodes.UNDEFINED_TABLE,
        errorcodes.OBJECT_NOT_IN_PREREQUISITE_STATE,
    }
)
"""Errors of the statement itself: it never came to a commit."""


class Outcome(StrEnum):
    """What is known of one attempt."""

    OK = "ok"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One row offered to one server. Times are of `time.monotonic()`, in seconds."""

    id: int
    server: str
    started: float
    ended: float
    outcome: Outcome
    timeline: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """A summary to assert on: a run with few acknowledged rows proves nothing."""

    ok: int
    unknown: int
    failed: int
    rows: int


class Ledger:
    """All attempts of all writers. Its methods may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ids = itertools.count(1)
        self._attempts: list[Attempt] = []

    def next_id(self) -> int:
        """A number that no other attempt has."""
        with self._lock:
            return next(self._ids)

    def record(self, attempt: Attempt) -> None:
        with self._lock:
            self._attempts.append(attempt)

    def attempts(self) -> tuple[Attempt, ...]:
        """All that ended so far."""
        with self._lock:
            return tuple(self._attempts)

    def acknowledged(self, since: float = 0.0) -> int:
        """How many rows were acknowledged from this instant on."""
        return sum(a.outcome is Outcome.OK and a.ended >= since for a in self.attempts())

    def longest_gap_s(self, since: float = 0.0) -> float:
        """The longest time between two acknowledgements, of which the latter came from this instant
        on: the write outage that clients saw."""
        times = sorted(a.ended for a in self.attempts() if a.outcome is Outcome.OK)
        pairs = itertools.pairwise(times)
        return max((after - before for before, after in pairs if after >= since), default=0.0)

    def check(self, session: extensions.connection, at_least: int = 1) -> Counts:
        """Compare with the rows that are there, after the writers ended.

        Raises AssertionError on any violation, and when fewer than `at_least` rows were
        acknowledged.
        """
        with session.cursor() as cursor:
            cursor.execute(f"SELECT id FROM {TABLE}")
            rows = {int(row[0]) for row in cursor.fetchall()}
        attempts = self.attempts()
        problems = [*set_violations(attempts, rows), *writer_violations(attempts)]
        assert not problems, "\n".join(problems)
        count = {word: sum(a.outcome is word for a in attempts) for word in Outcome}
        assert count[Outcome.OK] >= at_least, f"only {count[Outcome.OK]} rows were acknowledged"
        return Counts(
            ok=count[Outcome.OK],
            unknown=count[Outcome.UNKNOWN],
            failed=count[Outcome.FAILED],
            rows=len(rows),
        )


def set_violations(attempts: Iterable[Attempt], rows: set[int]) -> list[str]:
    """The set test (S6): what is lost, and what came from nowhere."""
    by_outcome: dict[Outcome, set[int]] = defaultdict(set)
    for attempt in attempts:
        by_outcome[attempt.outcome].add(attempt.id)
    tried = set().union(*by_outcome.values())
    findings = (
        ("were acknowledged and are lost", by_outcome[Outcome.OK] - rows),
        ("were refused and are there", by_outcome[Outcome.FAILED] & rows),
        ("are there and were never tried", rows - tried),
    )
    return [f"{len(ids)} rows {what}: {sorted(ids)[:10]}" for what, ids in findings if ids]


def writer_violations(attempts: Iterable[Attempt]) -> list[str]:
    """The single writer (S1): a reign is one server on one timeline.

    It acknowledged before its first answer came and after its last acknowledged request went out; a
    row that another reign took in certainly between the two is a second writer.
    """
    reigns: dict[tuple[str, int], list[Attempt]] = defaultdict(list)
    for attempt in attempts:
        if attempt.outcome is Outcome.OK:
            reigns[attempt.server, attempt.timeline].append(attempt)
    found = []
    for reign, own in reigns.items():
        since, until = min(a.ended for a in own), max(a.started for a in own)
        others = (a for other, theirs in reigns.items() if other != reign for a in theirs)
        inside = [a for a in others if since < a.started and a.ended < until]
        if inside:
            found.append(f"{len(inside)} rows, first {inside[0]}, lie within the reign of {reign}")
    for (server, timeline), (other, same) in itertools.combinations(sorted(reigns), 2):
        if timeline == same:
            found.append(f"{server} and {other} both acknowledged on timeline {timeline}")
    return found


class WriteProber:
    """Tries to write to every server each 50 ms, one thread for each, whatever its role."""

    def __init__(
        self,
        ledger: Ledger,
        servers: Sequence[str],
        connect: Callable[[str], extensions.connection],
        period_s: float = PROBE_PERIOD_S,
    ) -> None:
        self.ledger = ledger
        self._connect = connect
        self._period_s = period_s
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(
                target=self._probe, args=(server,), name=f"prober-{server}", daemon=True
            )
            for server in servers
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the threads, once or again. A frozen server is given up at the attempt's limit."""
        self._ended.set()
        for thread in self._threads:
            thread.join(2 * ATTEMPT_LIMIT_S + 5)
            assert not thread.is_alive(), f"{thread.name} hangs"

    def _probe(self, server: str) -> None:
        session: extensions.connection | None = None
        while not self._ended.wait(self._period_s):
            if session is None or session.closed:
                session = self._open(server)
            if session is not None and not self._attempt(server, session):
                session.close()
                session = None

    def _open(self, server: str) -> extensions.connection | None:
        try:
            return self._connect(server)
        except psycopg2.Error:
            return None

    def _attempt(self, server: str, session: extensions.connection) -> bool:
        """One row; False if the session is of no more use."""
        number = self.ledger.next_id()
        started = time.monotonic()
        outcome, timeline = offer(session, number, server)
        self.ledger.record(
            Attempt(
                id=number,
                server=server,
                started=started,
                ended=time.monotonic(),
                outcome=outcome,
                timeline=timeline,
            )
        )
        return outcome is not Outcome.UNKNOWN


def offer(session: extensions.connection, number: int, server: str) -> tuple[Outcome, int]:
    """Insert one row through an asynchronous session; its outcome, and the timeline if it is ok."""
    session.notices.clear()
    try:
        cursor = session.cursor()
        cursor.execute(INSERT, (number, server))
        wait_until_ready(session, ATTEMPT_LIMIT_S)
        (timeline,) = cursor.fetchone() or (0,)
    except TimeoutError:
        return Outcome.UNKNOWN, 0
    except psycopg2.Error as error:
        return (Outcome.FAILED if error.pgcode in NEVER_HAPPENED else Outcome.UNKNOWN), 0
    # A commit whose wait for the standbys was cancelled says so in a warning: not acknowledged.
    if any(notice.startswith("WARNING") for notice in session.notices):
        return Outcome.UNKNOWN, 0
    return Outcome.OK, timeline


def open_session(host: str, port: int, user: str, password: str) -> extensions.connection:
    """An asynchronous session, so that a frozen server cannot hold the caller.

    Raises psycopg2.Error, also when the server does not answer within the attempt's limit.
    """
    session: extensions.connection = psycopg2.connect(
        host=host, port=port, user=user, password=password, dbname="postgres", async_=True
    )
    try:
        wait_until_ready(session, ATTEMPT_LIMIT_S)
    except TimeoutError as error:
        session.close()
        raise psycopg2.OperationalError(f"{host}:{port} does not answer") from error
    return session


def wait_until_ready(session: extensions.connection, timeout_s: float) -> None:
    """Let libpq work until its answer is there. Raises psycopg2.Error or TimeoutError."""
    deadline = time.monotonic() + timeout_s
    while (state := session.poll()) != extensions.POLL_OK:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        readers = [session] if state == extensions.POLL_READ else []
        writers = [session] if state == extensions.POLL_WRITE else []
        select.select(readers, writers, [], left)


def create_table(session: extensions.connection) -> None:
    """Make the ledger's table, through a session that commits by itself."""
    with session.cursor() as cursor:
        cursor.execute(CREATE)
