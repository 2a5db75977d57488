"""Asks other members over HTTP, all at once and each with a deadline. Never raises for a peer."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from typing import Protocol
from urllib.parse import urlsplit

from msgspec import Struct

from raftha.api.client import ApiClient, ApiError
from raftha.clock import Clock
from raftha.instants import Instant, Seconds
from raftha.model.cluster import Cluster
from raftha.model.ids import MemberName
from raftha.model.store import RaftStatus
from raftha.model.view import PeerAnswer

AT_ONCE = 9
"""A group has nine members at most."""

ASK_S = Seconds(1.0)
"""How long whoever asks for the whole cluster waits for the members' answers."""


class Asked(Protocol):
    """Whoever can be asked: a member, or a witness."""

    @property
    def name(self) -> MemberName: ...
    @property
    def api_url(self) -> str: ...


class Witness(Struct, frozen=True):
    """A voter without PostgreSQL, as a link tells of it."""

    name: MemberName
    api_url: str


def witnesses(raft: RaftStatus) -> tuple[Witness, ...]:
    """The other witnesses that say where they answer."""
    return tuple(
        Witness(MemberName(voter.name), voter.api_url)
        for voter in raft.voters
        if voter.witness and voter.api_url and voter.name and not voter.is_self
    )


def hosts(cluster: Cluster, raft: RaftStatus) -> tuple[str, ...]:
    """Where members and witnesses say that they answer, without the ports."""
    urls = {member.api_url for member in cluster.members.values()}
    urls |= {voter.api_url for voter in raft.voters}
    return tuple(sorted(host for url in urls if (host := urlsplit(url).hostname)))


class Peers:
    """`connect` makes the HTTP client for a member's URL; `pool` is where questions wait."""

    def __init__(
        self,
        *,
        clock: Clock,
        connect: Callable[[str, Seconds], ApiClient],
        timeout: Callable[[], Seconds],
        changed: Callable[[], None],
        pool: Executor | None = None,
    ) -> None:
        self._clock = clock
        self._connect = connect
        self._timeout = timeout
        self._changed = changed
        self._pool = pool or ThreadPoolExecutor(AT_ONCE, thread_name_prefix="peer")
        self._asking: dict[MemberName, Future[PeerAnswer]] = {}
        self._answers: dict[MemberName, PeerAnswer] = {}

    @property
    def answers(self) -> Mapping[MemberName, PeerAnswer]:
        """The last answer of each member that was ever asked."""
        return dict(self._answers)

    def ask(self, members: Iterable[Asked]) -> None:
        """Ask these, unless they are being asked; `changed` is called for each answer. Raises
        OSError where no thread can be had for it."""
        for member in members:
            running = self._asking.get(member.name)
            if running is not None and not running.done():
                continue
            try:
                self._asking[member.name] = self._pool.submit(self._one, member)
            except RuntimeError as error:
                raise OSError(errno.EAGAIN, f"{member.name} cannot be asked: {error}") from error

    def ask_now(
        self, members: Iterable[Asked], timeout: Seconds
    ) -> Mapping[MemberName, PeerAnswer]:
        """Ask these afresh and wait for whoever answers in time."""
        futures = {member.name: self._pool.submit(self._measure, member) for member in members}
        done, _ = wait(futures.values(), timeout=timeout)
        return {name: future.result() for name, future in futures.items() if future in done}

    def close(self) -> None:
        """Ask nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _one(self, member: Asked) -> PeerAnswer:
        answer = self._measure(member)
        self._answers[member.name] = answer
        self._changed()
        return answer

    def _measure(self, member: Asked) -> PeerAnswer:
        asked: Instant = self._clock.now()
        try:
            report = self._connect(member.api_url, self._timeout()).peer()
        except ApiError as error:
            return PeerAnswer(asked=asked, report=None, problem=str(error))
        return PeerAnswer(asked=asked, report=report)
