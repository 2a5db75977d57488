"""The one way to run a program of PostgreSQL: bounded in time, cancellable, without a shell."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NoReturn

from raftha.clock import Clock
from raftha.errors import CommandFailed, PostgresError
from raftha.instants import remaining
from raftha.pg import orphan

LAST_LINES: Final = 20
_TICK: Final = 0.1  # seconds between two looks at `cancel`
_GRACE: Final = 5.0  # seconds from SIGTERM to SIGKILL
_MOST_OUTPUT: Final = 16 << 20
_IDLE_TICKS: Final = 5  # without a word: its streams are held open by somebody else

Cancel = Callable[[], bool]
Progress = Callable[[str], None]


class Cancelled(CommandFailed):
    """The program was ended because its caller no longer wants the result."""


class NotRun(PostgresError):
    """The program could not be executed at all."""


def never() -> bool:
    """For work that nobody cancels."""
    return False


def ignore(_line: str) -> None:
    """For work whose progress nobody watches."""


def environment(
    inherited: Mapping[str, str], extra: Mapping[str, str] | None = None
) -> dict[str, str]:
    """An environment without what would change the meaning of a program of PostgreSQL.

    Kept is what archive commands may need. PG* would redirect a connection or a data directory,
    LC_* would translate output that is parsed, RAFTHA_* may hold secrets. The variables by which
    PostgreSQL resets its OOM score stay.
    """
    kept = {
        name: value
        for name, value in inherited.items()
        if name.startswith("PG_OOM_ADJUST")
        or not name.startswith(("PG", "LC_", "LANG", "RAFTHA_", "NOTIFY_SOCKET"))
    }
    return {"PATH": os.defpath, **kept, "LC_ALL": "C", **(extra or {})}


def run(
    argv: Sequence[str],
    *,
    clock: Clock,
    timeout: float,
    cancel: Cancel = never,
    progress: Progress = ignore,
    extra_environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    lock: Path | None = None,
    name: str = "",
) -> str:
    """Run a program to its end and return its standard output.

    `progress` gets each line of its standard error. At the time-out, or when `cancel` says so, its
    whole process group is ended. `lock` is held as long as any process of it lives; see `orphan`.
    `name` is what errors call it. What it leaves behind in the background is not waited for.
    Raises CommandFailed with the last lines of standard error, Cancelled, or NotRun.
    """
    deadline, name = clock.now().plus(timeout), name or Path(argv[0]).name
    process = _start(argv, environment(os.environ, extra_environment), cwd, lock, clock)
    output, lines, idle = _Output(), deque[str](maxlen=LAST_LINES), 0
    late = f"did not end within {timeout:g} s"
    try:
        for chunk, is_error in _chunks(process):
            if cancel():
                raise Cancelled(f"{name} was cancelled")
            if remaining(deadline, clock.now()) <= 0:
                _fail(name, late, lines)
            idle = 0 if chunk else idle + 1
            if idle > _IDLE_TICKS and process.poll() is not None:
                break
            if is_error:
                _report(output.error(chunk), lines, progress)
            else:
                output.out(chunk)
        status = process.wait(timeout=max(_TICK, remaining(deadline, clock.now())))
    except subprocess.TimeoutExpired:
        _fail(name, late, lines)
    finally:
        _end(process)
    if status != 0:
        _fail(name, f"ended with status {status}", lines)
    return output.text()


def _chunks(process: subprocess.Popen[bytes]) -> Iterator[tuple[bytes, bool]]:
    """What the program writes, as it comes, and whether it is standard error.

    An empty chunk of output comes with every tick, so that the caller can look at its limits; an
    empty chunk of standard error is that stream's end.
    """
    with selectors.DefaultSelector() as selector:
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            selector.register(stream, selectors.EVENT_READ)
        while selector.get_map():
            yield b"", False
            for key, _ in selector.select(_TICK):
                yield _read(selector, key), key.fileobj is process.stderr


def _read(selector: selectors.BaseSelector, key: selectors.SelectorKey) -> bytes:
    """What can be read now; at the end of the stream nothing, and it is watched no more."""
    chunk = os.read(key.fd, 65536)
    if not chunk:
        selector.unregister(key.fileobj)
    return chunk


class _Output:
    """Collects standard output, bounded, and cuts standard error into lines."""

    def __init__(self) -> None:
        self._out = bytearray()
        self._rest = b""

    def out(self, chunk: bytes) -> None:
        self._out += chunk[: max(0, _MOST_OUTPUT - len(self._out))]

    def error(self, chunk: bytes) -> list[str]:
        """The lines that are complete now; an empty chunk is the end and completes the last."""
        text = (self._rest + chunk).replace(b"\r", b"\n")
        if not chunk:
            text += b"\n"
        *whole, self._rest = text.split(b"\n")
        return [line.decode(errors="replace") for line in whole if line.strip()]

    def text(self) -> str:
        return self._out.decode(errors="replace")


def _start(
    argv: Sequence[str],
    environment: Mapping[str, str],
    cwd: Path | None,
    lock: Path | None,
    clock: Clock,
) -> subprocess.Popen[bytes]:
    if lock is None:
        return _execute(argv, environment, cwd)
    handle = orphan.take(lock, clock)
    try:
        process = _execute(argv, environment, cwd, handle)
        orphan.note(handle, process.pid)
        return process
    finally:
        os.close(handle)  # the program has it too, and keeps the lock


def _execute(
    argv: Sequence[str], environment: Mapping[str, str], cwd: Path | None, *inherited: int
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environment),
            cwd=cwd or "/",
            pass_fds=inherited,
            start_new_session=True,
        )
    except OSError as error:
        raise NotRun(f"cannot run {argv[0]}: {error.strerror}") from error


def _report(whole: Sequence[str], lines: deque[str], progress: Progress) -> None:
    for line in whole:
        lines.append(line)
        progress(line)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Leave nothing of the process group behind."""
    try:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(timeout=_GRACE)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    finally:
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def _fail(name: str, what: str, lines: Sequence[str]) -> NoReturn:
    said = "\n".join(lines) or "(it said nothing)"
    raise CommandFailed(f"{name} {what}; its last lines:\n{said}")
