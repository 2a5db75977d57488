"""The agent's side of the guardian: start it, ask it, hear from it.

The client never decides that a server is dead because the guardian does not answer: `GuardianGone`
says only that nobody is there to ask.
"""

from __future__ import annotations

import itertools
import os
import queue
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from raftha import threads
from raftha.errors import GuardianError, GuardianGone, GuardianRefused
from raftha.guardian import events, protocol
from raftha.guardian.events import (
    GuardianEvent,
    GuardianLost,
    GuardianStatus,
    ServerProcess,
    StopMode,
)
from raftha.guardian.protocol import Malformed, Message
from raftha.instants import Instant, Seconds
from raftha.model.ids import Epoch, Revision

SPAWN_TIMEOUT: Final = Seconds(10.0)
SPAWN_TRIES: Final = 4
"""A guardian is gone within milliseconds of its socket; starting one takes longer than that."""

REPLY_TIMEOUT: Final = Seconds(2.0)
"""The guardian answers within milliseconds; whoever waits longer waits for a stopped process."""

START_TIMEOUT: Final = Seconds(6.0)
"""Above the guardian's own limit for fork and exec."""

SEND_TIMEOUT_S: Final = 2
TIMEVAL: Final = struct.Struct("ll")

EXIT_RUNS_ALREADY: Final = 3
PROGRAM: Final = Path(__file__).resolve().with_name("__main__.py")


def spawn(
    socket_path: Path,
    pgdata: Path,
    log_path: Path,
    idle_exit_seconds: float,
    *,
    dead_man_seconds: float = 0.25,
    interpreter: Sequence[str] = (sys.executable,),
) -> None:
    """Have a guardian of this directory running and answering, detached from this process.

    Returns happily if one ran already. One that is about to end, or has just begun, holds the lock
    while nobody answers on its socket: then it is tried again. `dead_man_seconds` after a deadline
    the kernel kills a guardian that is stuck; half of the fence budget is right. Raises
    GuardianError.
    """
    words = {
        "--socket": os.path.abspath(socket_path),
        "--pgdata": os.path.abspath(pgdata),
        "--log": os.path.abspath(log_path),
        "--idle-exit-seconds": str(idle_exit_seconds),
        "--dead-man-seconds": str(dead_man_seconds),
    }
    options = [word for pair in words.items() for word in pair]
    command = [*interpreter, "-I", "-S", str(PROGRAM), *options]
    for _ in range(SPAWN_TRIES):
        try:
            _require_same_directory(socket_path, pgdata)
        except GuardianGone:
            _start(command, pgdata, log_path)
        else:
            return
    _require_same_directory(socket_path, pgdata)


def _start(command: Sequence[str], pgdata: Path, log_path: Path) -> None:
    """Have one started, if the lock is free."""
    try:
        ended = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SPAWN_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise GuardianGone(f"the guardian of {pgdata} did not start: {problem}") from problem
    if ended.returncode not in (0, EXIT_RUNS_ALREADY):
        tail = " / ".join(ended.stderr.strip().splitlines()[-3:])
        raise GuardianGone(f"the guardian of {pgdata} did not start: {tail}; see {log_path}")


def _require_same_directory(socket_path: Path, pgdata: Path) -> None:
    client = GuardianClient(socket_path, role="observer")
    client.connect()
    try:
        guarded = client.status().pgdata
    finally:
        client.close()
    if guarded != os.path.realpath(pgdata):
        raise GuardianError(
            f"the guardian on {socket_path} guards {guarded}, not {pgdata}: use another socket"
        )


