"""The guardian against a real server: what it refuses, and that a fence leaves nothing running."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest
from guardian_support import (
    CLOCK,
    EPOCH,
    Host,
    as_server_user,
    eventually,
    initialise,
    server_directory,
    skip_reason,
)

from raftha.errors import GuardianGone, GuardianRefused
from raftha.guardian.client import GuardianClient
from raftha.guardian.events import Fenced, GuardianLost, PostmasterExited, StopMode
from raftha.instants import Seconds, remaining
from raftha.model.ids import Epoch, Revision

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(60),
    pytest.mark.skipif(skip_reason() is not None, reason=str(skip_reason())),
]


@pytest.fixture(scope="module")
def template() -> Iterator[Path]:
    with server_directory() as root:
        initialise(root / "data")
        yield root / "data"


@pytest.fixture
def host(template: Path) -> Iterator[Host]:
    with server_directory() as root:
        made = Host(root)
        subprocess.run([*as_server_user(), "cp", "-a", str(template), str(made.data)], check=True)
        made.spawn()
        yield made
        made.close()


def make_standby(host: Host) -> None:
    signal_file = host.data / "standby.signal"
    signal_file.touch()
    shutil.chown(signal_file, host.data.owner())


def start_primary(host: Host, seconds: float = 30.0) -> int:
    host.arm(seconds)
    return host.start(EPOCH).pid


def test_a_directory_without_standby_signal_is_not_started_without_an_epoch(host: Host) -> None:
    with pytest.raises(GuardianRefused, match=r"standby\.signal"):
        host.start(None)
    assert not host.processes()


def test_a_primary_is_not_started_under_an_epoch_that_was_never_armed(host: Host) -> None:
    with pytest.raises(GuardianRefused, match="no proof"):
        host.start(EPOCH)
    host.arm(30)
    with pytest.raises(GuardianRefused, match="no proof"):
        host.start(Epoch(1, 11))


def test_a_primary_is_not_started_after_its_deadline(host: Host) -> None:
    host.arm(0.1)
    eventually(lambda: not host.processes(), 1)
    time.sleep(0.15)
    with pytest.raises(GuardianRefused, match="has passed"):
        host.start(EPOCH)


def test_the_postmaster_inherits_nothing_that_favours_the_guardian(host: Host) -> None:
    postmaster = start_primary(host)
    status = Path(f"/proc/{postmaster}/status").read_text()
    ignored = int(status.split("SigIgn:")[1].split()[0], 16)
    blocked = int(status.split("SigBlk:")[1].split()[0], 16)
    assert f"PPid:\t{host.agent.status().guardian_pid}\n" in status
    assert not blocked & (1 << (signal.SIGQUIT - 1))
    assert not ignored & (1 << (signal.SIGQUIT - 1))
    assert os.getpriority(os.PRIO_PROCESS, postmaster) == 0
    assert os.readlink(f"/proc/{postmaster}/cwd") == str(host.data)
    descriptors = {os.readlink(f"/proc/{postmaster}/fd/{n}") for n in (0, 1, 2)}
    assert descriptors == {"/dev/null", str(host.root / "server.log")}


def test_at_the_deadline_a_busy_backend_dies_with_everything_else(host: Host) -> None:
    start_primary(host)
    host.busy()
    host.busy()
    kill_at = host.arm(0.5, renewal=2)
    eventually(lambda: not host.processes(), 3)
    lateness = -remaining(kill_at, CLOCK.now())
    assert 0 <= lateness < 0.5
    event = host.hear(2)
    assert isinstance(event, Fenced)
    assert event.is_deadline
    assert event.epoch == EPOCH
    exited = host.hear(2)
    assert isinstance(exited, PostmasterExited)
    assert exited.is_fenced
    assert not (host.data / "postmaster.pid").exists()
    with pytest.raises(GuardianRefused, match="is burned"):
        host.arm(10, renewal=3)


def test_sixty_backends_are_fenced_within_half_a_second(host: Host) -> None:
    start_primary(host)
    for _ in range(58):
        host.session()
    host.busy()
    host.busy()
    kill_at = host.arm(0.2, renewal=2)
    eventually(lambda: not host.processes(), 3)
    lateness = -remaining(kill_at, CLOCK.now())
    event = host.hear(2)
    assert isinstance(event, Fenced)
    print(f"60 backends: {lateness:.3f} s after the deadline, sweep {event.seconds:.3f} s")
    assert lateness < 0.5


def test_a_stopped_postmaster_is_fenced_on_time(host: Host) -> None:
    postmaster = start_primary(host)
    host.busy()
    os.kill(postmaster, signal.SIGSTOP)
    kill_at = host.arm(0.3, renewal=2)
    eventually(lambda: not host.processes(), 3)
    assert -remaining(kill_at, CLOCK.now()) < 0.5


def test_backends_of_a_killed_postmaster_are_swept_at_once(host: Host) -> None:
    postmaster = start_primary(host)
    busy = host.busy()
    os.kill(postmaster, signal.SIGKILL)
    event = host.hear(3)
    assert isinstance(event, PostmasterExited)
    assert event.status == -signal.SIGKILL
    assert not event.is_fenced
    assert busy not in host.processes()
    assert not host.processes()
    host.start(EPOCH)


def test_a_killed_backend_ends_the_server_and_is_reported(host: Host) -> None:
    start_primary(host)
    os.kill(host.busy(), signal.SIGKILL)
    event = host.hear(8)
    assert isinstance(event, PostmasterExited)
    assert not event.is_fenced
    assert not host.processes()


def test_the_server_stops_immediately_when_the_guardian_is_killed(host: Host) -> None:
    start_primary(host)
    host.busy()
    os.kill(host.agent.status().guardian_pid, signal.SIGKILL)
    assert isinstance(host.hear(2), GuardianLost)
    eventually(lambda: not host.processes(), 3)
    with pytest.raises(GuardianGone):
        host.agent.status()


def test_a_guardian_that_is_stopped_is_killed_by_the_kernel_after_the_deadline(host: Host) -> None:
    host.agent.quit()
    eventually(lambda: not host.socket.exists(), 2)
    host.spawn(dead_man_seconds=0.2)
    start_primary(host)
    kill_at = host.arm(0.5, renewal=2)
    os.kill(host.agent.status().guardian_pid, signal.SIGSTOP)
    eventually(lambda: not host.processes(), 5)
    lateness = -remaining(kill_at, CLOCK.now())
    assert 0.2 <= lateness < 1.0


def test_the_deadline_moves_back_freely_and_forward_only_by_a_renewal(host: Host) -> None:
    first = host.arm(20, renewal=5)
    with pytest.raises(GuardianRefused, match="not newer"):
        host.agent.arm(EPOCH, Revision(5), first.plus(1))
    host.agent.arm(EPOCH, Revision(5), first.plus(-1))
    assert host.agent.status().kill_at == first.plus(-1)
    host.agent.arm(EPOCH, Revision(6), first.plus(5))
    assert host.agent.status().renewal == 6
    with pytest.raises(GuardianRefused, match="older"):
        host.arm(20, epoch=Epoch(1, 9), renewal=99)
    host.arm(20, epoch=Epoch(2, 1), renewal=1)


def test_a_standby_is_promoted_only_under_a_live_epoch(host: Host) -> None:
    make_standby(host)
    host.start(None)
    assert host.in_recovery()
    with pytest.raises(GuardianRefused, match="no proof"):
        host.agent.promote(EPOCH)
    assert host.in_recovery()
    assert not host.agent.status().is_primary
    host.arm(30)
    host.agent.promote(EPOCH)
    eventually(lambda: not host.in_recovery(), 10)
    assert host.agent.status().is_primary
    kill_at = host.arm(0.2, renewal=2)
    eventually(lambda: not host.processes(), 3)
    assert -remaining(kill_at, CLOCK.now()) < 0.5


def test_a_standby_outlives_a_deadline(host: Host) -> None:
    make_standby(host)
    host.start(None)
    host.arm(0.1)
    time.sleep(0.4)
    assert host.in_recovery()


def test_a_lost_agent_changes_nothing_and_another_takes_over(host: Host) -> None:
    server = start_primary(host)
    nonce = host.agent.status().nonce
    host.agent.close()
    time.sleep(0.2)
    assert host.processes()
    host.connect()
    status = host.agent.status()
    assert status.nonce == nonce
    assert status.server is not None
    assert status.server.pid == server
    assert status.is_primary
    assert status.epoch == EPOCH


def test_without_its_agent_the_server_is_fenced_on_time(host: Host) -> None:
    start_primary(host)
    kill_at = host.arm(0.5, renewal=2)
    host.agent.close()
    host.busy()
    eventually(lambda: not host.processes(), 3)
    assert -0.05 < -remaining(kill_at, CLOCK.now()) < 0.5
    host.connect()
    assert host.agent.status().burned == (EPOCH,)


def test_a_primary_whose_key_was_won_anew_is_under_the_new_epoch(host: Host) -> None:
    start_primary(host)
    newer = Epoch(1, 20)
    host.arm(0.3, epoch=newer, renewal=20)
    assert host.agent.status().server_epoch == newer
    event = host.hear(3)
    assert isinstance(event, Fenced)
    assert (event.epoch, event.renewal) == (newer, 20)
    assert host.agent.status().burned == (newer,)


def test_a_shell_in_the_data_directory_survives_a_fence(host: Host) -> None:
    start_primary(host)
    shell = subprocess.Popen([*as_server_user(), "sh", "-c", "sleep 30; true"], cwd=host.data)
    try:
        host.arm(0.1, renewal=2)
        eventually(lambda: not host.processes(), 3)
        assert isinstance(host.hear(2), Fenced)
        assert shell.poll() is None
    finally:
        shell.kill()
        shell.wait()


def test_a_child_of_a_backend_dies_with_the_fence(host: Host) -> None:
    """A program that a session started may write to the cluster's storage as well."""
    start_primary(host)
    session = psycopg2.connect(host=str(host.root), user="postgres", dbname="postgres", async_=1)
    eventually(lambda: session.poll() == psycopg2.extensions.POLL_OK, 5)
    marker = host.root / "child"
    session.cursor().execute(f"COPY (SELECT 1) TO PROGRAM 'cd /; echo $$ > {marker}; sleep 30'")
    eventually(lambda: marker.exists() and marker.read_text().strip() != "", 5)
    child = Path("/proc") / marker.read_text().strip()
    host.arm(0.1, renewal=2)
    assert isinstance(host.hear(3), Fenced)
    assert not child.exists()
    session.close()


