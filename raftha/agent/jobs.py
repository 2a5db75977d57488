"""The jobs of a member: what initdb, a clone, a rejoin and a checkpoint do, step by step.

Each runs on the worker's thread. A directory that is replaced or rewound is kept aside first.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, assert_never

from msgspec import Struct
from msgspec.structs import replace

from raftha.agent import programs
from raftha.agent.board import Board
from raftha.agent.worker import Cancelled, Work, Worker
from raftha.clock import Clock
from raftha.errors import PostgresError
from raftha.ha import actions as act
from raftha.instants import Seconds
from raftha.logs import event
from raftha.model.cluster import Cluster, Member
from raftha.model.ids import SystemId
from raftha.model.methods import BASEBACKUP, Method
from raftha.model.postgres import Upstream
from raftha.model.view import Diverged, JobKind
from raftha.pg import (
    bootstrap,
    clone,
    configuration,
    logical,
    methods,
    program,
    progress,
    restore,
    rewind,
    takeover,
)
from raftha.pg.instance import Instance
from raftha.pg.job import Job, new_job
from raftha.pg.methods import Wanted
from raftha.pg.rewind import Comparison, Rewound
from raftha.pg.run import Cancelled as JobCancelled
from raftha.pg.timeline import Relation

LOG = logging.getLogger(__name__)

COPY_TIMEOUT = 24 * 3600.0
"""A base backup or a rewind of a large cluster may take hours; it is cancellable all the time."""

COPY_NAME = "raftha copy"
INITDB_TIMEOUT = 300.0
POST_BOOTSTRAP_TIMEOUT = 3600.0
"""It may load a dump; nobody is served meanwhile, so it has to end."""

PUT_ASIDE_TIMEOUT = 60.0
TAKE_OVER_TIMEOUT = 60.0
"""As long as pg_ctl waits for a shutdown."""

CHECKPOINT_TIMEOUT = 3600.0

SLOTS_TIMEOUT = 10.0
"""A slot that is made waits for running transactions; it is tried again."""

Action = (
    act.InitDb
    | act.PostBootstrap
    | act.PutAside
    | act.TakeOver
    | act.CreateRoles
    | act.Clone
    | act.Rejoin
    | act.Checkpoint
    | act.MakeLogicalSlots
    | act.CopySlots
    | act.AskPrePromote
)


class Tools(Struct, frozen=True, kw_only=True):
    """The programs that work on a data directory."""

    job: Callable[..., Job] = new_job
    initialise: Callable[..., object] = bootstrap.initialise
    restore_by: Callable[[Job, str, Method], object] = restore.restore
    post_bootstrap: Callable[[Job, Sequence[str]], None] = program.post_bootstrap
    give_up: Callable[[Job, str], None] = restore.give_up
    clone: Callable[..., None] = clone.clone
    copy_by: Callable[..., None] = methods.copy_by
    compare: Callable[[Job, Upstream, SystemId | None], Comparison] = rewind.compare
    rewind: Callable[[Job, Upstream, Comparison], Rewound] = rewind.rewind
    fetch_slots: Callable[[Job, Upstream, Iterable[str]], None] = logical.fetch
    mark_standby: Callable[[Path], None] = configuration.mark_standby


TOOLS: Final = Tools()


class Jobs:
    """Starts the job of an action, unless one runs."""

    def __init__(
        self,
        *,
        board: Board,
        instance: Instance,
        worker: Worker,
        clock: Clock,
        tools: Tools = TOOLS,
    ) -> None:
        self._board = board
        self._instance = instance
        self._worker = worker
        self._clock = clock
        self._tools = tools

    def start(self, action: Action, cluster: Cluster) -> bool:
        """Start it; False if a job runs already."""
        match action:
            case act.InitDb() | act.PostBootstrap() | act.PutAside():
                return self._worker.start(*self._founding(action))
            case act.TakeOver():
                return self._worker.start(JobKind.TAKE_OVER, self._taking_over(action.pid))
            case act.CreateRoles():
                return self._worker.start(JobKind.CREATE_ROLES, self._create_roles)
            case act.Clone():
                work = self._cloning(action.source, cluster)
                source = "" if action.source is None else action.source.name
                return self._worker.start(JobKind.CLONE, work, source)
            case act.Rejoin():
                work = self._rejoining(action, cluster)
                return self._worker.start(JobKind.REJOIN, work, action.source.name)
            case act.Checkpoint():
                return self._worker.start(JobKind.CHECKPOINT, self._checkpoint)
            case act.MakeLogicalSlots():
                return self._worker.start(JobKind.MAKE_SLOTS, self._making(action))
            case act.CopySlots():
                work = self._fetching(action, cluster)
                return self._worker.start(JobKind.COPY_SLOTS, work, action.source.name)
            case act.AskPrePromote():
                return self._worker.start(JobKind.PRE_PROMOTE, self._asking(cluster.config.ttl))
            case _:
                assert_never(action)

    def _asking(self, limit: Seconds) -> Work:
        """The operator's program agrees by ending with 0."""
        words = self._board.hooks().pre_promote
        output = self._instance.layout.run_dir / programs.OUTPUT

        def work(cancel: Cancelled) -> None:
            status = programs.run(words, output, self._clock, limit, cancel)
            if status is None:
                raise PostgresError(f"did not end within {limit:g} s, or was given up")
            if status != 0:
                raise PostgresError(f"ended with status {status}, see {output}")

        return work

    def _job(self, cancel: Cancelled, timeout: float, major: int | None = None) -> Job:
        return self._tools.job(
            config=self._board.postgres,
            run_dir=self._instance.layout.run_dir,
            binaries=self._instance.binaries(major or self._instance.inspect().major),
            clock=self._clock,
            stamp=datetime.fromtimestamp(self._clock.wall(), UTC).strftime("%Y%m%dT%H%M%S"),
            timeout=timeout,
            cancel=cancel,
            progress=self._hear,
        )

    def _hear(self, line: str) -> None:
        copied = progress.copied(line)
        if copied is not None:
            self._worker.tell(copied)

    def _founding(
        self, action: act.InitDb | act.PostBootstrap | act.PutAside
    ) -> tuple[JobKind, Work]:
        """What makes the first directory of a cluster, or undoes it."""
        tools, given = self._tools, self._board.config.bootstrap

        def initdb(cancel: Cancelled) -> None:
            in_one_go = bool(given.post_bootstrap)
            tools.initialise(self._job(cancel, INITDB_TIMEOUT), given.initdb, in_one_go=in_one_go)

        def restored(method: Method) -> Work:
            scope = self._board.config.scope

            def work(cancel: Cancelled) -> None:
                tools.restore_by(self._program(cancel, COPY_TIMEOUT), scope, method)

            return work

        def asked(cancel: Cancelled) -> None:
            tools.post_bootstrap(
                self._program(cancel, POST_BOOTSTRAP_TIMEOUT), given.post_bootstrap
            )

        match action:
            case act.InitDb():
                method = given.method
                if method is None:
                    return JobKind.INITDB, initdb
                return JobKind.RESTORE, restored(method)
            case act.PostBootstrap():
                return JobKind.POST_BOOTSTRAP, asked
            case act.PutAside():
                why = action.why
                return JobKind.PUT_ASIDE, lambda cancel: tools.give_up(
                    self._job(cancel, PUT_ASIDE_TIMEOUT), why
                )
            case _:
                assert_never(action)

    def _program(self, cancel: Cancelled, timeout: float) -> Job:
        """A job of a program of the operator's, whose words are kept with those of the others."""
        output = self._instance.layout.run_dir / programs.OUTPUT
        job = self._job(cancel, timeout)
        return replace(job, progress=lambda line: programs.note(output, line))

    def _taking_over(self, pid: int) -> Work:
        def work(cancel: Cancelled) -> None:
            takeover.end_stranger(self._board.postgres.data_dir, pid, cancel, TAKE_OVER_TIMEOUT)

        return work

    def _create_roles(self, _cancel: Cancelled) -> None:
        self._instance.create_roles(self._board.postgres.authentication)

    def _checkpoint(self, _cancel: Cancelled) -> None:
        self._instance.checkpoint(CHECKPOINT_TIMEOUT)

    def _making(self, action: act.MakeLogicalSlots) -> Work:
        def work(_cancel: Cancelled) -> None:
            for slot in action.wanted:
                self._instance.make_logical_slot(slot, synced=action.synced, timeout=SLOTS_TIMEOUT)
            self._board.look()

        return work

    def _fetching(self, action: act.CopySlots, cluster: Cluster) -> Work:
        upstream = self._upstream(action.source, cluster)

        def work(cancel: Cancelled) -> None:
            self._tools.fetch_slots(self._job(cancel, SLOTS_TIMEOUT), upstream, action.names)

        return work

    def _upstream(self, source: Member, cluster: Cluster) -> Upstream:
        me = self._board.identity()
        announced = cluster.members.get(me.name)
        slot = None
        if cluster.config.postgresql.use_slots and not me.tags.nostream:
            slot = me.slot if announced is None else announced.slot
        # Not the member's name: a copy's stream must never count as the standby itself (R21).
        return Upstream(address=source.postgres, slot=slot, application_name=COPY_NAME)

    def _cloning(self, source: Member | None, cluster: Cluster, *, diverged: bool = False) -> Work:
        """A base backup is of its source's major, whatever else is installed here. The methods are
        tried one after the other."""
        version = None if source is None else source.postgres_version
        wanted = Wanted(
            scope=self._board.config.scope,
            system_id=_system_id(cluster),
            birth="" if cluster.initialize is None else cluster.initialize.birth,
            source=None if source is None else self._upstream(source, cluster),
            diverged=diverged,
        )
        listed = self._board.postgres.copy_methods or (Method(name=BASEBACKUP),)
        fit = [method for method in listed if source is not None or method.no_leader]

        def work(cancel: Cancelled) -> None:
            for left, method in zip(reversed(range(len(fit))), fit, strict=True):
                try:
                    self._copy(cancel, method, wanted, version)
                    break
                except PostgresError as error:
                    if left == 0 or isinstance(error, JobCancelled):
                        raise
                    why = {"method": method.name, "why": str(error)}
                    event(LOG, logging.WARNING, "no copy was made, trying the next method", **why)
            self._instance.forget_slots()

        return work

    def _copy(self, cancel: Cancelled, method: Method, wanted: Wanted, version: int | None) -> None:
        if not method.is_basebackup:
            self._tools.copy_by(self._program(cancel, COPY_TIMEOUT), method, wanted)
        elif wanted.source is not None:
            job = self._job(cancel, COPY_TIMEOUT, None if version is None else version // 10000)
            self._tools.clone(job, wanted.source, wanted.system_id, diverged=wanted.diverged)

    def _rejoining(self, action: act.Rejoin, cluster: Cluster) -> Work:
        upstream, system_id = self._upstream(action.source, cluster), _system_id(cluster)
        may_rewind = cluster.config.postgresql.use_pg_rewind
        copy = self._cloning(action.source, cluster, diverged=True)

        def work(cancel: Cancelled) -> None:
            if action.forced:
                return copy(cancel)
            job = self._job(cancel, COPY_TIMEOUT)
            # Raises if the source does not answer: a copy would fail as well.
            comparison = self._tools.compare(job, upstream, system_id)
            if comparison.relation is Relation.FOLLOWS:
                self._tools.mark_standby(job.layout.data_dir)
                last = str(comparison.last_record)
                event(LOG, logging.INFO, "nothing diverged", last_record=last)
                if comparison.was_primary:
                    self._worker.found(_end_of(comparison))
                return None
            if action.spares:
                raise PostgresError(self._spared(job.layout.data_dir, action.source))
            undone = comparison.diverged_bytes
            event(LOG, logging.WARNING, "WAL here is not on the cluster's line", bytes=undone)
            self._worker.found(_end_of(comparison))
            done = self._rewound(job, upstream, comparison) if may_rewind else None
            if done is None:
                copy(cancel)
            else:
                self._instance.discard_slots(_slots_of(cluster))
                self._worker.found(_end_of(comparison, done))
            return None

        return work

    def _spared(self, data_dir: Path, source: Member) -> str:
        return (
            f"{data_dir} is from before this cluster and holds WAL that {source.name} does not: it "
            "is left alone. See what it holds; then raftha reinit "
            f"{self._board.identity().name} keeps it aside and makes a copy"
        )

    def _rewound(self, job: Job, upstream: Upstream, comparison: Comparison) -> Rewound | None:
        """Undo what diverged; None if that is impossible and a copy is needed."""
        try:
            done = self._tools.rewind(job, upstream, comparison)
        except JobCancelled:
            raise
        except PostgresError as error:
            event(LOG, logging.WARNING, "pg_rewind is impossible, cloning instead", why=str(error))
            return None
        facts = {"segments_fetched": done.fetched} if done.fetched else {}
        event(LOG, logging.INFO, "rewound", diverged_wal_kept_in=str(done.kept), **facts)
        return done


def _end_of(comparison: Comparison, done: Rewound | None = None) -> Diverged:
    found = Diverged(timeline=comparison.timeline, end=comparison.end)
    if done is None:
        return found
    kept = "" if done.kept is None else str(done.kept)
    return replace(found, kept=kept, fetched=done.fetched)


def _slots_of(cluster: Cluster) -> frozenset[str]:
    """The slots that members keep for one another and for readers."""
    permanent = {slot.name for slot in cluster.config.slots}
    return frozenset(permanent | {member.slot for member in cluster.members.values()})


def _system_id(cluster: Cluster) -> SystemId | None:
    return None if cluster.initialize is None else cluster.initialize.system_id
