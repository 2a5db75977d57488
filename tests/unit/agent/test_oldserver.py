"""A server that outlived its agent, as a recovery finds it: a primary is ended, a standby not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from raftha.agent.oldserver import end_primary, is_guarded
from tests.unit.guardian.stand_in import EPOCH, StandIn


@pytest.fixture
def host(tmp_path: Path) -> Iterator[StandIn]:
    made = StandIn(tmp_path)
    made.spawn()
    yield made
    made.close()


def test_a_primary_under_an_old_epoch_is_killed_whole(host: StandIn) -> None:
    host.arm(100.0)
    host.start(EPOCH)
    host.agent.close()

    assert is_guarded(host.socket)
    assert end_primary(host.socket)
    assert host.alive() == []
    assert not end_primary(host.socket)


def test_a_standby_goes_on(host: StandIn) -> None:
    (host.data / "standby.signal").touch()
    host.start(None)
    host.agent.close()

    assert not end_primary(host.socket)
    assert len(host.alive()) == 3


def test_where_no_guardian_answers_nothing_is_ended(tmp_path: Path) -> None:
    assert not is_guarded(tmp_path / "guardian.sock")
    assert not end_primary(tmp_path / "guardian.sock")
