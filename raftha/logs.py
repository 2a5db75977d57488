"""Log set-up and the one way to log: an event in words, then facts as key=value.

One event is one line, in plain text or JSON, on standard error or in a file that is rotated. A
`Secret` shows itself as `***` wherever it stands; a text is never searched for secrets, so none may
be put into one.
"""

from __future__ import annotations

import json
import logging
import logging.handlers
import queue
import re
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple, TextIO

from raftha.clock import Clock
from raftha.instants import Instant, Seconds, shortest

_ROOT: Final = "raftha"
_FACTS: Final = "raftha_facts"
LONGEST_QUEUE: Final = 1000
NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
RESERVED: Final = ("time", "level", "logger", "event", "traceback")
"""What each line says, or may say, in any case."""
_FLUSH_STEPS: Final = 100
_FLUSH_STEP_S: Final = 0.01


class LogFile(NamedTuple):
    """Where a log is kept: put aside at `longest` bytes, with `kept` older files."""

    path: Path
    longest: int
    kept: int


def set_up(
    level: str,
    form: str,
    stream: TextIO | None = None,
    file: LogFile | None = None,
    levels: Mapping[str, str] = NOTHING,
    fields: Mapping[str, str] = NOTHING,
) -> None:
    """Send the product's log to `file`, else to `stream` (standard error by default); a later call
    replaces what an earlier one set. `form` is `plain` or `json`, `levels` are those of parts of
    the program, `fields` stand in each line. Raises ValueError for another level or form, OSError
    if the file cannot be opened; the log then stays as it was."""
    formatters: Mapping[str, type[_Lined]] = {"plain": Plain, "json": Json}
    if form not in formatters:
        raise ValueError(f"not a log format: {form!r}; use plain or json")
    handler: logging.Handler
    if file is None:
        handler = logging.StreamHandler(stream if stream is not None else sys.stderr)
        handler.setFormatter(formatters[form](fields))
    else:
        handler = Aside(file, formatters[form](fields))
    root = logging.getLogger(_ROOT)
    root.setLevel(level)
    before, root.handlers = root.handlers, [handler]
    root.propagate = False
    for known in list(logging.root.manager.loggerDict):
        if known.startswith(f"{_ROOT}."):
            logging.getLogger(known).setLevel(levels.get(known, logging.NOTSET))
    for name, wanted in levels.items():
        logging.getLogger(name).setLevel(wanted)
    for old in before:
        old.close()


class Aside(logging.Handler):
    """Writes to a file from a thread of its own: whoever logs never waits for a disk. What comes
    while `LONGEST_QUEUE` records wait is lost, and the number of those is told afterwards."""

    def __init__(self, file: LogFile, formatter: logging.Formatter) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self._target = _Rotated(
            file.path, maxBytes=file.longest, backupCount=file.kept, encoding="utf-8"
        )
        self._target.setFormatter(logging.Formatter("%(message)s"))
        self._queue: queue.Queue[str | None] = queue.Queue(LONGEST_QUEUE)
        self._lost = 0
        self._writer = threading.Thread(target=self._write, name="log", daemon=True)
        self._writer.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Hand one record over."""
        try:
            self._queue.put_nowait(self.format(record))
        except queue.Full:
            self._lost += 1

    def flush(self) -> None:
        """Wait for what was handed over, but not for a disk that hangs."""
        for _ in range(_FLUSH_STEPS):
            if self._queue.unfinished_tasks == 0:
                return
            threading.Event().wait(_FLUSH_STEP_S)

    def close(self) -> None:
        """Write what was handed over, and end the thread."""
        self.flush()
        try:
            self._queue.put_nowait(None)
        except queue.Full:
            return
        super().close()

    def _write(self) -> None:
        while (line := self._queue.get()) is not None:
            if self._lost:
                line, self._lost = f"{line} lost_before={self._lost}", 0
            self._target.emit(logging.makeLogRecord({"msg": line}))
            self._queue.task_done()
        with suppress(OSError):
            self._target.close()
        self._queue.task_done()


class _Rotated(logging.handlers.RotatingFileHandler):
    """Says nothing where a line cannot be written: there is no other place for it."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """The line is lost."""


def event(logger: logging.Logger, level: int, words: str, /, **facts: object) -> None:
    """Log one event. `words` never change from one time to the next; what changes is a fact."""
    logger.log(level, "%s", words, extra={_FACTS: facts})


class _Lined(logging.Formatter):
    """One event is one line; `fields` stand in each, where it has no fact of that name."""

    def __init__(self, fields: Mapping[str, str] = NOTHING) -> None:
        super().__init__()
        self._fields = dict(fields)

    def facts(self, record: logging.LogRecord) -> Mapping[str, object]:
        """Those of this line."""
        found = getattr(record, _FACTS, None)
        return {**self._fields, **(found if isinstance(found, dict) else {})}


class Plain(_Lined):
    """`2030-01-02T03:04:05.678Z INFO raftha.agent: became leader epoch=1.7 rule=elect-40`."""

    def format(self, record: logging.LogRecord) -> str:
        facts = [f"{key}={_quoted(_shown(value))}" for key, value in self.facts(record).items()]
        line = " ".join([_flat(record.getMessage()), *facts])
        head = f"{_time(record)} {record.levelname} {record.name}: {line}"
        return head + (f" traceback={_quoted(_traceback(self, record))}" if record.exc_info else "")


class Json(_Lined):
    """One JSON object: time, level, logger, event, and the facts beside them."""

    def format(self, record: logging.LogRecord) -> str:
        members: dict[str, object] = {
            key: value
            if isinstance(value, bool | int | float) or value is None
            else str(_shown(value))
            for key, value in self.facts(record).items()
        }
        members |= {
            "time": _time(record),
            "level": record.levelname,
            "logger": record.name,
            "event": record.getMessage(),
        }
        if record.exc_info:
            members["traceback"] = _traceback(self, record)
        return json.dumps(members)


class RateLimiter:
    """Lets a repeated fact through once per period, and says how often it was held back.

    Safe for use by several threads. It remembers at most `capacity` keys; the oldest is forgotten.
    """

    def __init__(self, clock: Clock, period: Seconds, capacity: int = 1000) -> None:
        self._clock = clock
        self._period = period
        self._capacity = capacity
        self._lock = threading.Lock()
        self._told: dict[str, tuple[Instant, int]] = {}

    def admit(self, key: str) -> int | None:
        """None if `key` was let through less than a period ago; otherwise the number of times it
        was held back since then."""
        now = self._clock.now()
        with self._lock:
            since, held = self._told.get(key, (None, 0))
            if since is not None and shortest(since, now) < self._period:
                self._told[key] = (since, held + 1)
                return None
            self._told.pop(key, None)
            if len(self._told) >= self._capacity:
                del self._told[next(iter(self._told))]
            self._told[key] = (now, 0)
            return held


def _shown(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _quoted(text: str) -> str:
    return text if re.fullmatch(r"[^\s\"=\\\x00-\x1f\x7f]+", text) else json.dumps(text)


def _flat(text: str) -> str:
    """On one line: what a library or an error puts into a message may hold line breaks."""
    return text if text.isprintable() else json.dumps(text)


def _time(record: logging.LogRecord) -> str:
    stamp = datetime.fromtimestamp(record.created, UTC)
    return stamp.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    return formatter.formatException(record.exc_info) if record.exc_info else ""