def test_a_burned_epoch_stays_burned_in_the_guardians_next_life(host: Host) -> None:
    start_primary(host)
    host.arm(0.1, renewal=2)
    assert isinstance(host.hear(3), Fenced)
    host.agent.quit()
    eventually(lambda: not host.socket.exists(), 2)
    host.spawn()
    assert host.agent.status().burned == (EPOCH,)
    with pytest.raises(GuardianRefused, match="is burned"):
        host.arm(30, renewal=9)


def test_sigterm_to_the_guardian_kills_the_server_first(host: Host) -> None:
    start_primary(host)
    host.busy()
    os.kill(host.agent.status().guardian_pid, signal.SIGTERM)
    assert isinstance(host.hear(3), Fenced)
    assert not host.processes()
    eventually(lambda: not host.socket.exists(), 2)


def test_a_fast_stop_is_reported_when_nothing_is_left(host: Host) -> None:
    start_primary(host)
    with pytest.raises(GuardianRefused, match="runs"):
        host.agent.quit()
    host.agent.stop(StopMode.FAST)
    event = host.hear(5)
    assert isinstance(event, PostmasterExited)
    assert event.status == 0
    assert not host.processes()


def test_kill_answers_when_nothing_is_left(host: Host) -> None:
    start_primary(host)
    host.busy()
    host.agent.kill(Seconds(3.0))
    assert not host.processes()
    assert host.agent.status().burned == ()


