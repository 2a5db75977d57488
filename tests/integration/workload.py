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
    " ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int,"
    " (pg_current_wal_insert_lsn() - '0/0')::bigint"
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
    """One row offered to one server. Times are of `time.monotonic()`, in seconds; `position` is the
    WAL's before the commit, in bytes."""

    id: int
    server: str
    started: float
    ended: float
    outcome: Outcome
    timeline: int = 0
    position: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """A summary to assert on: a run with few acknowledged rows proves nothing. `lost` rows were
    acknowledged (S6), for `overlap_s` two servers acknowledged (S1), for `gap_s` nobody did."""

    ok: int
    unknown: int
    failed: int
    rows: int
    lost: int = 0
    overlap_s: float = 0.0
    gap_s: float = 0.0


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

    def check(
        self, session: extensions.connection, at_least: int = 1, *, may_lose: bool = False
    ) -> Counts:
        """Compare with the rows that are there, after the writers ended. Raises AssertionError."""
        with session.cursor() as cursor:
            cursor.execute(f"SELECT id FROM {TABLE}")
            rows = {int(row[0]) for row in cursor.fetchall()}
        return self.judge(rows, at_least, may_lose=may_lose)

    def judge(self, rows: set[int], at_least: int, *, may_lose: bool = False) -> Counts:
        """Raises AssertionError on any violation, and when fewer than `at_least` rows were
        acknowledged. `may_lose`: without synchronous replication acknowledged rows may be lost."""
        attempts = self.attempts()
        problems = writer_violations(attempts)
        if not may_lose:
            problems += set_violations(attempts, rows)
        count = {word: sum(a.outcome is word for a in attempts) for word in Outcome}
        counts = Counts(
            ok=count[Outcome.OK],
            unknown=count[Outcome.UNKNOWN],
            failed=count[Outcome.FAILED],
            rows=len(rows),
            lost=len({a.id for a in attempts if a.outcome is Outcome.OK} - rows),
            overlap_s=overlap_s(attempts),
            gap_s=self.longest_gap_s(),
        )
        assert not problems, "\n".join([*problems, str(counts)])
        assert counts.overlap_s == 0, f"two servers acknowledged for {counts.overlap_s:.3f} s"
        assert counts.ok >= at_least, f"only {counts.ok} rows were acknowledged"
        return counts


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


def reigns_of(attempts: Iterable[Attempt]) -> dict[tuple[str, int], list[Attempt]]:
    """What each server acknowledged on each timeline: a reign is one server on one timeline."""
    reigns: dict[tuple[str, int], list[Attempt]] = defaultdict(list)
    for attempt in attempts:
        if attempt.outcome is Outcome.OK:
            reigns[attempt.server, attempt.timeline].append(attempt)
    return reigns


def overlap_s(attempts: Iterable[Attempt]) -> float:
    """The longest time for which two reigns both acknowledged for certain (S1): each did from when
    its first answer came to when its last acknowledged request went out. 0 if none did."""
    spans = [
        (min(a.ended for a in own), max(a.started for a in own))
        for own in reigns_of(attempts).values()
    ]
    pairs = itertools.combinations(spans, 2)
    common = (min(one[1], other[1]) - max(one[0], other[0]) for one, other in pairs)
    return max(0.0, *common, 0.0)


def writer_violations(attempts: Iterable[Attempt]) -> list[str]:
    """The single writer (S1).

    A reign acknowledged before its first answer came and after its last acknowledged request went
    out; a row that another one took in certainly between the two is a second writer.
    """
    reigns = reigns_of(attempts)
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
    """Tries to write to every server each 50 ms, one thread and session for each, whatever its
    role. An attempt without an answer after `limit_s` is given up, with its session."""

    def __init__(
        self,
        ledger: Ledger,
        servers: Sequence[str],
        connect: Callable[[str], extensions.connection],
        period_s: float = PROBE_PERIOD_S,
        *,
        statement: str = INSERT,
        limit_s: float = ATTEMPT_LIMIT_S,
    ) -> None:
        self.ledger = ledger
        self.connect = connect
        self._period_s = period_s
        self._statement = statement
        self._limit_s = limit_s
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
        """End the threads, once or again. An attempt under way is given up after a moment."""
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
            return self.connect(server)
        except psycopg2.Error:
            return None

    def _attempt(self, server: str, session: extensions.connection) -> bool:
        """One row; False if the session is of no more use."""
        number = self.ledger.next_id()
        started = time.monotonic()
        row = (number, server)
        outcome, timeline, position = offer(
            session, self._statement, row, self._limit_s, self._ended
        )
        self.ledger.record(
            Attempt(
                id=number,
                server=server,
                started=started,
                ended=time.monotonic(),
                outcome=outcome,
                timeline=timeline,
                position=position,
            )
        )
        return outcome is not Outcome.UNKNOWN


def offer(
    session: extensions.connection,
    statement: str,
    row: tuple[int, str],
    limit_s: float,
    ended: threading.Event,
) -> tuple[Outcome, int, int]:
    """Insert one row through an asynchronous session; its outcome, and where in the WAL it is if
    that is ok. The end of the test cuts a long wait short."""
    session.notices.clear()
    try:
        cursor = session.cursor()
        cursor.execute(statement, row)
        wait_until_ready(session, limit_s, ended)
        timeline, position = cursor.fetchone() or (0, 0)
    except TimeoutError:
        return Outcome.UNKNOWN, 0, 0
    except psycopg2.Error as error:
        return (Outcome.FAILED if error.pgcode in NEVER_HAPPENED else Outcome.UNKNOWN), 0, 0
    # A commit whose wait for the standbys was cancelled says so in a warning: not acknowledged.
    if any(notice.startswith("WARNING") for notice in session.notices):
        return Outcome.UNKNOWN, 0, 0
    return Outcome.OK, timeline, position


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


def wait_until_ready(
    session: extensions.connection, timeout_s: float, ended: threading.Event | None = None
) -> None:
    """Let libpq work until its answer is there; once `ended` is set for no longer than a usual
    attempt. Raises psycopg2.Error or TimeoutError."""
    deadline = time.monotonic() + timeout_s
    while (state := session.poll()) != extensions.POLL_OK:
        if ended is not None and ended.is_set():
            deadline = min(deadline, time.monotonic() + ATTEMPT_LIMIT_S)
            ended = None
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        readers = [session] if state == extensions.POLL_READ else []
        writers = [session] if state == extensions.POLL_WRITE else []
        select.select(readers, writers, [], min(left, ATTEMPT_LIMIT_S))


def create_table(session: extensions.connection) -> None:
    """Make the ledger's table, through a session that commits by itself."""
    with session.cursor() as cursor:
        cursor.execute(CREATE)
