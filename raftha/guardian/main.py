"""The guardian's process: detach, hold the lock, answer requests, and never let the deadline slip.

Whatever goes wrong in here while a server runs, the server dies first and the guardian after it.
SIGTERM and SIGINT do the same on purpose: kill the instance, verify, exit.
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import sys

from raftha.guardian import kernel, ledger, lineage, protocol
from raftha.guardian.journal import Journal
from raftha.guardian.links import Links
from raftha.guardian.service import Service
from raftha.guardian.switch import Files, KillSwitch
from raftha.guardian.typed import Final, NamedTuple, NoReturn

EXIT_RUNS_ALREADY: Final = 3
EXIT_USAGE: Final = 2

USAGE: Final = """\
usage: python -m raftha.guardian --socket PATH --pgdata PATH [--log FILE]
           [--idle-exit-seconds S] [--dead-man-seconds S] [--foreground]

  --socket             Unix socket to answer on; lock and ledger lie beside it
  --pgdata             data directory to guard; exactly one guardian each
  --log                where to write what happened (default: nowhere)
  --idle-exit-seconds  exit after so long without agent and server (default 30, 0: never)
  --dead-man-seconds   the kernel kills a stuck guardian so long after a deadline (default 0.25)
  --foreground         do not detach (for a service manager)
"""


class Options(NamedTuple):
    """The command line."""

    socket: str
    pgdata: str
    log: str
    idle_exit_s: float
    dead_man_s: float
    foreground: bool


class UsageError(Exception):
    """The command line cannot be understood."""


def main(arguments: list[str]) -> NoReturn:
    """Run as `arguments` say. Exits 0 once listening (detached) or at the end, 3 if one runs."""
    try:
        options = parse(arguments)
    except UsageError as problem:
        sys.stderr.write(f"{problem}\n{USAGE}")
        sys.exit(EXIT_USAGE)
    os.umask(0o077)
    lock = _take_lock(options.socket + ".lock")
    if lock is None:
        sys.stderr.write(f"a guardian runs already on {options.socket}\n")
        sys.exit(EXIT_RUNS_ALREADY)
    listener = _listen(options.socket)
    if not options.foreground:
        _detach()
    try:
        status = _run(options, listener)
    finally:
        # Whoever finds no socket starts another one, which needs the lock: not later than that.
        os.close(lock)
    sys.exit(status)


def parse(arguments: list[str]) -> Options:
    """Read the command line. Raises UsageError."""
    values = {"--log": "", "--idle-exit-seconds": "30", "--dead-man-seconds": "0.25"}
    known = {*values, "--socket", "--pgdata"}
    is_foreground = "--foreground" in arguments
    words = [word for word in arguments if word != "--foreground"]
    if len(words) % 2:
        raise UsageError(f"{words[-1]}: a value must follow")
    for name, value in zip(words[::2], words[1::2], strict=True):
        if name not in known:
            raise UsageError(f"unknown option {name}")
        values[name] = value
    for name in ("--socket", "--pgdata"):
        if not os.path.isabs(values.get(name, "")):
            raise UsageError(f"{name}: an absolute path must be given")
    return Options(
        socket=values["--socket"],
        pgdata=os.path.realpath(values["--pgdata"]),
        log=values["--log"],
        idle_exit_s=_seconds(values, "--idle-exit-seconds"),
        dead_man_s=_seconds(values, "--dead-man-seconds"),
        foreground=is_foreground,
    )


def _seconds(values: dict[str, str], name: str) -> float:
    try:
        seconds = float(values[name])
    except ValueError:
        raise UsageError(f"{name}: seconds expected, not {values[name]!r}") from None
    if not 0 <= seconds < float("inf"):
        raise UsageError(f"{name}: 0 or more seconds expected, not {values[name]!r}")
    return seconds


def _take_lock(path: str) -> int | None:
    """The descriptor that holds the lock for the life of the process; None if it is held."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle


def _listen(path: str) -> socket.socket:
    """The listening socket. Whoever holds the lock may take the place of a dead one's."""
    if os.path.exists(path):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    listener.listen(8)
    return listener


def _detach() -> None:
    """Continue in a process of its own session that nobody waits for."""
    if os.fork():
        os._exit(0)
    os.setsid()
    if os.fork():
        os._exit(0)
    os.chdir("/")
    null = os.open("/dev/null", os.O_RDWR)
    for handle in (0, 1, 2):
        os.dup2(null, handle)
    os.close(null)


def _run(options: Options, listener: socket.socket) -> int:
    """Serve until told to end. The exit status."""
    journal = Journal(options.log)
    wakeup, alarm = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    _route_signals(alarm)
    kernel.adopt_orphans()
    links = Links(listener, wakeup)
    switch = KillSwitch(
        Files(options.pgdata, options.socket + ".burned"),
        kernel.DeadMan(),
        options.dead_man_s,
        kernel.read_clocks,
        lambda event: _tell(journal, links, event),
    )
    nonce = os.urandom(16).hex()
    service = Service(
        switch,
        links,
        journal,
        options.idle_exit_s,
        nonce=nonce,
        predecessors=_predecessors(options, journal, nonce),
    )
    try:
        switch.open()
        links.open()
        reason = service.run()
        journal.note(f"end: {reason}")
        return 0
    except ledger.LedgerDamaged as problem:
        journal.note(f"refused to run: {problem}")
        return 1
    except BaseException as problem:
        switch.fail_safe(f"guardian failed: {problem!r}")
        journal.note_failure(problem)
        return 1
    finally:
        journal.flush()
        if os.path.exists(options.socket):
            os.unlink(options.socket)


def _predecessors(options: Options, journal: Journal, nonce: str) -> tuple[str, ...]:
    """The nonces of those that held the lock before, with which this one takes its place."""
    try:
        return lineage.enter(options.socket + ".guardians", nonce, options.pgdata)
    except OSError as problem:
        journal.note(f"the next guardian will not know of this one: {problem}")
        return ()


def _tell(journal: Journal, links: Links, event: protocol.Message) -> None:
    links.push(event)
    journal.note(protocol.encode(event).decode().rstrip())


def _route_signals(alarm: int) -> None:
    """Turn each signal that matters into a byte in the pipe that the loop waits for."""
    signal.set_wakeup_fd(alarm, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: None)
    for number in (signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
