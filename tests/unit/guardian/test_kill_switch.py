"""The kill switch on real processes: who dies at a deadline, and who may become a primary."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from raftha.errors import GuardianRefused
from raftha.guardian import protocol
from raftha.guardian.client import GuardianClient
from raftha.guardian.events import Fenced, PostmasterExited
from raftha.guardian.kernel import DeadMan
from raftha.guardian.protocol import Proof, Reading
from raftha.guardian.switch import IDLE_PAUSE_S, Files, KillSwitch, Server
from raftha.instants import Seconds, remaining
from raftha.model.ids import Epoch, Revision
from tests.unit.guardian.stand_in import CLOCK, EPOCH, PATIENCE_S, StandIn, eventually, is_alive


@pytest.fixture
def host(tmp_path: Path) -> Iterator[StandIn]:
    made = StandIn(tmp_path)
    made.spawn()
    yield made
    made.close()


def primary(host: StandIn) -> int:
    host.arm(60.0)
    return host.start(EPOCH).pid


def standby(host: StandIn) -> int:
    (host.data / "standby.signal").touch()
    return host.start(None).pid


def test_at_its_deadline_every_process_of_a_primary_is_killed(host: StandIn) -> None:
    """The backends are in sessions of their own and ignore every signal that can be ignored."""
    primary(host)
    assert len(host.alive()) == 3
    kill_at = host.arm(0.2, renewal=2)

    eventually(lambda: not host.alive())

    assert remaining(kill_at, CLOCK.now()) <= 0
    event = host.heard.get(timeout=PATIENCE_S)
    assert isinstance(event, Fenced)
    assert event.is_deadline
    log = host.root / "log"
    eventually(lambda: log.exists() and '"reason":"deadline"' in log.read_text())


def test_a_fenced_epoch_is_spent_for_this_guardian_and_the_next(host: StandIn) -> None:
    primary(host)
    host.arm(0.1, renewal=2)
    assert isinstance(host.heard.get(timeout=PATIENCE_S), Fenced)
    assert isinstance(host.heard.get(timeout=PATIENCE_S), PostmasterExited)
    for _ in range(2):
        with pytest.raises(GuardianRefused, match="burned"):
            host.arm(60.0, renewal=3)
        with pytest.raises(GuardianRefused, match="burned"):
            host.agent.start_server(["/bin/true"], {}, host.root / "log", EPOCH)
        host.agent.quit()
        eventually(lambda: not host.socket.exists())
        host.spawn()


def test_an_epoch_that_is_given_back_is_spent_for_this_guardian_and_the_next(
    host: StandIn,
) -> None:
    """Even while its deadline lies ahead; and a standby goes on."""
    host.arm(60.0)
    server = standby(host)
    host.agent.burn(EPOCH)
    with pytest.raises(GuardianRefused, match="burned"):
        host.agent.promote(EPOCH)
    assert is_alive(server)
    host.agent.kill(Seconds(PATIENCE_S))
    for _ in range(2):
        with pytest.raises(GuardianRefused, match="burned"):
            host.agent.start_server(["/bin/true"], {}, host.root / "log", EPOCH)
        with pytest.raises(GuardianRefused, match="burned"):
            host.arm(60.0, renewal=3)
        host.agent.quit()
        eventually(lambda: not host.socket.exists())
        host.spawn()


def test_the_epoch_of_a_running_primary_cannot_be_given_back(host: StandIn) -> None:
    server = primary(host)
    with pytest.raises(GuardianRefused, match="stop it before"):
        host.agent.burn(EPOCH)
    assert is_alive(server)
    assert host.agent.status().burned == ()


def test_an_epoch_that_cannot_be_written_down_is_not_called_burned(host: StandIn) -> None:
    """But nothing is started under it any more."""
    host.arm(60.0)
    Path(f"{host.socket}.burned.tmp").mkdir()
    with pytest.raises(GuardianRefused, match="cannot be written down"):
        host.agent.burn(EPOCH)
    with pytest.raises(GuardianRefused, match="burned"):
        host.start(EPOCH)


def test_a_primary_is_started_only_under_an_armed_epoch(host: StandIn) -> None:
    with pytest.raises(GuardianRefused, match=r"no standby\.signal"):
        host.start(None)
    with pytest.raises(GuardianRefused, match="no proof"):
        host.start(EPOCH)
    kill_at = host.arm(0.3)
    eventually(lambda: remaining(kill_at, CLOCK.now()) <= 0)
    with pytest.raises(GuardianRefused, match="has passed"):
        host.start(EPOCH)

    assert not host.has("ready")


def test_a_standby_is_promoted_only_under_an_armed_epoch(host: StandIn) -> None:
    standby(host)
    with pytest.raises(GuardianRefused, match="no proof"):
        host.agent.promote(EPOCH)
    host.arm(60.0)
    with pytest.raises(GuardianRefused, match="no proof"):
        host.agent.promote(Epoch(1, 11))
    assert not host.has("promote")
    assert not host.agent.status().is_primary

    host.agent.promote(EPOCH)

    eventually(lambda: host.has("promoted"))
    assert host.agent.status().is_primary
    host.arm(0.1, renewal=2)
    eventually(lambda: not host.alive())


def test_whoever_guards_a_deadline_wakes_often(tmp_path: Path) -> None:
    """The clock that `poll` waits on stands still in a suspend (R6): a long wait would not notice
    that the deadline has gone by. Far from it the wait ends before the dead-man timer would act."""
    files = Files(str(tmp_path), str(tmp_path / "burned"))
    now = Reading(100.0, 100.0)
    switch = KillSwitch(files, DeadMan(), 0.25, lambda: now, lambda _: None)
    assert switch.pause_s() > 1.0

    switch._server = Server(os.getpid(), 1, is_primary=True, epoch=(1, 10))
    switch._proof = Proof(epoch=(1, 10), renewal=1, kill=Reading(3700.0, 3700.0))
    assert switch.pause_s() <= 0.2
    switch._proof = switch._proof._replace(kill=Reading(100.8, 3700.0))
    assert switch.pause_s() <= 0.0501
    switch._proof = switch._proof._replace(kill=Reading(3700.0, 100.01))
    assert switch.pause_s() <= 0.0101
    now = Reading(100.0, 90.0, 10.005)
    assert switch.pause_s() <= 0.0051
    assert not switch.may_wait


@pytest.mark.parametrize("dead_man_s", [0.1, 0.15])
def test_a_guardian_is_awake_before_its_dead_man_timer_ends_it(
    tmp_path: Path, dead_man_s: float
) -> None:
    """As after a suspend that ended at the deadline, with a fence budget of twice that."""
    files = Files(str(tmp_path), str(tmp_path / "burned"))
    now = Reading(100.0, 100.0)
    switch = KillSwitch(files, DeadMan(), dead_man_s, lambda: now, lambda _: None)
    switch._server = Server(os.getpid(), 1, is_primary=True, epoch=(1, 10))
    switch._proof = Proof(epoch=(1, 10), renewal=1, kill=Reading(3700.0, 3700.0))

    assert switch.pause_s() < dead_man_s


def test_a_sweep_that_takes_long_is_never_waited_out(tmp_path: Path) -> None:
    """Beyond a second its steps are as far apart as looks at a deadline, and each must be taken."""
    files = Files(str(tmp_path), str(tmp_path / "burned"))
    now = Reading(100.0, 100.0)
    switch = KillSwitch(files, DeadMan(), 0.25, lambda: now, lambda _: None)
    assert not switch.may_wait
    with subprocess.Popen(["sleep", "60"]) as child:
        switch._server = Server(child.pid, 1, is_primary=True, epoch=(1, 10))
        switch._proof = Proof(epoch=(1, 10), renewal=1, kill=Reading(3700.0, 3700.0))
        assert switch.may_wait

        switch.kill("asked to kill")
        assert not switch.may_wait
        assert child.wait(PATIENCE_S) == -signal.SIGQUIT


def test_a_standby_outlives_a_deadline(host: StandIn) -> None:
    standby(host)
    kill_at = host.arm(0.05)
    eventually(lambda: remaining(kill_at, CLOCK.now()) < -0.15)

    assert host.agent.status().fencing is None
    assert len(host.alive()) == 3


def test_what_a_dead_postmaster_leaves_behind_is_killed_at_once(host: StandIn) -> None:
    os.kill(primary(host), signal.SIGKILL)

    event = host.heard.get(timeout=PATIENCE_S)

    assert isinstance(event, PostmasterExited)
    assert host.alive() == []


def test_the_end_of_a_server_is_told_by_the_kernel_and_not_found_by_looking(host: StandIn) -> None:
    """With a standby alone nothing is due for a minute, so nobody would look."""
    assert IDLE_PAUSE_S > PATIENCE_S
    os.kill(standby(host), signal.SIGKILL)

    event = host.heard.get(timeout=PATIENCE_S)

    assert isinstance(event, PostmasterExited)
    assert host.alive() == []


def test_a_server_is_asked_to_stop_when_its_guardian_is_killed(host: StandIn) -> None:
    """The kernel sends SIGQUIT to the postmaster when its parent dies."""
    primary(host)
    os.kill(host.agent.status().guardian_pid, signal.SIGKILL)

    eventually(lambda: host.has("asked_to_quit"))


def test_a_guardian_that_is_stopped_dies_after_the_deadline(host: StandIn) -> None:
    """A timer in the kernel ends even a stopped process, and with it the postmaster."""
    host.agent.quit()
    eventually(lambda: not host.socket.exists())
    host.spawn(dead_man_seconds=0.1)
    primary(host)
    guardian = host.agent.status().guardian_pid
    host.arm(0.2, renewal=2)
    os.kill(guardian, signal.SIGSTOP)

    eventually(lambda: host.has("asked_to_quit"))

    assert not is_alive(guardian)


def test_the_dead_man_timer_goes_by_what_was_said_last(host: StandIn) -> None:
    """The budget of a fence may be lowered while a primary runs (R12)."""
    primary(host)
    guardian = host.agent.status().guardian_pid
    kill_at = CLOCK.now().plus(0.2)
    host.agent.arm(EPOCH, Revision(2), kill_at, dead_man_seconds=0.1)
    os.kill(guardian, signal.SIGSTOP)

    eventually(lambda: host.has("asked_to_quit"))

    assert not is_alive(guardian)
    assert remaining(kill_at.plus(4.0), CLOCK.now()) > 0, "it went by what it was started with"


ARM = b'{"id": 1, "do": "arm", "epoch": [1, 10], "renewal": 2, "kill_slept": 0, '
START = b'{"id": 1, "do": "start", "env": {}, "log": "/tmp/x", '
NONSENSE = [
    b"",
    b"no JSON",
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b"[1, 2]",
    b'{"id": 1, "do": ["status"]}',
    b'{"id": {"a": []}, "do": "\\ud800"}',
    b'{"id": 1, "do": "hello", "role": {}}',
    ARM + b'"kill_boot": 1e999, "kill_raw": 1}',
    ARM + b'"kill_raw": 1, "kill_boot": 1' + b"0" * 400 + b"}",
    ARM + b'"kill_boot": 1e300, "kill_raw": 1e300}',
    ARM.replace(b"10", b"true") + b'"kill_boot": 1, "kill_raw": 1}',
    ARM.replace(b"0,", b"null,") + b'"kill_boot": 1, "kill_raw": 1}',
    START + b'"argv": ["/bin/\\u0000"]}',
    START + b'"argv": ["/bin/\\ud800"]}',
    b'{"id": 1, "do": "stop", "mode": "\\ud800\\u0000"}',
    b"\xff\xfe\x00" * 1000,
]


def say(host: StandIn, lines: list[bytes]) -> None:
    """Send lines as the agent, each answered before the next question is."""
    with socket.socket(socket.AF_UNIX) as guest:
        guest.connect(str(host.socket))
        guest.settimeout(PATIENCE_S)
        question = b'{"id": "end", "do": "status"}'
        hello = b'{"id": 0, "do": "hello", "role": "agent", "protocol": %d}' % protocol.VERSION
        guest.sendall(b"\n".join([hello, *lines, question, b""]))
        heard = b""
        while b'"id":"end"' not in heard:
            chunk = guest.recv(65536)
            assert chunk, "the guardian hung up"
            heard += chunk


def test_an_agent_of_another_release_is_refused_and_nothing_changes(host: StandIn) -> None:
    host.arm(60.0)
    server = host.start(EPOCH)
    with socket.socket(socket.AF_UNIX) as guest:
        guest.connect(str(host.socket))
        guest.settimeout(PATIENCE_S)
        other = protocol.VERSION + 1
        guest.sendall(b'{"id": 1, "do": "hello", "role": "agent", "protocol": %d}\n' % other)
        answer = protocol.decode(guest.recv(65536))

    assert answer["refused"] == f"this guardian speaks protocol {protocol.VERSION}, not {other}"
    assert is_alive(server.pid)
    host.arm(60.0, renewal=2)  # the agent from before is still the one that may


@pytest.mark.parametrize(
    "answer",
    [
        {"id": 1, "nonce": "x"},
        {"id": 1, "nonce": "x", "protocol": protocol.VERSION + 1},
        {"id": 1, "refused": "this guardian speaks protocol 7, not 1"},
    ],
)
def test_a_guardian_of_another_release_is_not_talked_to(
    tmp_path: Path, answer: protocol.Message
) -> None:
    path = tmp_path / "guardian.sock"
    with socket.socket(socket.AF_UNIX) as listener, ThreadPoolExecutor(1) as pool:
        listener.bind(str(path))
        listener.listen()

        def serve() -> bytes:
            guardian, _ = listener.accept()
            with guardian:
                asked = guardian.recv(65536)
                guardian.sendall(protocol.encode(answer))
                return asked + guardian.recv(65536)

        said = pool.submit(serve)
        client = GuardianClient(path)
        with pytest.raises(GuardianRefused, match="is of another release than this agent"):
            client.connect()
        assert said.result(PATIENCE_S).count(b"\n") == 1, "it hung up without another word"


def test_nonsense_from_an_agent_harms_nobody(host: StandIn) -> None:
    """Whatever a client of the right user sends, the guardian goes on, and so does its server."""
    for line in NONSENSE:
        say(host, [line])
    guardian = host.connect().guardian_pid
    host.arm(60.0)
    server = host.start(EPOCH)

    for line in NONSENSE:
        say(host, [line])

    assert is_alive(server.pid)
    status = host.connect()
    assert status.guardian_pid == guardian
    assert status.is_primary


class NotedTimer(DeadMan):
    """Notes what it would be set to."""

    def __init__(self) -> None:
        super().__init__()
        self.instants: list[float | None] = []

    def set(self, boot: float | None) -> None:
        self.instants.append(boot)


def test_a_disarmed_primary_has_no_deadline_and_no_timer(tmp_path: Path) -> None:
    now = Reading(100.0, 100.0)
    timer = NotedTimer()
    files = Files(str(tmp_path), str(tmp_path / "burned"))
    switch = KillSwitch(files, timer, 0.25, lambda: now, lambda _: None)
    with subprocess.Popen(["sleep", "60"]) as child:
        switch._server = Server(child.pid, 1, is_primary=True, epoch=(1, 40))
        switch.arm(protocol.Arm((1, 40), 41, Reading(104.0, 104.0)))
        assert timer.instants[-1] == 104.25

        switch.disarm((1, 40))
        assert timer.instants[-1] is None
        now = Reading(200.0, 200.0)
        switch.tick()
        assert switch.status()["fencing"] is None
        assert child.poll() is None
        child.kill()
    switch._reap()
    assert switch.death is None, "no receipt in a pause"