class GuardianClient:
    """One connection to a guardian. All methods may be called from any thread.

    Events go to `on_event` on the reader's thread, which must not call back into this object.
    Every call raises GuardianGone if there is no answer in time, GuardianRefused with the reason
    if there is one and it is no.
    """

    def __init__(
        self,
        path: Path,
        *,
        on_event: Callable[[GuardianEvent], None] | None = None,
        role: str = "agent",
    ) -> None:
        self._path = path
        self._on_event = on_event or _ignore
        self._role = role
        self._channel: socket.socket | None = None
        self._sending = threading.Lock()
        self._numbers = itertools.count(1)
        self._waiting: dict[int, queue.SimpleQueue[Message | None]] = {}
        self._is_closing = False

    def connect(self, timeout: Seconds = REPLY_TIMEOUT) -> str:
        """Connect and say hello; the guardian's nonce. To be called once. Raises GuardianGone, or
        GuardianRefused by one of another release, which goes on as before."""
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        channel.settimeout(timeout)
        try:
            channel.connect(str(self._path))
        except OSError as problem:
            channel.close()
            raise GuardianGone(f"no guardian answers on {self._path}: {problem}") from problem
        channel.settimeout(None)
        channel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, TIMEVAL.pack(SEND_TIMEOUT_S, 0))
        self._channel = channel
        try:
            threads.begin(lambda: self._read(channel), "guardian-reader")
        except OSError as problem:
            channel.close()
            raise GuardianGone(f"{self._path} cannot be listened to: {problem}") from problem
        words = {"role": self._role, "protocol": protocol.VERSION}
        try:
            answer = self._ask("hello", words, timeout)
            spoken = answer.get("protocol")
            if spoken != protocol.VERSION:
                raise GuardianRefused(f"hello: it speaks protocol {spoken!r}")
        except GuardianRefused as refused:
            self.close()
            raise GuardianRefused(
                f"the guardian on {self._path} is of another release than this agent, which speaks "
                f"protocol {protocol.VERSION} ({refused}): run the release that started it, stop "
                "the node with that one, and start this one then"
            ) from refused
        return str(answer["nonce"])

    def close(self) -> None:
        """End the connection; the guardian goes on as before. No GuardianLost is reported."""
        self._is_closing = True
        if self._channel is not None:
            _shut_down(self._channel)

    def status(self, timeout: Seconds = REPLY_TIMEOUT) -> GuardianStatus:
        """The guardian's state, a moment ago."""
        return events.status_from(self._ask("status", {}, timeout))

    def start_server(
        self, argv: Sequence[str], env: Mapping[str, str], log: Path, epoch: Epoch | None
    ) -> ServerProcess:
        """Start a postmaster; refused without `standby.signal` unless under an armed epoch.

        `argv[0]` is an absolute path. The process exists then; whether it accepts connections is
        for others to find out.
        """
        request: Message = {"argv": list(argv), "env": dict(env), "log": os.path.abspath(log)}
        request["epoch"] = None if epoch is None else _pair(epoch)
        return events.server_from(self._ask("start", request, START_TIMEOUT))

    def entrust(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        log: Path,
        timeout: Seconds = REPLY_TIMEOUT,
    ) -> None:
        """Say which program tells the others, should this agent and its primary both be gone: it
        is run with one more word, a JSON object with `epoch`, `renewal` and `guardian`."""
        request: Message = {"argv": list(argv), "env": dict(env), "log": os.path.abspath(log)}
        self._ask("entrust", request, timeout)

    def arm(
        self,
        epoch: Epoch,
        renewal: Revision,
        kill_at: Instant,
        timeout: Seconds = REPLY_TIMEOUT,
        *,
        dead_man_seconds: float | None = None,
    ) -> None:
        """Put a deadline in force; it is, once this returns. `kill_at` is when killing begins,
        `dead_man_seconds` as for `spawn`; without it what was said last stays."""
        instants = {
            "kill_boot": kill_at.boot,
            "kill_raw": kill_at.raw,
            "kill_slept": kill_at.slept,
            "dead_man_s": dead_man_seconds,
        }
        self._ask("arm", {"epoch": _pair(epoch), "renewal": renewal, **instants}, timeout)

    def disarm(self, epoch: Epoch, timeout: Seconds = REPLY_TIMEOUT) -> None:
        """Take the deadline away, for a maintenance pause that the store has recorded."""
        self._ask("disarm", {"epoch": _pair(epoch)}, timeout)

    def burn(self, epoch: Epoch, timeout: Seconds = REPLY_TIMEOUT) -> None:
        """Have no primary made under this epoch ever again; on the disk once this returns. Refused
        while a primary runs."""
        self._ask("burn", {"epoch": _pair(epoch)}, timeout)

    def promote(self, epoch: Epoch, timeout: Seconds = REPLY_TIMEOUT) -> None:
        """Signal promotion; refused unless this epoch's deadline lies ahead at that moment."""
        self._ask("promote", {"epoch": _pair(epoch)}, timeout)

    def stop(self, mode: StopMode, timeout: Seconds = REPLY_TIMEOUT) -> None:
        """Signal a shutdown. `timeout` is for the answer; the end itself is an event."""
        self._ask("stop", {"mode": mode.value}, timeout)

    def kill(self, timeout: Seconds) -> None:
        """Kill every process of the instance, strays too, and return when none is left."""
        self._ask("kill", {}, timeout)

    def quit(self, timeout: Seconds = REPLY_TIMEOUT) -> None:
        """End the guardian; refused while a server runs."""
        self._ask("quit", {}, timeout)

    def _ask(self, word: str, fields: Message, timeout: Seconds) -> Message:
        if self._channel is None:
            raise GuardianGone(f"not connected to {self._path}")
        number = next(self._numbers)
        answers: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._waiting[number] = answers
        line = protocol.encode({"id": number, "do": word, **fields})
        try:
            with self._sending:
                self._channel.sendall(line)
            answer = answers.get(timeout=timeout)
        except (OSError, queue.Empty) as problem:
            raise GuardianGone(f"{word}: no answer on {self._path} in {timeout:g} s") from problem
        finally:
            self._waiting.pop(number, None)
        if answer is None:
            raise GuardianGone(f"{word}: the guardian on {self._path} ended the connection")
        if "refused" in answer:
            raise GuardianRefused(f"{word}: {answer['refused']}")
        return answer

    def _read(self, channel: socket.socket) -> None:
        """The reader's thread: replies to whoever waits, events to the callback."""
        reason = "it closed the connection"
        try:
            with channel.makefile("rb") as stream:
                for line in stream:
                    self._deliver(protocol.decode(line))
        except (OSError, Malformed) as problem:
            reason = str(problem)
        channel.close()
        for answers in tuple(self._waiting.values()):
            answers.put(None)
        if not self._is_closing:
            self._on_event(GuardianLost(reason=f"guardian on {self._path}: {reason}"))

    def _deliver(self, message: Message) -> None:
        if "event" in message:
            self._on_event(events.event_from(message))
            return
        answers = self._waiting.get(message.get("id", 0))
        if answers is not None:
            answers.put(message)


def _ignore(_event: GuardianEvent) -> None:
    """For whoever only asks."""


def _pair(epoch: Epoch) -> list[int]:
    return [epoch.generation, epoch.revision]


def _shut_down(channel: socket.socket) -> None:
    try:
        channel.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # the other side was first
