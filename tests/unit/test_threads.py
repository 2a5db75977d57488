"""No thread can be had: whoever asks for one is told so, and goes on."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, cast

import pytest

from raftha import threads
from raftha.agent.peers import Peers, Witness
from raftha.errors import GuardianGone, PostgresUnavailable
from raftha.guardian.client import GuardianClient
from raftha.instants import Seconds
from raftha.model.ids import MemberName
from raftha.pg.kept import KeptCopies
from raftha.pg.probe import DiskProbe
from raftha.pg.session import ask_remote
from tests.unit.exhaustion import no_handle, no_thread
from tests.unit.guardian.stand_in import StandIn
from tests.unit.ha.servers import FakeClock

PATIENCE_S = 10.0


def test_a_thread_that_cannot_be_had_is_an_error_of_the_system() -> None:
    begun = threading.Event()
    with no_thread(), pytest.raises(OSError, match="ulimit -u"):
        threads.begin(begun.set, "none")
    threads.begin(begun.set, "one")
    assert begun.wait(PATIENCE_S)


def test_a_disk_that_nobody_can_look_at_does_not_answer_and_is_looked_at_again(
    tmp_path: Path,
) -> None:
    (tmp_path / "pg_wal").mkdir()
    probe = DiskProbe(tmp_path)
    with no_thread():
        for _ in range(2):
            with pytest.raises(PostgresUnavailable, match="no thread can be had"):
                probe.start()
    probe.start()
    probe.finish(PATIENCE_S)


def test_a_server_that_nobody_can_ask_does_not_answer() -> None:
    with no_thread(), pytest.raises(PostgresUnavailable, match=r"db:5432 cannot be asked: no thr"):
        ask_remote({"host": "db", "port": "5432"}, ("IDENTIFY_SYSTEM",), PATIENCE_S)


def test_a_guardian_that_nobody_can_listen_to_does_not_answer(tmp_path: Path) -> None:
    host = StandIn(tmp_path)
    host.spawn()
    try:
        client = GuardianClient(host.socket, role="observer")
        with no_thread(), pytest.raises(GuardianGone, match="no thread can be had"):
            client.connect()
        client.connect()
        client.close()
    finally:
        host.close()


def test_a_member_that_nobody_can_ask_is_asked_the_next_time() -> None:
    asked = threading.Event()
    peers = Peers(
        clock=FakeClock(),
        connect=lambda *_: cast(Any, asked.set()),
        timeout=lambda: Seconds(1.0),
        changed=lambda: None,
    )
    member = Witness(MemberName("w1"), "http://127.0.0.1:1")
    with no_thread(), pytest.raises(OSError, match="w1 cannot be asked"):
        peers.ask([member])
    assert not asked.is_set()
    peers.ask([member])
    assert asked.wait(PATIENCE_S)
    peers.close()


def test_a_look_at_what_is_kept_that_fails_is_made_again(tmp_path: Path) -> None:
    told: list[object] = []
    copies = KeptCopies(tmp_path / "data", told.append)
    (tmp_path / "data.failed-S").mkdir()
    with no_handle():
        copies.look()
    assert told == []
    copies.look()
    assert len(told) == 1
