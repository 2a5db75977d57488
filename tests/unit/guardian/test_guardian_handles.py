"""A guardian without a free file handle: it fences all the same, and takes nothing for gone that it
could not look at."""

from __future__ import annotations

import errno
import itertools
import os
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from raftha.errors import GuardianRefused
from raftha.guardian import procs
from raftha.guardian.events import Fenced, PostmasterExited
from raftha.guardian.fence import EMPTY_PASSES, GRACE_S, Sweep
from raftha.guardian.links import REST_S, Links
from raftha.guardian.procs import Instance, Process
from raftha.guardian.protocol import Reading
from raftha.instants import remaining
from tests.unit.exhaustion import no_handle
from tests.unit.guardian.stand_in import CLOCK, EPOCH, PATIENCE_S, StandIn, eventually

ANOTHER = Process(70, 1, "S", 5, "postgres")


@pytest.fixture
def host(tmp_path: Path) -> Iterator[StandIn]:
    made = StandIn(tmp_path)
    made.spawn()
    yield made
    made.close()


@contextmanager
def without_handles(pid: int) -> Iterator[None]:
    """In here this process can open nothing more than it has open."""
    taken = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
    free = next(number for number in itertools.count() if number not in taken)
    usual = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (free, usual[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, usual)


def test_a_fence_needs_no_file_handle_but_those_kept_for_it(host: StandIn) -> None:
    host.arm(60.0)
    host.start(EPOCH)
    kill_at = host.arm(0.4, renewal=2)
    with without_handles(host.agent.status().guardian_pid):
        eventually(lambda: not host.alive())

        assert remaining(kill_at, CLOCK.now()) <= 0
        assert isinstance(host.heard.get(timeout=PATIENCE_S), Fenced)
        assert isinstance(host.heard.get(timeout=PATIENCE_S), PostmasterExited)
        assert host.agent.status().burned == (EPOCH,)


def test_without_a_handle_for_the_fence_nothing_is_started(host: StandIn) -> None:
    host.arm(60.0)
    with (
        without_handles(host.agent.status().guardian_pid),
        pytest.raises(GuardianRefused, match="Too many open files"),
    ):
        host.agent.start_server(["/bin/true"], {}, host.root / "log", EPOCH)

    assert not host.agent.status().server


def test_whoever_knocks_while_there_is_no_handle_is_let_in_later_and_costs_nothing(
    tmp_path: Path,
) -> None:
    wakeup, wake = os.pipe()
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as knocking:
        listener.bind(str(tmp_path / "socket"))
        listener.listen()
        links = Links(listener, wakeup)
        links.open()
        knocking.connect(str(tmp_path / "socket"))
        knocking.sendall(b"hello\n")
        with no_handle():
            assert links.wait(0.0) == []
            begun = time.monotonic()
            assert links.wait(10.0) == []
            assert time.monotonic() - begun >= 0.9 * REST_S
        heard = itertools.chain.from_iterable(iter(lambda: links.wait(0.0), None))
        assert next(heard)[1] == b"hello"
    os.close(wakeup)
    os.close(wake)


def test_what_cannot_be_read_is_not_taken_for_gone() -> None:
    with no_handle():
        for look in (
            lambda: procs.read_process(os.getpid()),
            lambda: procs.living(Instance(os.getpid(), "/", None)),
            lambda: procs.shared_memory_attachments(creator=1, segment=None),
        ):
            with pytest.raises(OSError, match="Too many open files"):
                look()
    assert procs.read_process(os.getpid()) is not None


class Host:
    """One process that lives until it is killed; the first looks at it fail."""

    def __init__(self, failures: int) -> None:
        self._failures = failures
        self._is_alive = True

    def send(self, pid: int, number: int) -> None:
        """The postmaster does not heed it."""

    def living(self, instance: Instance) -> list[Process]:  # noqa: ARG002
        if self._failures > 0:
            self._failures -= 1
            raise OSError(errno.ENFILE, os.strerror(errno.ENFILE))
        return [ANOTHER] if self._is_alive else []

    def kill_exactly(self, process: Process) -> None:
        assert process == ANOTHER
        self._is_alive = False

    def attachments(self, creator: int | None, segment: int | None) -> int:  # noqa: ARG002
        return 0


def test_a_pass_that_could_not_look_proves_nothing() -> None:
    host = Host(failures=3 * EMPTY_PASSES)
    begun, late = Reading(100.0, 100.0), Reading(101.0 + GRACE_S, 101.0 + GRACE_S)
    sweep = Sweep(
        Instance(1, "/data", None),
        reason="deadline",
        started=begun,
        postmaster=None,
        segment=None,
        machine=host,
    )
    for _ in range(3 * EMPTY_PASSES):
        assert not sweep.step(late, is_postmaster_gone=True)
        assert not sweep.has_signalled_all

    assert not sweep.step(late, is_postmaster_gone=True)

    assert sweep.killed == {ANOTHER.pid}
    passes = (sweep.step(late, is_postmaster_gone=True) for _ in range(EMPTY_PASSES))
    assert list(passes) == [False] * (EMPTY_PASSES - 1) + [True]


@pytest.mark.parametrize("postmaster", [None, 7])
def test_a_grace_is_for_a_server_that_was_asked_to_stop(postmaster: int | None) -> None:
    """Strays of an earlier guardian were asked by nobody, and their lease may end any moment."""
    host = Host(failures=0)
    begun = Reading(100.0, 100.0)
    sweep = Sweep(
        Instance(1, "/data", None),
        reason="kill",
        started=begun,
        postmaster=postmaster,
        segment=None,
        machine=host,
    )
    sweep.ask_immediate_stop()

    sweep.step(begun, is_postmaster_gone=False)
    assert sweep.has_signalled_all is (postmaster is None)
    late = Reading(100.0 + 2 * GRACE_S, 100.0 + 2 * GRACE_S)
    sweep.step(late, is_postmaster_gone=False)
    assert sweep.killed == {ANOTHER.pid}
