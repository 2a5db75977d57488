"""The agent's hold on its guardian: one connection, found again when it is lost.

Everything here may fail with GuardianError; whoever calls decides what that means. The last status
asked for is never reused: a guardian that does not answer is not alive.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from raftha.errors import GuardianError, GuardianGone
from raftha.guardian.client import GuardianClient, spawn
from raftha.guardian.events import Fenced, GuardianEvent, GuardianLost, PostmasterExited, StopMode
from raftha.instants import Instant, Seconds
from raftha.logs import event
from raftha.model.ids import Epoch, Revision
from raftha.model.view import GuardianView

LOG = logging.getLogger(__name__)

ASK_TIMEOUT = Seconds(1.0)
KILL_TIMEOUT = Seconds(5.0)
SHORTEST_DEAD_MAN_S = 0.1
NEARLY_ALL = 0.8
"""The share of the fence budget from which a fence is warned of."""
IDLE_EXIT_S = 30.0
"""A guardian without agent and server ends by itself after so long."""


class Guarding:
    """`changed` is called from the connection's reader on every event; it must not call back.
    `spares` says that a server which runs without this guardian is left alone. `will` is the
    program that tells the others, should agent and primary be gone; `spawn` has a guardian running,
    and `client` is a way to talk to it."""

    def __init__(
        self,
        *,
        socket_path: Path,
        data_dir: Path,
        log_path: Path,
        fence_budget: Callable[[], Seconds],
        changed: Callable[[], None],
        lost: Callable[[str], None],
        fenced: Callable[[str, float], object] = lambda _reason, _seconds: None,
        spares: Callable[[], bool] = lambda: False,
        will: Callable[[], Sequence[str]] = tuple,
        spawn: Callable[..., None] = spawn,
        client: Callable[..., GuardianClient] = GuardianClient,
    ) -> None:
        self._socket_path = socket_path
        self._data_dir = data_dir
        self._log_path = log_path
        self._fence_budget = fence_budget
        self._changed = changed
        self._lost = lost
        self._fenced = fenced
        self._spares = spares
        self._will = will
        self._spawn = spawn
        self._client = client
        self._entrusted: tuple[GuardianClient | None, Sequence[str]] = (None, ())
        self._connection: GuardianClient | None = None
        self._connecting = threading.Lock()
        self._is_quitting = False
        self._problem = ""

    def restore(self) -> None:
        """Have a guardian and a connection to it. Raises GuardianError.

        A new guardian has started nothing yet, so whatever still runs on the directory outlived an
        earlier one: it is ended before anybody may believe that nothing runs here. A server that
        was never this cluster's, and is to be taken over, is not.
        """
        with self._connecting:
            self._drop()
            try:
                self._connection = self._find()
            except GuardianError as error:
                self._problem = str(error)
                raise
            self._problem = ""

    def _find(self) -> GuardianClient:
        self._spawn(
            self._socket_path,
            self._data_dir,
            self._log_path,
            IDLE_EXIT_S,
            dead_man_seconds=self._dead_man_s(),
        )
        connection = self._client(self._socket_path, on_event=self._heard)
        connection.connect()
        if connection.status(ASK_TIMEOUT).server is None and not self._spares():
            connection.kill(KILL_TIMEOUT)
        return connection

    def view(self) -> GuardianView:
        """Its state at this moment; not alive if it does not answer. Never raises."""
        try:
            status = self._ask().status(ASK_TIMEOUT)
        except GuardianError:
            return GuardianView(alive=False, problem=self._problem)
        server = status.server
        return GuardianView(
            alive=True,
            nonce=status.nonce,
            running=server is not None or status.remaining > 0,
            primary=status.is_primary,
            armed=status.kill_at is not None,
            # A fence takes the deadline away, too, but then the server is being killed.
            disarmed=status.is_primary and status.kill_at is None and status.fencing is None,
            epoch=status.server_epoch,
            process="" if server is None else f"{server.pid}@{server.started}",
            burned=status.burned,
            predecessors=status.predecessors,
            last_exit=None if status.last_exit is None else str(status.last_exit),
        )

    def arm(self, epoch: Epoch, renewal: Revision, kill_at: Instant) -> None:
        connection = self._ask()
        margin = self._dead_man_s()
        connection.arm(epoch, renewal, kill_at, ASK_TIMEOUT, dead_man_seconds=margin)
        self._entrust(connection)

    def burn(self, epoch: Epoch) -> None:
        """Have nothing started or promoted under this epoch any more, by whomever it is asked."""
        self._ask().burn(epoch, ASK_TIMEOUT)

    def disarm(self, epoch: Epoch) -> None:
        """Take the deadline away; the store tells everybody."""
        self._ask().disarm(epoch, ASK_TIMEOUT)

    def start(
        self, argv: Sequence[str], env: Mapping[str, str], log: Path, epoch: Epoch | None
    ) -> None:
        self._ask().start_server(argv, env, log, epoch)

    def promote(self, epoch: Epoch) -> None:
        self._ask().promote(epoch, ASK_TIMEOUT)

    def stop(self, mode: StopMode) -> None:
        self._ask().stop(mode, ASK_TIMEOUT)

    def kill(self) -> None:
        """End every process of the instance; returns when none is left."""
        self._ask().kill(KILL_TIMEOUT)

    def quit(self) -> None:
        """End the guardian, which refuses while a server runs."""
        self._is_quitting = True
        self._ask().quit(ASK_TIMEOUT)

    def close(self) -> None:
        """Let go of the connection; the guardian goes on."""
        with self._connecting:
            self._drop()

    def _dead_man_s(self) -> float:
        """Half of the budget: the other half is for the end of a server whose guardian was ended by
        the kernel (R12). The budget may be changed while a primary runs."""
        return max(SHORTEST_DEAD_MAN_S, self._fence_budget() / 2)

    def _compare(self, seconds: Seconds) -> None:
        """A fence that outlasts its budget outlasts the lease: say so before it does (R7)."""
        budget = self._fence_budget()
        if seconds > NEARLY_ALL * budget:
            event(
                LOG,
                logging.WARNING,
                "a fence took most of its budget: raise fence_budget, and ttl with it",
                seconds=round(seconds, 3),
                fence_budget=budget,
            )

    def _entrust(self, connection: GuardianClient) -> None:
        """Whoever leads says who is to be told, should this process and its server be gone; again
        if that has changed. A guardian that cannot do this guards as well as before."""
        will = tuple(self._will())
        if not will or self._entrusted == (connection, will):
            return
        try:
            connection.entrust(will, os.environ, self._log_path, ASK_TIMEOUT)
        except GuardianError as error:
            event(LOG, logging.WARNING, "the guardian takes no will", why=str(error))
        self._entrusted = (connection, will)

    def _ask(self) -> GuardianClient:
        connection = self._connection
        if connection is None:
            raise GuardianGone("not connected to a guardian yet")
        return connection

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _heard(self, heard: GuardianEvent) -> None:
        match heard:
            case Fenced(epoch=None, killed=0):
                return  # a sweep that found nothing to end
            case Fenced():
                self._fenced(heard.cause, heard.seconds)
                event(
                    LOG,
                    logging.WARNING,
                    "guardian killed the server",
                    why=heard.reason,
                    seconds=round(heard.seconds, 3),
                    outlived_sigquit=heard.killed,
                    epoch=str(heard.epoch),
                )
                self._compare(heard.seconds)
            case PostmasterExited():
                event(LOG, logging.INFO, "server ended", status=heard.status, why=heard.reason)
            case GuardianLost() if self._is_quitting:
                return
            case GuardianLost():
                event(LOG, logging.ERROR, "guardian lost", why=heard.reason)
                self._lost(heard.reason)
        self._changed()