def test_beside_a_stray_server_nothing_is_started_until_it_is_killed(host: Host) -> None:
    """A server whose guardian died may still be there; so may one that a person started."""
    command = [*as_server_user(), *host.argv()]
    stray = subprocess.Popen(command, cwd="/", stderr=subprocess.DEVNULL)
    try:
        eventually(host.answers, 10)
        host.arm(30)
        with pytest.raises(GuardianRefused, match="did not start"):
            host.start(EPOCH)
        host.agent.kill(Seconds(3.0))
        assert stray.wait(1) == -signal.SIGKILL
        host.start(EPOCH)
    finally:
        stray.kill()
        stray.wait()


def test_an_agent_that_was_replaced_has_nothing_to_say(host: Host) -> None:
    old = host.agent
    newer = GuardianClient(host.socket)
    newer.connect()
    with pytest.raises(GuardianRefused, match="connected last"):
        old.arm(EPOCH, Revision(1), CLOCK.now().plus(5))
    assert old.status().kill_at is None
    newer.close()


def test_a_paused_primary_outlives_its_deadline_and_is_armed_again(host: Host) -> None:
    start_primary(host, 0.8)
    host.agent.disarm(EPOCH)
    time.sleep(1.0)
    assert host.processes()
    with pytest.raises(GuardianRefused, match="not newer"):
        host.arm(5, renewal=1)
    host.arm(5, renewal=2)
    assert host.agent.status().kill_at is not None


def test_an_idle_guardian_ends_by_itself(host: Host) -> None:
    host.agent.close()
    eventually(lambda: not host.socket.exists(), 4)
    assert "neither agent nor server" in host.log.read_text()
