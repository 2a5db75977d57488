"""What a guardian does when agent and primary are both gone: burn the epoch, then tell the others.

Real processes, as in `test_kill_switch.py`; whoever is told here is a shell that writes it down.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from raftha.errors import GuardianRefused
from raftha.guardian import ledger
from raftha.guardian.client import GuardianClient
from raftha.guardian.events import PostmasterExited
from raftha.model.ids import Epoch, Revision
from tests.unit.guardian.stand_in import EPOCH, PATIENCE_S, StandIn, eventually, is_alive

TELL = 'cat "$0" > burned.then; ls ../data > left.then; echo "$1" > told.new; mv told.new told'
"""Notes which epochs were burned by then, and the word it was given."""


class Told(StandIn):
    """A guardian that was told whom to tell."""

    def entrust(self, then: str = "") -> None:
        script = f"cd {self.root}; {TELL}; {then}"
        argv = ["/bin/sh", "-c", script, f"{self.socket}.burned"]
        self.agent.entrust(argv, dict(os.environ), self.root / "log")

    @property
    def is_told(self) -> bool:
        return (self.root / "told").exists()

    def word(self) -> dict[str, object]:
        said: dict[str, object] = json.loads((self.root / "told").read_text())
        return said


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Told]:
    made = Told(tmp_path)
    made.spawn()
    yield made
    made.close()


def primary(host: Told, then: str = "") -> int:
    host.arm(60.0, renewal=7)
    host.entrust(then)
    return host.start(EPOCH).pid


def assert_nobody_is_told(host: Told) -> None:
    """Also after a few rounds of the guardian without an agent."""
    onlooker = GuardianClient(host.socket, role="observer")
    onlooker.connect()
    eventually(lambda: not onlooker.status().is_running)
    for _ in range(3):
        onlooker.status()
    onlooker.close()
    log = host.root / "log"
    assert not log.exists() or "the others are told" not in log.read_text()
    assert not host.is_told


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def test_once_agent_and_primary_are_gone_the_others_are_told_of_what_is_burned(host: Told) -> None:
    server = primary(host)
    nonce = host.agent.status().nonce
    host.agent.close()
    kill(server)

    eventually(lambda: host.is_told)

    assert host.word() == {"epoch": [1, 10], "renewal": 7, "guardian": nonce}
    assert not host.alive(), "told before the last process was dead"
    burned = json.loads((host.root / "burned.then").read_text())["burned"]
    assert burned == [[1, 10]], "told before the epoch was burned"


def test_an_agent_that_is_there_looks_after_its_primary_itself(host: Told) -> None:
    server = primary(host)
    kill(server)
    while not isinstance(host.heard.get(timeout=PATIENCE_S), PostmasterExited):
        continue
    assert host.agent.status().burned == ()
    assert not host.is_told

    host.agent.close()
    eventually(lambda: host.is_told)


def test_the_others_are_told_of_the_last_renewal_not_of_that_at_the_end_of_the_server(
    host: Told,
) -> None:
    """The agent went on renewing while it was about to start the server again."""
    kill(primary(host))
    eventually(lambda: not host.agent.status().is_running)
    host.arm(60.0, renewal=9)
    host.agent.close()
    eventually(lambda: host.is_told)
    assert host.word()["renewal"] == 9


def test_an_epoch_that_was_armed_since_is_left_alone(host: Told) -> None:
    """The agent has won the lease anew, and died before it started anything under it."""
    kill(primary(host))
    eventually(lambda: not host.agent.status().is_running)
    later = Epoch(1, Revision(11))
    host.arm(60.0, renewal=11, epoch=later)
    host.agent.close()
    assert_nobody_is_told(host)
    assert later not in host.connect().burned


def test_nothing_is_ever_started_under_an_epoch_of_which_the_others_were_told(host: Told) -> None:
    server = primary(host)
    host.agent.close()
    kill(server)
    eventually(lambda: host.is_told)

    assert host.connect().burned == (EPOCH,)
    with pytest.raises(GuardianRefused, match="burned"):
        host.arm(60.0, renewal=8)
    with pytest.raises(GuardianRefused, match="burned"):
        host.start(EPOCH)
    assert ledger.load(f"{host.socket}.burned") == ((1, 10),)


@pytest.mark.parametrize("what", ["a standby", "a fence"])
def test_where_no_lease_can_be_in_force_nobody_is_told(host: Told, what: str) -> None:
    host.arm(60.0, renewal=7)
    host.entrust()
    if what == "a standby":
        (host.data / "standby.signal").touch()
        server = host.start(None).pid
        host.agent.close()
        kill(server)
    else:
        server = host.start(EPOCH).pid
        host.arm(0.1, renewal=8)
        host.agent.close()
    eventually(lambda: not is_alive(server) and not host.alive())
    assert_nobody_is_told(host)


def test_who_tells_is_no_part_of_the_server_and_holds_nothing_up(host: Told) -> None:
    server = primary(host, then="echo $$ > teller; exec sleep 100")
    host.agent.close()
    kill(server)
    eventually((host.root / "teller").exists)

    host.connect()
    (host.data / "standby.signal").touch()
    (host.data / "ready").unlink()
    host.start(None)
    assert is_alive(int((host.root / "teller").read_text()))
