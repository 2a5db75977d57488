"""The log: one line for each event, facts beside it, secrets never, repetitions limited."""

from __future__ import annotations

import io
import json
import logging
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from raftha.instants import Instant, Seconds
from raftha.logs import LONGEST_QUEUE, Json, LogFile, Plain, RateLimiter, event, set_up
from raftha.model.settings import Secret


class FakeClock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> Instant:
        return Instant(self.seconds, self.seconds)

    def wall(self) -> float:
        return self.seconds


def written(formatter: logging.Formatter, words: str, **facts: object) -> str:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    logger = logging.Logger("raftha.test")
    logger.addHandler(handler)
    event(logger, logging.INFO, words, **facts)
    return stream.getvalue()


def test_a_plain_event_is_one_line_with_its_facts() -> None:
    line = written(Plain(), "became leader", rule="elect-40", took_s=0.12345, why="a\nb=c")
    assert line.endswith(
        'Z INFO raftha.test: became leader rule=elect-40 took_s=0.123 why="a\\nb=c"\n'
    )
    assert line.count("\n") == 1


def test_static_fields_stand_in_each_line_and_displace_no_fact() -> None:
    fields = {"datacenter": "east 1", "rule": "mine"}

    line = written(Plain(fields), "became leader", rule="elect-40")
    assert line.endswith('became leader datacenter="east 1" rule=elect-40\n')
    found = json.loads(written(Json(fields), "became leader"))
    assert (found["datacenter"], found["rule"], found["event"]) == (
        "east 1",
        "mine",
        "became leader",
    )


def test_line_breaks_in_the_words_stay_on_one_line() -> None:
    assert written(Plain(), "100 % of\nit").count("\n") == 1


def test_a_json_event_is_one_object() -> None:
    line = written(Json(), "became leader", epoch="1.7", lag=3, paused=False)
    found = json.loads(line)
    assert found.pop("time").endswith("Z")
    assert found == {
        "level": "INFO",
        "logger": "raftha.test",
        "event": "became leader",
        "epoch": "1.7",
        "lag": 3,
        "paused": False,
    }


@pytest.mark.parametrize("formatter", [Plain(), Json()])
def test_secrets_are_never_written(formatter: logging.Formatter) -> None:
    line = written(formatter, "connected", password=Secret("hunter2"), all=[Secret("hunter2")])
    assert "hunter2" not in line


def test_a_repeated_fact_is_told_once_a_period_with_the_number_held_back() -> None:
    clock = FakeClock()
    limiter = RateLimiter(clock, Seconds(10))
    assert limiter.admit("a") == 0
    assert limiter.admit("a") is None
    assert limiter.admit("b") == 0
    clock.seconds = 9.9
    assert limiter.admit("a") is None
    clock.seconds = 10.0
    assert limiter.admit("a") == 2
    assert limiter.admit("a") is None


def test_the_limiter_forgets_the_oldest_key() -> None:
    limiter = RateLimiter(FakeClock(), Seconds(10), capacity=2)
    assert [limiter.admit(key) for key in "abca"] == [0, 0, 0, 0]
    assert limiter.admit("c") is None


def test_a_later_set_up_replaces_the_earlier_one() -> None:
    root = logging.getLogger("raftha")
    before = (root.handlers, root.level, root.propagate)
    first, second = io.StringIO(), io.StringIO()
    try:
        set_up("INFO", "plain", first)
        set_up("WARNING", "json", second)
        event(logging.getLogger("raftha.agent"), logging.INFO, "too quiet")
        event(logging.getLogger("raftha.agent"), logging.WARNING, "heard")
    finally:
        root.handlers, root.propagate = before[0], before[2]
        root.setLevel(before[1])
    assert first.getvalue() == ""
    assert json.loads(second.getvalue())["event"] == "heard"
    with pytest.raises(ValueError, match="plain or json"):
        set_up("INFO", "xml")


def test_a_traceback_stays_on_one_line() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(Plain())
    logger = logging.Logger("raftha.test")
    logger.addHandler(handler)
    try:
        raise OSError("disk\ngone")
    except OSError:
        logger.exception("failed")
    assert stream.getvalue().count("\n") == 1
    assert "OSError" in stream.getvalue()


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The product's logger, put back afterwards."""
    root = logging.getLogger("raftha")
    before = (root.handlers, root.level, root.propagate)
    yield root
    for handler in root.handlers:
        handler.close()
    root.handlers, root.propagate = before[0], before[2]
    root.setLevel(before[1])
    for name in ("raftha.consensus", "raftha.agent"):
        logging.getLogger(name).setLevel(logging.NOTSET)


def test_a_file_is_rotated_and_every_line_is_whole(root: logging.Logger, tmp_path: Path) -> None:
    set_up("INFO", "json", file=LogFile(tmp_path / "n1.log", 2000, 2))
    for number in range(100):
        event(logging.getLogger("raftha.agent"), logging.INFO, "something", number=number)
    root.handlers[0].flush()

    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["n1.log", "n1.log.1", "n1.log.2"]
    lines = [line for name in files for line in (tmp_path / name).read_text().splitlines()]
    assert max(json.loads(line)["number"] for line in lines) == 99
    assert all((tmp_path / name).stat().st_size <= 2000 for name in files)


def test_parts_have_levels_of_their_own_until_they_are_set_anew(
    root: logging.Logger,
) -> None:
    stream = io.StringIO()
    parts = [logging.getLogger(name) for name in ("raftha.consensus", "raftha.agent")]
    set_up("INFO", "plain", stream, levels={"raftha.consensus": "ERROR", "raftha.agent": "DEBUG"})
    for part in parts:
        event(part, logging.DEBUG, "detail")
        event(part, logging.WARNING, "warning")
    assert [line.split(" ", 1)[1] for line in stream.getvalue().splitlines()] == [
        "DEBUG raftha.agent: detail",
        "WARNING raftha.agent: warning",
    ]
    set_up("INFO", "plain", stream)
    assert [part.level for part in parts] == [logging.NOTSET] * 2
    assert len(root.handlers) == 1


@pytest.mark.usefixtures("root")
def test_a_disk_that_hangs_holds_nobody_up_and_what_was_lost_is_told(tmp_path: Path) -> None:
    pipe = tmp_path / "n1.log"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    set_up("INFO", "plain", file=LogFile(pipe, 1 << 40, 1))
    for number in range(LONGEST_QUEUE + 2000):
        event(logging.getLogger("raftha.agent"), logging.INFO, "x" * 200, number=number)
    text = b""
    deadline = os.times().elapsed + 5
    while b"lost_before=" not in text and os.times().elapsed < deadline:
        with suppress(BlockingIOError):
            text += os.read(reader, 1 << 20)
        event(logging.getLogger("raftha.agent"), logging.INFO, "on")
    os.close(reader)

    assert b"lost_before=" in text
