"""Values that the agent gets from the guardian, and their reading from messages.

The guardian itself does not import this file: dataclasses would cost it memory.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NewType

from msgspec import Struct

from raftha.guardian.protocol import Malformed, Message
from raftha.instants import Instant, Seconds
from raftha.model.ids import Epoch, Revision

Ticks = NewType("Ticks", int)
"""When a process began, in clock ticks after boot: with it a process number is unique."""


class StopMode(StrEnum):
    """PostgreSQL's shutdown modes: wait for sessions, end them, or do not even clean up."""

    SMART = "smart"
    FAST = "fast"
    IMMEDIATE = "immediate"


class ServerProcess(Struct, frozen=True, kw_only=True):
    """A postmaster."""

    pid: int
    started: Ticks


class GuardianStatus(Struct, frozen=True, kw_only=True):
    """The guardian's whole state.

    `is_primary` says that the server may accept writes, as far as the guardian can know: it was
    started or promoted under `server_epoch`. `epoch`, `renewal` and `kill_at` are the proof last
    armed; `kill_at` is None while disarmed and after a fence. `fencing` is the reason of a kill in
    progress, `remaining` what is left of it. `last_exit` is an exit code, or minus a signal.
    `predecessors` are the nonces of the guardians that were here before it, for this directory.
    """

    nonce: str
    guardian_pid: int
    pgdata: str
    server: ServerProcess | None
    is_primary: bool
    server_epoch: Epoch | None
    epoch: Epoch | None
    renewal: Revision
    kill_at: Instant | None
    burned: tuple[Epoch, ...]
    fencing: str | None
    remaining: int
    last_exit: int | None
    last_fence_s: Seconds | None
    predecessors: tuple[str, ...] = ()

    @property
    def is_running(self) -> bool:
        return self.server is not None


class Fenced(Struct, frozen=True, kw_only=True):
    """A kill has ended, and nothing of the instance is left. `reason` is `deadline` or a sentence.

    `renewal` is the revision that the last deadline rested on, `killed` counts the processes that
    outlived SIGQUIT. After a deadline the epoch is burned, durably so before this is sent.
    """

    reason: str
    seconds: Seconds
    killed: int
    epoch: Epoch | None
    renewal: Revision

    @property
    def is_deadline(self) -> bool:
        return self.reason == "deadline"

    @property
    def cause(self) -> str:
        """The reason as one of four words, for counting: `deadline`, `asked`, `stop`, `failure`."""
        words = {"deadline": "deadline", "asked to kill": "asked", "guardian told to stop": "stop"}
        return words.get(self.reason, "failure")


class PostmasterExited(Struct, frozen=True, kw_only=True):
    """The server is gone with all of its processes; a fence that ended it was reported before.

    `status` is the postmaster's exit code, or minus the signal that killed it.
    """

    server: ServerProcess
    status: int | None
    reason: str
    epoch: Epoch | None

    @property
    def is_fenced(self) -> bool:
        """Whether the guardian killed it, for whatever reason."""
        return self.reason != "exit"


class GuardianLost(Struct, frozen=True, kw_only=True):
    """The connection ended. The guardian may be dead, and then the server is dying."""

    reason: str


GuardianEvent = Fenced | PostmasterExited | GuardianLost


def status_from(message: Message) -> GuardianStatus:
    """Read a reply to `status`. Raises Malformed."""
    try:
        boot, raw, slept = message["kill_boot"], message["kill_raw"], message["kill_slept"]
        return GuardianStatus(
            nonce=message["nonce"],
            guardian_pid=message["guardian_pid"],
            pgdata=message["pgdata"],
            server=_server(message) if message["running"] else None,
            is_primary=message["primary"],
            server_epoch=_epoch(message["server_epoch"]),
            epoch=_epoch(message["epoch"]),
            renewal=Revision(message["renewal"]),
            kill_at=None if boot is None else Instant(boot, raw, slept),
            burned=tuple(Epoch(*pair) for pair in message["burned"]),
            fencing=message["fencing"],
            remaining=message["remaining"],
            last_exit=message["last_exit"],
            last_fence_s=message["last_fence_s"],
            # One of an earlier release does not tell.
            predecessors=tuple(message.get("predecessors", ())),
        )
    except (KeyError, TypeError) as problem:
        raise Malformed(f"not a status: {problem!r}") from problem


def event_from(message: Message) -> GuardianEvent:
    """Read a pushed message. Raises Malformed."""
    try:
        match message["event"]:
            case "fenced":
                return Fenced(
                    reason=message["reason"],
                    seconds=Seconds(message["seconds"]),
                    killed=message["killed"],
                    epoch=_epoch(message["epoch"]),
                    renewal=Revision(message["renewal"]),
                )
            case "postmaster-exited":
                return PostmasterExited(
                    server=_server(message),
                    status=message["status"],
                    reason=message["reason"],
                    epoch=_epoch(message["epoch"]),
                )
            case unknown:
                raise Malformed(f"unknown event {unknown!r}")
    except (KeyError, TypeError) as problem:
        raise Malformed(f"not an event: {problem!r}") from problem


def server_from(message: Message) -> ServerProcess:
    """Read a reply to `start`. Raises Malformed."""
    try:
        return _server(message)
    except (KeyError, TypeError) as problem:
        raise Malformed(f"not a process: {problem!r}") from problem


def _server(message: Message) -> ServerProcess:
    return ServerProcess(pid=message["pid"], started=Ticks(message["started"]))


def _epoch(pair: list[int] | None) -> Epoch | None:
    return None if pair is None else Epoch(*pair)
