"""Becoming the parent of a postmaster: fork, put right what would be inherited, exec.

A backend inherits everything that is set here. The scheduling class, nice value, signal mask and
out-of-memory score of the guardian are its own business and must not reach the server.
"""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable

from raftha.guardian import kernel
from raftha.guardian.typed import Final, NamedTuple, NoReturn

EXEC_TIMEOUT_MS: Final = 5000
"""How long fork, opening of the log file and exec may take together; nothing is guarded then."""

DONE: Final = b"done"

RESET_SIGNALS: Final = tuple(set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP})


class Order(NamedTuple):
    """What to run, and where. `argv[0]` is an absolute path; `log` receives both output streams."""

    argv: tuple[str, ...]
    env: dict[str, str]
    pgdata: str
    log: str


WRITE_STEP_MS: Final = 50
WRITE_STEPS: Final = 20
"""One second in all for creating a file: longer than any disk that a primary should live on."""


class LaunchFailed(Exception):
    """A child could not do what it was forked for; the message says why."""


def launch(order: Order) -> int:
    """Start the program and return its process number once exec has succeeded.

    It gets SIGQUIT when this process ends, however that happens. Raises LaunchFailed.
    """
    failure_in, failure_out = os.pipe2(os.O_CLOEXEC)
    guardian = os.getpid()
    pid = os.fork()
    if pid == 0:
        _become(order, guardian, failure_out)
    os.close(failure_out)
    try:
        problem = _read_failure(failure_in)
    finally:
        os.close(failure_in)
    if problem:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise LaunchFailed(f"{order.argv[0]} in {order.pgdata}: {problem}")
    return pid


def create_file(path: str, may_go_on: Callable[[], bool]) -> None:
    """Create an empty file. Raises LaunchFailed, or OSError if no child can be had.

    A child does it, since a hung disk would hold up this process and the deadline it guards.
    `may_go_on` is asked every 50 ms. Whoever calls reaps the child.
    """
    answer_in, answer_out = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        _create_and_say(path, answer_out)
    os.close(answer_out)
    waiter = select.poll()
    waiter.register(answer_in, select.POLLIN)
    try:
        for _ in range(WRITE_STEPS):
            if waiter.poll(WRITE_STEP_MS):
                _require_done(path, os.read(answer_in, 4096))
                return
            if not may_go_on():
                break
    finally:
        os.close(answer_in)
    os.kill(pid, signal.SIGKILL)
    raise LaunchFailed(f"{path} was not created in time: is the disk hung?")


def _require_done(path: str, said: bytes) -> None:
    if said != DONE:
        raise LaunchFailed(f"{path} was not created: {said.decode('utf-8', 'replace')}")


def _create_and_say(path: str, answer: int) -> NoReturn:
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
        os.write(answer, DONE)
    except OSError as problem:
        os.write(answer, str(problem).encode())
    finally:
        os._exit(0)


def _read_failure(handle: int) -> str:
    """What the child complained about; empty once exec has closed the pipe."""
    waiter = select.poll()
    waiter.register(handle, select.POLLIN)
    if not waiter.poll(EXEC_TIMEOUT_MS):
        return f"no exec within {EXEC_TIMEOUT_MS / 1000:.0f} s: is the disk hung?"
    return os.read(handle, 4096).decode("utf-8", "replace")


def _become(order: Order, guardian: int, failure: int) -> NoReturn:
    """Runs in the child and does not return to the guardian's code, whatever happens."""
    try:
        kernel.die_with_parent(signal.SIGQUIT)
        if os.getppid() != guardian:
            os._exit(1)
        os.setsid()
        _reset_signals()
        _reset_priorities()
        os.chdir(order.pgdata)
        _redirect(order.log)
        os.execve(order.argv[0], order.argv, order.env)
    except BaseException as problem:
        os.write(failure, str(problem).encode()[:4000])
    finally:
        os._exit(127)


def _reset_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in RESET_SIGNALS:
        try:
            signal.signal(number, signal.SIG_DFL)
        except OSError:
            continue  # a signal that the C library keeps for itself
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _reset_priorities() -> None:
    """Give up what the guardian was favoured with; lacking the right to, keep what there is."""
    try:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        os.setpriority(os.PRIO_PROCESS, 0, 0)
    except OSError:
        pass
    try:
        with open("/proc/self/oom_score_adj", "r+", encoding="ascii") as file:
            if int(file.read()) < 0:
                file.seek(0)
                file.write("0")
    except OSError:
        pass


def _redirect(log: str) -> None:
    null = os.open("/dev/null", os.O_RDONLY)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(null, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
