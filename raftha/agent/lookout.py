"""Gathers the view: bounded reads of the store, the guardian, PostgreSQL and the jobs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from raftha.agent.board import Board
from raftha.agent.effects import Effects
from raftha.agent.guarding import Guarding
from raftha.agent.keeper import LeaseKeeper
from raftha.agent.peers import Peers
from raftha.agent.reader import ClusterReader, Store
from raftha.agent.worker import Worker
from raftha.clock import Clock
from raftha.ha.slots import own_slot
from raftha.ha.streams import as_members, stream_name
from raftha.model.cluster import Cluster
from raftha.model.ids import Lsn
from raftha.model.postgres import DataDirectory, ReplayPause, ServerStatus, TimelineSwitch
from raftha.model.view import GuardianView, Identity, View
from raftha.pg.instance import Instance
from raftha.pg.takeover import to_take_over

_TAIL_BYTES: Final = 8192
_COMPLAINT: Final = re.compile(r"(?:FATAL|PANIC|ERROR|could not|cannot|invalid).*")


class Lookout:
    """Reads everything a decision may look at; writes `board.guardian`. `observe` belongs to the
    loop's thread."""

    def __init__(
        self,
        *,
        board: Board,
        clock: Clock,
        store: Store,
        reader: ClusterReader,
        instance: Instance,
        guarding: Guarding,
        keeper: LeaseKeeper,
        worker: Worker,
        peers: Peers,
        effects: Effects,
        log_path: Path,
        unable: Callable[[Mapping[str, str]], str | None] = lambda _parameters: None,
    ) -> None:
        self._unable = unable
        self._board = board
        self._clock = clock
        self._store = store
        self._reader = reader
        self._instance = instance
        self._guarding = guarding
        self._keeper = keeper
        self._worker = worker
        self._peers = peers
        self._effects = effects
        self._log_path = log_path
        self._directory: DataDirectory | None = None
        self._stuck_at: Lsn | None = None
        self._forks: tuple[str, tuple[TimelineSwitch, ...]] = ("", ())

    def observe(self) -> View:
        """The view at this moment: of a job first, so that the directory shows what came of it."""
        guardian = self._guarding.view()
        if guardian.process != self._board.guardian.process:
            self._directory = None
            self._board.look()
        self._board.guardian = guardian
        sample = self._board.sample
        is_current = sample.process == guardian.process and guardian.running
        server = sample.status if is_current and not sample.problem else None
        job, result = self._worker.job, self._worker.result
        directory = self._look_at_directory(guardian, server)
        last = self._listen(guardian, server)
        forks = () if server is None else self._look_at_forks(guardian, server)
        # What is in flight is read before the replica: a write that is no longer pending shows, and
        # what had been caught up with is there.
        pending, lease = self._effects.pending, self._keeper.held
        caught_up = self._effects.caught_up
        cluster, raft = self._reader.read(), self._store.status()
        me = self._board.identity()
        return View(
            cluster=cluster,
            raft=raft,
            now=self._clock.now(),
            wall=self._clock.wall(),
            me=replace(
                me,
                stream=stream_name(me.name, raft.incarnation),
                slot=own_slot(me.slot, me.name, raft.incarnation, cluster),
            ),
            guardian=guardian,
            directory=directory,
            lease=lease,
            server=None if server is None else as_members(server, cluster),
            last_words=last,
            forks=forks,
            kept=self._board.kept,
            made_slots=self._instance.made_slots(),
            server_seen=sample.asked if is_current else None,
            server_problem=sample.problem if is_current else "",
            peers=self._peers.answers,
            job=job,
            finished=result,
            pending=pending,
            cut=self._board.cut,
            caught_up=caught_up,
            stopping=self._board.stopping.is_set(),
            wish=self._board.wish,
            doomed=self._doomed(cluster, me),
        )

    def _doomed(self, cluster: Cluster, me: Identity) -> str:
        """Asked once the time of a scheduled restart has come, and no sooner: it takes a look at
        the disk and a question to the server."""
        plan = cluster.scheduled_restarts.get(me.name)
        is_next = plan is not None and not (plan.process or plan.refused)
        if plan is None or not is_next or self._clock.wall() < plan.due:
            return ""
        return self._unable({**cluster.config.postgresql.parameters, **me.parameters}) or ""

    def _look_at_directory(
        self, guardian: GuardianView, server: ServerStatus | None
    ) -> DataDirectory:
        """Looking in means running a program, so a running server's directory is looked into only
        once, unless it vanishes; and once where replay stands still, for pg_control tells why."""
        known = self._directory
        settled = guardian.running and not self._is_stopping() and not self._is_newly_stuck(server)
        if known is not None and settled and self._instance.has_control_file():
            return replace(
                known,
                unborn=self._instance.is_unborn(),
                closed=self._instance.is_closed(),
            )
        stranger = to_take_over(self._board.postgres, self._instance.layout)
        self._directory = replace(self._instance.inspect(), stranger=stranger)
        return self._directory

    def _is_newly_stuck(self, server: ServerStatus | None) -> bool:
        """Replay stands where it did not at the last look."""
        is_paused = server is not None and server.replay_pause is ReplayPause.PAUSED
        before, self._stuck_at = self._stuck_at, server.replayed if server and is_paused else None
        return self._stuck_at is not None and self._stuck_at != before

    def _listen(self, guardian: GuardianView, server: ServerStatus | None) -> str:
        """What the log complains of, where a rule might want to know."""
        is_starting = guardian.running and server is None
        receiver = None if server is None else server.receiver
        is_fine = receiver is not None and receiver.status == "streaming"
        if is_starting or is_fine or (server is not None and server.is_primary):
            return ""
        return last_words(self._log_path)

    def _look_at_forks(
        self, guardian: GuardianView, server: ServerStatus
    ) -> tuple[TimelineSwitch, ...]:
        """Read once for each timeline that a process writes."""
        if server.in_recovery:
            return ()
        which = f"{guardian.process} {server.timeline}"
        if self._forks[0] != which or not self._forks[1]:
            self._forks = (which, self._instance.forks(server.timeline))
        return self._forks[1]

    def _is_stopping(self) -> bool:
        return self._board.stopping.is_set() or self._effects.stop_asked


def last_words(log_path: Path) -> str:
    """The last complaints in a server's log, on one line; empty if there are none."""
    try:
        with log_path.open("rb") as log:
            log.seek(max(0, log_path.stat().st_size - _TAIL_BYTES))
            lines = log.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    found = [match[0] for line in lines[-12:] if (match := _COMPLAINT.search(line))]
    return "; ".join(dict.fromkeys(found[-3:]))
