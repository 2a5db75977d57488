"""Performs what was decided. Each act is attempted once; what came of it shows in the next view.

Acts that must hold true at the moment they happen (start as a primary, promote, stop) go through
the guardian, which checks its own proof. What fails here is logged, and the next tick decides anew.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import assert_never

from raftha.agent.board import Board
from raftha.agent.graceful import GracefulStop
from raftha.agent.guarding import Guarding
from raftha.agent.jobs import Jobs
from raftha.agent.keeper import LeaseKeeper
from raftha.agent.peers import Peers
from raftha.agent.sides import Store
from raftha.agent.worker import Worker
from raftha.clock import Clock
from raftha.errors import RafthaError
from raftha.guardian.events import StopMode as GuardianStop
from raftha.ha import actions as act
from raftha.ha.keys import LEADER_LEASE
from raftha.instants import Seconds
from raftha.logs import RateLimiter, event
from raftha.model.cluster import Cluster
from raftha.model.ids import Timeline
from raftha.model.postgres import ServerPlan, ServerRole
from raftha.model.store import Barrier, Committed, Outcome, Unknown
from raftha.model.view import StreamCut
from raftha.pg.instance import Instance

LOG = logging.getLogger(__name__)

LONGEST_LOG_BYTES = 32 << 20
"""Of postgresql.log, and of the part before it: it lies on the volume of the Raft store."""

SAY_AGAIN = Seconds(60.0)
"""What fails in the same words, tick after tick, is told once in so long."""

SQL_TIMEOUT = 2.0
"""For statements that take milliseconds; a server that hangs longer is found out by the probe."""


class Effects:
    """The one place where decisions become acts. Used by the loop's thread alone, but for jobs."""

    def __init__(
        self,
        *,
        instance: Instance,
        guarding: Guarding,
        keeper: LeaseKeeper,
        store: Store,
        peers: Peers,
        worker: Worker,
        jobs: Jobs,
        board: Board,
        clock: Clock,
        log_path: Path,
        graceful: GracefulStop,
        reloaded: Callable[[], None],
    ) -> None:
        self._instance = instance
        self._guarding = guarding
        self._keeper = keeper
        self._store = store
        self._peers = peers
        self._worker = worker
        self._jobs = jobs
        self._log_path = log_path
        self._graceful = graceful
        self._reloaded = reloaded
        self._board = board
        self._clock = clock
        self._failures = RateLimiter(clock, SAY_AGAIN)
        self._pending: set[str] = set()
        self._unsettled: set[str] = set()
        self._is_settling = False
        self._is_read = False
        self.caught_up = False
        self.ended = False
        self.stop_asked = False

    @property
    def pending(self) -> frozenset[str]:
        """The store writes in flight."""
        return frozenset(self._pending) | ({"leader"} if self._keeper.busy else frozenset())

    def perform(self, action: act.Action, cluster: Cluster) -> bool:
        """Attempt one act; False if it failed and what was noted about it must be forgotten."""
        try:
            self._perform(action, cluster)
        except (RafthaError, OSError) as error:
            self._tell(type(action).__name__, str(error))
            return False
        return True

    def _tell(self, act: str, why: str) -> None:
        held_back = self._failures.admit(f"{act}: {why}")
        if held_back is not None:
            more = {"held_back": held_back} if held_back else {}
            event(LOG, logging.ERROR, "act failed", act=act, why=why, **more)

    def _perform(self, action: act.Action, cluster: Cluster) -> None:
        match action:
            case act.Submit():
                self._submit(action, cluster.config.retry_timeout)
            case act.AcquireLeader():
                self._keeper.acquire(action.command, action.lease, action.ttl, armed=action.armed)
            case act.Readopt():
                self._readopt(action)
            case act.Disarm():
                self._keeper.disarm(action.epoch)
            case act.Rearm():
                self._keeper.rearm()
            case act.ReleaseLeader():
                self._keeper.release()
            case act.ReturnLeader():
                self._keeper.give_back(action.epoch, LEADER_LEASE, action.revision)
            case act.Start():
                self._start(action)
            case act.Stop():
                self._stop(action.mode)
            case act.Configure():
                self._configure(action)
            case act.CutStream():
                self._cut(action)
            case act.Promote():
                self._promote(action, cluster)
            case act.EnsureSlots() | act.AdvanceSlots() | act.DropSlots():
                self._change_slots(action)
            case act.FillHistories():
                self._instance.place_history_files(action.below, ())
            case act.EndDoubles():
                self._end_doubles(action)
            case act.ConfirmBirth():
                self._instance.confirm_birth()
            case act.AskPeers():
                self._peers.ask(cluster.members[n] for n in action.names if n in cluster.members)
            case act.RestoreGuardian():
                self._restore_guardian()
            case act.CancelJob():
                self._worker.cancel()
            case act.EndAgent():
                self.ended = True
            case act.InitDb() | act.TakeOver() | act.CreateRoles() | act.PutAside() | act.Clone():
                self._jobs.start(action, cluster)
            case act.Rejoin() | act.AskPrePromote() | act.PostBootstrap() | act.Checkpoint():
                self._jobs.start(action, cluster)
            case act.MakeLogicalSlots() | act.CopySlots() | act.RousePostmaster():
                self._keep_logical(action, cluster)
            case _:
                assert_never(action)

    def _restore_guardian(self) -> None:
        self._guarding.restore()
        self._board.wake()

    def _change_slots(self, action: act.EnsureSlots | act.AdvanceSlots | act.DropSlots) -> None:
        match action:
            case act.EnsureSlots():
                self._instance.ensure_slots(action.wanted, SQL_TIMEOUT)
            case act.AdvanceSlots():
                self._instance.advance_slots(action.targets, SQL_TIMEOUT)
            case act.DropSlots():
                for name in action.names:
                    self._instance.drop_slot(name, SQL_TIMEOUT)
            case _:
                assert_never(action)
        self._board.look()

    def _keep_logical(
        self, action: act.MakeLogicalSlots | act.CopySlots | act.RousePostmaster, cluster: Cluster
    ) -> None:
        match action:
            case act.MakeLogicalSlots():
                self._instance.note_slots(slot.name for slot in action.wanted)
                self._jobs.start(action, cluster)
            case act.CopySlots():
                self._jobs.start(action, cluster)
            case act.RousePostmaster():
                self._instance.conf_loaded(SQL_TIMEOUT)
            case _:
                assert_never(action)

    def _submit(self, action: act.Submit, timeout: Seconds) -> None:
        self._pending.add(action.intent)

        def done(outcome: Outcome) -> None:
            event(LOG, logging.DEBUG, "store write", intent=action.intent, outcome=str(outcome))
            if isinstance(outcome, Unknown):
                self._unsettled.add(action.intent)
            else:
                self._pending.discard(action.intent)
            self._board.wake()

        self._store.submit(action.command, timeout=timeout, done=done)

    def _readopt(self, action: act.Readopt) -> None:
        self._keeper.readopt(
            action.epoch, LEADER_LEASE, action.revision, action.ttl, armed=action.armed
        )

    def settle(self, timeout: Seconds) -> None:
        """Find out what became of writes whose answer was lost; until then they stay pending, since
        they may have happened although the local replica does not show it. And, once, catch up with
        what was committed before this agent started.

        A barrier that commits settles all commands before it: what happened is visible then, and
        what is not never will happen.
        """
        asked = frozenset(self._unsettled)
        if (self.caught_up and not asked) or self._is_settling:
            return
        self._is_settling = True

        def done(outcome: Outcome) -> None:
            self._is_settling = False
            if isinstance(outcome, Committed):
                self.caught_up = True
                self._unsettled -= asked
                self._pending -= asked
                self._board.wake()

        self._store.submit(Barrier(), timeout=timeout, done=done)

    def _cut(self, action: act.CutStream) -> None:
        """Raises PostgresUnavailable if the receiver outlives it: then nothing is pledged."""
        self._board.cut = None
        process = self._board.process()
        self._write_configuration(action.plan)
        had_stream = self._instance.cut_stream()
        self._board.cut = StreamCut(process=process, floor=action.floor, at=self._clock.now())
        self._board.look()
        floor, stream = str(action.floor), "ended" if had_stream else "none"
        event(LOG, logging.INFO, "old stream cut", floor=floor, receiver=stream)

    def _configure(self, action: act.Configure) -> None:
        self._board.cut = None
        if not self._write_configuration(action.plan):
            return
        self._reloaded()
        self._board.look()
        for refused in self._instance.refused_settings(SQL_TIMEOUT):
            event(LOG, logging.ERROR, "postgresql.parameters refused by the server", why=refused)

    def _write_configuration(self, plan: ServerPlan) -> bool:
        """Write the files and have the server read them, unless it has read these already.

        Files that are as they should be prove nothing: the reload after them may have failed, or an
        earlier agent of this node may have died before it.
        """
        is_read, self._is_read = self._is_read, False
        if not self._instance.configure(plan) and is_read:
            self._is_read = True
            return False
        self._instance.reload(SQL_TIMEOUT)
        self._is_read = True
        return True

    def bound_log(self) -> None:
        """Move the server's log aside once it is too long, keeping one older part. The server goes
        on writing at the end of the file, wherever that is, so nothing has to be told to it."""
        try:
            if self._log_path.stat().st_size > LONGEST_LOG_BYTES:
                shutil.copyfile(self._log_path, self._log_path.with_suffix(".log.1"))
                os.truncate(self._log_path, 0)
        except FileNotFoundError:
            return
        except OSError as error:
            event(LOG, logging.ERROR, "the server's log cannot be bounded", why=str(error))

    def _end_doubles(self, action: act.EndDoubles) -> None:
        ended = self._instance.terminate_duplicates(action.streams, SQL_TIMEOUT)
        self._board.look()
        if ended:
            event(LOG, logging.WARNING, "streams of one name: the newest stays", ended=str(ended))

    def _start(self, action: act.Start) -> None:
        self._board.cut = None
        self.stop_asked = False
        found = self._instance.inspect()
        if action.plan.role is ServerRole.STANDBY and (taken := self._instance.install_slots()):
            event(LOG, logging.INFO, "logical slots taken in", names=", ".join(taken))
        self._instance.configure(action.plan)
        argv, env = self._instance.start_command(self._instance.binaries(found.major))
        self._guarding.start(argv, env, self._log_path, action.epoch)
        self._is_read = True
        under = {} if action.epoch is None else {"epoch": str(action.epoch)}
        event(LOG, logging.INFO, "server started", role=action.plan.role, **under)

    def _stop(self, mode: act.StopMode) -> None:
        event(LOG, logging.INFO, "stopping the server", mode=mode)
        self.stop_asked = True
        match mode:
            case act.StopMode.FAST:
                self._graceful.stop(self._board.process())
            case act.StopMode.IMMEDIATE:
                self._guarding.stop(GuardianStop.IMMEDIATE)
            case act.StopMode.KILL:
                self._guarding.kill()
            case _:
                assert_never(mode)

    def _promote(self, action: act.Promote, cluster: Cluster) -> None:
        record = cluster.history[-1]
        parent = record.parent or Timeline(1)
        self._instance.place_history_files(parent, action.burned)
        self._write_configuration(action.plan)
        self._guarding.promote(action.epoch)
        self._board.look()
        event(LOG, logging.INFO, "promoting", epoch=str(action.epoch), why=record.reason)
