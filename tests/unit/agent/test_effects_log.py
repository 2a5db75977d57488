"""The server's log is bounded without a word to the server."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, cast

from raftha.agent.effects import LONGEST_LOG_BYTES, Effects


def effects_with(log: Path) -> Effects:
    nothing = cast(Any, None)
    return Effects(
        instance=nothing,
        guarding=nothing,
        keeper=nothing,
        store=nothing,
        peers=nothing,
        worker=nothing,
        jobs=nothing,
        board=nothing,
        clock=nothing,
        log_path=log,
        graceful=nothing,
        reloaded=lambda: None,
    )


def test_a_long_log_is_moved_aside_and_its_writer_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "postgresql.log"
    writer = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.ftruncate(writer, LONGEST_LOG_BYTES + 1)
    effects_with(log).bound_log()
    os.write(writer, b"after\n")
    os.close(writer)

    assert log.read_bytes() == b"after\n"
    assert (tmp_path / "postgresql.log.1").stat().st_size == LONGEST_LOG_BYTES + 1


def test_a_short_log_and_none_at_all_are_left_alone(tmp_path: Path) -> None:
    log = tmp_path / "postgresql.log"
    effects_with(log).bound_log()
    log.write_bytes(b"short\n")
    effects_with(log).bound_log()

    assert log.read_bytes() == b"short\n"
    assert [path.name for path in tmp_path.iterdir()] == ["postgresql.log"]
