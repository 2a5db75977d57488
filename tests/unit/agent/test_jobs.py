"""What a rejoin does with a directory that has diverged: with one of ours, and of before us."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec import Struct
from msgspec.structs import replace

from raftha.agent.jobs import Jobs, Tools
from raftha.agent.worker import Worker
from raftha.errors import PostgresError
from raftha.ha.actions import Clone, InitDb, Rejoin
from raftha.model.cluster import Cluster, Member
from raftha.model.ids import Lsn, Timeline
from raftha.model.methods import Method
from raftha.model.postgres import Upstream
from raftha.model.settings import BootstrapConfig, DynamicConfig, DynamicPostgres, Tags
from raftha.model.view import JobResult
from raftha.pg.rewind import Comparison, Rewound
from raftha.pg.run import Cancelled
from raftha.pg.timeline import Relation
from raftha.pg.upstream import Identity, UpstreamLine
from tests.unit.ha import builders as b
from tests.unit.ha.servers import N2, SYSTEM, FakeClock

MEMBER = b.member(N2)


class FakeJob(Struct):
    """What a program is told."""

    layout: Any
    progress: Any = None


class Bench:
    """Programs that write down what they are asked for. What they find has diverged, or has not."""

    def __init__(self, relation: Relation, *methods: Method) -> None:
        self.methods = methods
        self.relation = relation
        self.refuses = self.clone_fails = False
        self.did: list[str] = []
        clock = FakeClock()
        self.worker = Worker(clock, lambda: None, self._fatal, lambda work: work())
        instance: Any = SimpleNamespace(
            layout=SimpleNamespace(run_dir=Path("/run")),
            binaries=lambda _major: None,
            inspect=lambda: SimpleNamespace(major=15),
            forget_slots=lambda: None,
            discard_slots=lambda _names: None,
        )
        self.me = b.identity()
        self.slots: list[str | None] = []
        self.board: Any = SimpleNamespace(
            postgres=SimpleNamespace(copy_methods=self.methods),
            config=SimpleNamespace(scope="demo"),
            identity=lambda: self.me,
        )
        self.jobs = Jobs(
            board=self.board,
            instance=instance,
            worker=self.worker,
            clock=clock,
            tools=Tools(
                job=lambda **_: FakeJob(layout=SimpleNamespace(data_dir=Path("/data"))),
                clone=lambda _job, source, _system, diverged: self._clone(source, diverged),
                compare=lambda *_: self._compare(),
                rewind=lambda *_: self._rewind(),
                copy_by=lambda _job, method, _wanted: self._copy(method),
                restore_by=lambda _job, _scope, method: self.did.append(
                    f"restored by {method.name}"
                ),
                initialise=lambda _job, _options, in_one_go: self.did.append(
                    f"initdb in one go: {in_one_go}"
                ),
                mark_standby=lambda _: self.did.append("mark"),
            ),
        )

    def rejoin(self, *, spares: bool) -> JobResult:
        action = Rejoin(b.member(N2), forced=False, spares=spares)
        assert self.jobs.start(action, b.followed())
        assert self.worker.result is not None
        return self.worker.result

    def clone(self, cluster: Cluster, source: Member | None = MEMBER) -> None:
        assert self.jobs.start(Clone(source), cluster)

    def _copy(self, method: Method) -> None:
        self.did.append(method.name)
        if method.name == "cancelled":
            raise Cancelled("the program was cancelled")
        if method.name == "wal_g":
            raise PostgresError("the backup is away")

    def _compare(self) -> Comparison:
        identity = Identity(system_id=SYSTEM, timeline=Timeline(1), position=Lsn(9000))
        return Comparison(
            relation=self.relation,
            timeline=Timeline(2),
            last_record=Lsn(4000),
            end=Lsn(5000),
            upstream=UpstreamLine(identity=identity, history=()),
        )

    def _clone(self, source: Upstream, diverged: bool) -> None:
        self.did.append("clone" if diverged else "clone of what has not diverged")
        self.slots.append(source.slot)
        if self.clone_fails:
            raise PostgresError("the source went away")

    def _rewind(self) -> Rewound:
        self.did.append("rewind")
        if self.refuses:
            raise PostgresError("neither checksums nor wal_log_hints")
        return Rewound(kept=Path("/data.diverged-wal-1"), fetched=3)

    def _fatal(self, why: str) -> None:
        raise AssertionError(why)


def test_what_is_replaced_on_request_has_not_diverged() -> None:
    bench = Bench(Relation.FOLLOWS)
    bench.clone(b.followed())

    assert (bench.did, bench.slots) == (["clone of what has not diverged"], ["n1"])


def test_who_needs_no_slot_is_copied_without_one() -> None:
    """pg_basebackup makes one for as long as it runs."""
    bench = Bench(Relation.FOLLOWS)
    without = DynamicConfig(postgresql=DynamicPostgres(use_slots=False))
    bench.clone(b.with_config(b.followed(), without))
    bench.me = b.identity(tags=Tags(nostream=True))
    bench.clone(b.followed())

    assert bench.slots == [None, None]


def test_what_this_cluster_did_not_write_is_not_undone() -> None:
    bench = Bench(Relation.DIVERGED)
    error = bench.rejoin(spares=True).error or ""

    assert bench.did == []
    assert "/data is from before this cluster and holds WAL that n2 does not" in error
    assert "raftha reinit n1 keeps it aside" in error


@pytest.mark.parametrize("spares", [True, False])
def test_what_has_not_diverged_follows_as_it_is(spares: bool) -> None:
    bench = Bench(Relation.FOLLOWS)

    assert bench.rejoin(spares=spares).error is None
    assert bench.did == ["mark"]


def test_what_this_cluster_wrote_itself_is_rewound_and_told_where_it_is_kept() -> None:
    bench = Bench(Relation.DIVERGED)
    done = bench.rejoin(spares=False)

    assert done.error is None
    assert bench.did == ["rewind"]
    assert done.diverged is not None
    assert done.diverged.kept == "/data.diverged-wal-1"
    assert done.diverged.fetched == 3


def test_where_a_rewind_is_impossible_a_copy_is_made() -> None:
    bench = Bench(Relation.DIVERGED)
    bench.refuses = True

    assert bench.rejoin(spares=False).error is None
    assert bench.did == ["rewind", "clone"]


def test_what_was_to_be_undone_is_told_though_the_copy_that_undoes_it_fails() -> None:
    """The next job makes a copy, and no longer knows what had been there."""
    bench = Bench(Relation.DIVERGED)
    bench.refuses = bench.clone_fails = True

    done = bench.rejoin(spares=False)

    assert done.error == "the source went away"
    assert done.diverged is not None
    assert (done.diverged.timeline, done.diverged.end) == (2, Lsn(5000))


def methods_tried(source: Member | None, *names: str) -> list[str]:
    """Those whose programs are run, when all but the last fail."""
    made = [Method(name=n, command=() if n == "basebackup" else ("/x",)) for n in names]
    bench = Bench(Relation.FOLLOWS, *(replace(m, no_leader=m.name == "alone") for m in made))
    bench.clone(b.followed(), source)
    return bench.did


def test_methods_are_tried_in_order_until_one_makes_a_copy() -> None:
    usual = "clone of what has not diverged"
    assert methods_tried(b.member(N2), "basebackup", "wal_g") == [usual]
    assert methods_tried(b.member(N2), "wal_g", "basebackup", "alone") == ["wal_g", usual]
    assert methods_tried(b.member(N2), "wal_g") == ["wal_g"]
    assert methods_tried(None, "wal_g", "basebackup", "alone") == ["alone"]


def test_the_last_method_that_fails_is_told_and_a_job_that_was_cancelled_tries_no_other() -> None:
    bench = Bench(Relation.FOLLOWS, Method(name="wal_g", command=("/x",)))
    bench.clone(b.followed())
    assert bench.worker.result is not None
    assert bench.worker.result.error == "the backup is away"

    bench = Bench(Relation.FOLLOWS, Method(name="cancelled", command=("/x",)), Method(name="b"))
    bench.clone(b.followed())
    assert bench.did == ["cancelled"]


@pytest.mark.parametrize("method", [None, Method(name="backup", command=("/x",))])
def test_whatever_runs_to_its_end_alone_is_marked_so(method: Method | None) -> None:
    """A program that was half run by an earlier agent is no beginning."""
    bench = Bench(Relation.FOLLOWS)
    for words in ((), ("/x",)):
        given = BootstrapConfig(method=method, post_bootstrap=words)
        bench.board.config = SimpleNamespace(scope="demo", bootstrap=given)
        assert bench.jobs.start(InitDb(), b.followed())
    usual = ["initdb in one go: False", "initdb in one go: True"]
    assert bench.did == (usual if method is None else ["restored by backup"] * 2)
