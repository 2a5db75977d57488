"""Takes what an operator asks of this member's server, and tells what became of it.

Called from the threads of the API. The loop does what is asked; a wish that is refused has changed
nothing.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from random import Random

from raftha.agent.board import Board
from raftha.clock import Clock
from raftha.ha.situation import Situation
from raftha.ha.sizes import pending
from raftha.instants import remaining
from raftha.logs import event
from raftha.model.operation import OperationState
from raftha.model.restarting import (
    WISH_LASTS_S,
    ServerChange,
    ServerRequest,
    ServerWish,
    WishKind,
)

LOG = logging.getLogger(__name__)


class ServerWishes:
    """`situation` gives the last view of the loop. It writes `board.wish`."""

    def __init__(
        self,
        *,
        board: Board,
        clock: Clock,
        situation: Callable[[], Situation],
        random: Random,
    ) -> None:
        self._board = board
        self._clock = clock
        self._situation = situation
        self._random = random
        self._lock = threading.Lock()

    def ask(self, asked: ServerRequest) -> ServerChange:
        """Take a wish; RUNNING means accepted."""
        s = self._situation()
        with self._lock:
            why = refusal(s, asked) or self._in_the_way(s)
            if why is not None:
                return _told("", asked.kind, OperationState.REFUSED, why)
            process = s.view.guardian.process if s.running else ""
            wish = ServerWish(
                id=f"{self._random.getrandbits(48):012x}",
                kind=asked.kind,
                process=process,
                until=self._clock.now().plus(WISH_LASTS_S),
            )
            self._board.wish = wish
        event(LOG, logging.WARNING, "an operator asks for the server", wish=asked.kind, id=wish.id)
        self._board.wake()
        return _told(wish.id, wish.kind, OperationState.RUNNING, f"{asked.kind} asked for")

    def latest(self) -> ServerChange | None:
        """How far the latest wish has come."""
        wish = self._board.wish
        return None if wish is None else progress(self._situation(), wish)

    def _in_the_way(self, s: Situation) -> str | None:
        wish = self._board.wish
        if wish is None or progress(s, wish).state is not OperationState.RUNNING:
            return None
        return f"a {wish.kind} is under way already"


def refusal(s: Situation, asked: ServerRequest) -> str | None:
    """Why this cannot be done here and now; None if it can."""
    if asked.name is not None and asked.name != s.me:
        return f"this is {s.me}, not {asked.name}"
    if s.cluster.paused:
        return "the cluster is in a maintenance pause, in which no server is touched: raftha resume"
    if not s.view.raft.majority:
        return "no majority of the voters is in touch: nothing can be changed safely"
    if s.cluster.leader is None:
        return "there is no leader: raftha status says why"
    if s.request is not None:
        return f"a {s.request.kind} is under way"
    if s.view.job is not None:
        return f"{s.view.job.kind} is running"
    return _of_remaking(s) if asked.kind is WishKind.REINITIALIZE else _of_restart(s, asked)


def _of_remaking(s: Situation) -> str | None:
    if s.other_leader is None:
        return f"{s.me} is the leader: hand over first (raftha switchover)"
    if s.leader_member is None or not s.leader_is_ready:
        return "the leader is not ready to be copied yet"
    return None


def _of_restart(s: Situation, asked: ServerRequest) -> str | None:
    server = s.server
    if server is None:
        return "PostgreSQL does not answer here"
    if server.is_primary and s.lease is None:
        return "a primary without the leader key is not restarted"
    role = "primary" if server.is_primary else "replica"
    if asked.role is not None and asked.role not in (role, *_ROLES[role]):
        return f"{s.me} is a {role}, and the condition is role {asked.role}"
    if asked.restart_pending and not pending(s):
        return f"no restart is pending on {s.me}"
    if asked.postgres_version is None:
        return None
    below = number_of(asked.postgres_version)
    if below is None:
        return f"{asked.postgres_version!r} is no release of PostgreSQL, such as 15.18"
    if server.version >= below:
        return f"PostgreSQL on {s.me} is not older than {asked.postgres_version}"
    return None


_ROLES = {"primary": ("master", "leader"), "replica": ("standby",)}


def number_of(release: str) -> int | None:
    """15.18 as 150018, and 16 as 160000; None for anything else."""
    major, _, minor = release.partition(".")
    if not major.isdecimal() or not (minor or "0").isdecimal():
        return None
    return int(major) * 10000 + int(minor or 0)


def progress(s: Situation, wish: ServerWish) -> ServerChange:
    """What has become of a wish, by the last view."""
    running = OperationState.RUNNING
    is_begun = (
        s.memory.remade == wish.id or not s.running or s.view.guardian.process != wish.process
    )
    if not is_begun and remaining(wish.until, s.now) <= 0:
        why = f"{s.me} could not begin it within {WISH_LASTS_S:g} s, and has given it up"
        return _told(wish.id, wish.kind, OperationState.REFUSED, why)
    if wish.kind is WishKind.REINITIALIZE and (s.memory.remade != wish.id or s.memory.wal_gone):
        return _told(wish.id, wish.kind, running, _failed(s) or f"{s.me} is being made anew")
    if s.running and s.view.guardian.process == wish.process:
        return _told(wish.id, wish.kind, running, f"{s.me} is being stopped")
    if s.server is None:
        return _told(wish.id, wish.kind, running, s.view.server_problem or f"{s.me} is starting")
    words = "is restarted" if wish.kind is WishKind.RESTART else "is made anew"
    return _told(wish.id, wish.kind, OperationState.DONE, f"{s.me} {words}")


def _failed(s: Situation) -> str:
    return f"it failed, and is tried again: {s.memory.failed}" if s.memory.failures else ""


def _told(wish: str, kind: WishKind, state: OperationState, message: str) -> ServerChange:
    return ServerChange(id=wish, kind=kind, state=state, message=message)
