"""The table itself, its page, and what is remembered between two ticks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest
from msgspec.structs import replace

from raftha.ha.actions import StopMode
from raftha.ha.decide import RULES, observe_memory
from raftha.ha.keys import LEADER_LEASE, encode_position
from raftha.ha.memory import Memory, StopSent
from raftha.ha.reference import reference
from raftha.instants import Seconds
from raftha.model.ids import Lsn, Revision, Timeline
from raftha.model.postgres import Copied
from raftha.model.store import Lease
from raftha.model.view import JobKind, JobResult, JobView
from tests.unit.ha import builders as b
from tests.unit.ha import servers as pg

PAGE: Final = Path(__file__).parents[3] / "docs" / "rules.md"


def failed(at: float, error: str | None = "disk full") -> JobResult:
    return JobResult(kind=JobKind.CLONE, ended=pg.at(at), error=error)


def test_ids_are_unique_and_well_formed() -> None:
    ids = [rule.id for rule in RULES]

    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z]+-[1-9][0-9]*", rule_id) for rule_id in ids)


def test_numbers_grow_within_a_family() -> None:
    families: dict[str, list[int]] = {}
    for rule in RULES:
        word, number = rule.id.split("-")
        families.setdefault(word, []).append(int(number))

    assert all(numbers == sorted(numbers) for numbers in families.values())


def test_each_rule_says_when_what_and_why() -> None:
    assert all(rule.when and rule.then and rule.why for rule in RULES)


def test_the_page_is_fresh() -> None:
    """`python -m raftha.ha.reference > docs/rules.md` writes it."""
    assert PAGE.read_text(encoding="utf-8") == reference()


def test_the_page_has_every_rule_in_its_order() -> None:
    assert re.findall(r"^### (.*)$", reference(), re.MULTILINE) == [rule.id for rule in RULES]


def test_a_failed_job_is_tried_again_after_a_growing_pause() -> None:
    memory = Memory()
    pauses = []
    for number in range(7):
        view = b.following(finished=failed(-0.1 * (9 - number)))
        memory = observe_memory(view, memory)
        assert memory.retry_at is not None
        ended = view.finished.ended if view.finished else pg.T0
        pauses.append(round(memory.retry_at.boot - ended.boot, 3))

    assert pauses == [1, 2, 4, 8, 16, 30, 30]
    assert memory.failed == "pg_basebackup: disk full"


def test_one_failure_is_counted_once() -> None:
    view = b.following(finished=failed(-0.5))

    assert observe_memory(view, observe_memory(view, Memory())).failures == 1


def test_a_success_ends_the_pause() -> None:
    memory = observe_memory(b.following(finished=failed(-0.5)), Memory())
    memory = observe_memory(b.following(finished=failed(-0.1, error=None)), memory)

    assert (memory.failures, memory.retry_at, memory.failed) == (0, None, "")


@pytest.mark.parametrize("failures", [1023, 1024, 100_000])
def test_a_job_that_fails_for_days_is_still_tried_again(failures: int) -> None:
    memory = observe_memory(b.following(finished=failed(-0.1)), Memory(failures=failures))

    assert memory.retry_at == pg.at(29.9)


@pytest.mark.parametrize("starts", [1024, 1025, 100_000])
def test_a_server_that_fails_to_start_for_days_is_still_tried_again(starts: int) -> None:
    view = b.following(guardian=pg.IDLE_GUARDIAN, server=None)

    decision = b.decided(view, Memory(starts=starts, started_at=pg.at(-3600)))
    assert b.acts(decision) == ["Start"]


def test_a_job_is_waited_for() -> None:
    job = JobView(kind=JobKind.CLONE, started=pg.at(-7))
    view = b.following(directory=pg.EMPTY, guardian=pg.IDLE_GUARDIAN, server=None, job=job)
    decision = b.decided(view)

    assert decision.rule == "job-10"
    assert decision.reason == "pg_basebackup has been running for 7 s"


def test_how_far_a_copy_is_is_told() -> None:
    copied = Copied(done_bytes=3 << 30, total_bytes=12 << 30)
    job = JobView(kind=JobKind.CLONE, started=pg.at(-64), copied=copied)
    view = b.following(directory=pg.EMPTY, guardian=pg.IDLE_GUARDIAN, server=None, job=job)

    told = "pg_basebackup has been running for 64 s: 25 % of 12.0 GiB are copied, 48 MiB a second"
    assert b.decided(view).reason == told


def test_a_checkpoint_holds_nothing_up() -> None:
    job = JobView(kind=JobKind.CHECKPOINT, started=pg.at(-7))

    assert b.decided(b.view(job=job)).rule == "lead-40"


def test_the_moment_of_the_loss_is_kept() -> None:
    first = observe_memory(b.racing(), Memory())
    assert first.lost_since == pg.T0
    later = replace(b.racing(), now=pg.at(3))
    assert observe_memory(later, first).lost_since == pg.T0
    assert observe_memory(b.following(), first).lost_since is None
    assert observe_memory(b.racing(raft=b.raft(majority=False)), first).lost_since is None


def test_the_time_alone_is_kept() -> None:
    alone = b.following(raft=b.raft(majority=False))
    first = observe_memory(alone, Memory())

    assert first.alone_since == pg.T0
    assert observe_memory(replace(alone, now=pg.at(3)), first).alone_since == pg.T0
    assert observe_memory(b.following(), first).alone_since is None


def test_the_last_position_of_the_leader_is_kept_when_a_renewal_says_nothing() -> None:
    note = encode_position(Timeline(1), Lsn(4711))
    lease = Lease(id=LEADER_LEASE, holder="n2", ttl=Seconds(5), revision=Revision(51))
    told = b.followed(leader=b.leader(pg.N2, lease=replace(lease, note=note)))
    silent = b.followed(leader=b.leader(pg.N2, lease=replace(lease, revision=Revision(52))))

    memory = observe_memory(b.following(cluster=told), Memory())
    memory = observe_memory(b.following(cluster=silent), memory)
    assert memory.leader_seen is not None
    assert (memory.leader_seen.timeline, memory.leader_seen.position) == (1, Lsn(4711))
    assert memory.leader_seen.revision == 52


def test_a_stop_is_remembered_until_another_process_runs() -> None:
    sent = StopSent(process="66@1", mode=StopMode.FAST, at=pg.at(-1))
    down = b.following(guardian=pg.IDLE_GUARDIAN, server=None)

    assert observe_memory(down, Memory(stop=sent)).stop == sent
    assert observe_memory(b.following(), Memory(stop=sent)).stop is None
