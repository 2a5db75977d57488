"""Takes what an operator asks of this member's server, and tells what became of it.

Called from the threads of the API. The loop does what is asked; a wish that is refused has changed
nothing.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from random import Random

from raftha.agent.board import Board
from raftha.clock import Clock
from raftha.ha.restarting import refusal
from raftha.ha.situation import Situation
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
    """`situation` gives the last view of the loop; `unable` says why a server with these parameters
    would not start again. It writes `board.wish`."""

    def __init__(
        self,
        *,
        board: Board,
        clock: Clock,
        situation: Callable[[], Situation],
        unable: Callable[[Mapping[str, str]], str | None],
        random: Random,
    ) -> None:
        self._board = board
        self._clock = clock
        self._situation = situation
        self._unable = unable
        self._random = random
        self._lock = threading.Lock()

    def ask(self, asked: ServerRequest) -> ServerChange:
        """Take a wish; RUNNING means accepted."""
        s = self._situation()
        with self._lock:
            why = refusal(s, asked) or self._in_the_way(s) or self._doomed(s, asked)
            if why is not None:
                return _told("", asked.kind, OperationState.REFUSED, why)
            if asked.dry_run:
                return _told("", asked.kind, OperationState.DONE, f"{s.me} would do it now")
            process = s.view.guardian.process if s.running else ""
            wish = ServerWish(
                id=f"{self._random.getrandbits(48):012x}",
                kind=asked.kind,
                process=process,
                until=self._clock.now().plus(WISH_LASTS_S),
                from_leader=asked.from_leader,
            )
            self._board.wish = wish
        event(LOG, logging.WARNING, "an operator asks for the server", wish=asked.kind, id=wish.id)
        self._board.wake()
        return _told(wish.id, wish.kind, OperationState.RUNNING, f"{asked.kind} asked for")

    def _doomed(self, s: Situation, asked: ServerRequest) -> str | None:
        """Why a server that is stopped now would not come back."""
        if asked.kind is not WishKind.RESTART:
            return None
        return self._unable({**s.config.postgresql.parameters, **s.view.me.parameters})

    def latest(self) -> ServerChange | None:
        """How far the latest wish has come."""
        wish = self._board.wish
        return None if wish is None else progress(self._situation(), wish)

    def _in_the_way(self, s: Situation) -> str | None:
        wish = self._board.wish
        if wish is None or progress(s, wish).state is not OperationState.RUNNING:
            return None
        return f"a {wish.kind} is under way already"


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
