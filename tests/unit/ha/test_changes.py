"""What is kept of two views that follow one another."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from raftha.ha.changes import changes
from raftha.instants import Seconds
from raftha.model.cluster import SyncSet
from raftha.model.ids import Epoch, Lsn, Revision, Timeline
from raftha.model.settings import DynamicPostgres
from raftha.model.view import Diverged, JobKind, JobResult, JobView, View
from tests.unit.ha import builders as b
from tests.unit.ha.servers import N1, N2, N3, T0, at


def told(before: View, after: View) -> list[str]:
    return sorted(change.words for change in changes(before, after))


def with_cluster(**more: object) -> View:
    return b.view(cluster=replace(b.cluster(), **more))


def test_nothing_is_told_of_a_view_that_shows_the_same() -> None:
    later = replace(b.view(), now=at(5), wall=1e9)

    assert told(b.view(), later) == []


def test_a_renewal_is_no_news_and_another_leader_is() -> None:
    was = b.cluster()
    assert was.leader is not None
    renewed = replace(was.leader, revision=Revision(99))
    other = replace(was.leader, name=N2, epoch=Epoch(1, 99))

    assert told(b.view(), with_cluster(leader=renewed)) == []
    assert told(b.view(), with_cluster(leader=None)) == ["n1 is not the leader any more"]
    assert told(b.view(), with_cluster(leader=other)) == [
        "n1 is not the leader any more",
        "n2 has the leader key",
    ]


def test_settings_are_told_by_name_and_never_by_value() -> None:
    known = with_cluster(config_revision=Revision(3))
    secret = DynamicPostgres(parameters={"archive_command": "curl https://user:geheim@x"})
    config = replace(b.cluster().config, ttl=Seconds(9.0), postgresql=secret)
    after = with_cluster(config=config, config_revision=Revision(4))

    assert told(known, after) == ["settings changed: postgresql.parameters, ttl"]


def test_the_pause_begins_and_ends() -> None:
    known = with_cluster(config_revision=Revision(3))
    paused = with_cluster(
        config=replace(b.cluster().config, pause=True), config_revision=Revision(4)
    )

    assert told(known, paused) == ["a maintenance pause begins"]
    assert told(paused, replace(known, cluster=replace(known.cluster))) == [
        "the maintenance pause ends"
    ]


def test_the_group_loses_its_majority_and_has_another_leader() -> None:
    cut_off = replace(b.view(), raft=b.raft(majority=False))
    raft = b.raft()
    other = replace(b.view(), raft=replace(raft, leader=raft.voters[1].address, term=9))

    assert told(b.view(), cut_off)[-1].startswith("no majority is in touch; silent: n2, n3")
    assert "a majority is in touch" in told(cut_off, b.view())
    assert told(b.view(), other) == ["n2 leads the Raft group"]


def test_jobs_and_the_synchronous_set_are_told() -> None:
    copying = replace(b.view(), job=JobView(kind=JobKind.CLONE, started=T0, source="n2"))
    result = JobResult(kind=JobKind.CLONE, ended=at(7.5), error="disk full")
    ended = replace(b.view(), finished=result)
    sync = SyncSet(leader=N1, standbys=(N2, N3), revision=Revision(9), quorum=1)

    assert told(b.view(), copying) == ["pg_basebackup from n2 began"]
    assert told(copying, ended) == ["pg_basebackup failed: disk full"]
    assert [c.facts for c in changes(copying, ended)] == [{"seconds": "7.5"}]
    assert told(b.view(), with_cluster(sync=sync)) == [
        "synchronous standbys of n1: n2, n3; 2 of them are to be heard"
    ]


def test_where_a_rewind_kept_what_it_undid_is_told() -> None:
    undone = Diverged(timeline=Timeline(1), end=Lsn(7000), kept="/data.diverged-wal-1", fetched=3)
    result = JobResult(kind=JobKind.REJOIN, ended=at(7.5), diverged=undone)
    (change,) = changes(b.view(), replace(b.view(), finished=result))

    assert change.facts == {"undone_wal_kept_in": "/data.diverged-wal-1", "segments_fetched": "3"}


@pytest.mark.parametrize("gone", [N2, N3])
def test_a_member_that_is_no_more_is_told(gone: object) -> None:
    left = {name: m for name, m in b.cluster().members.items() if name != gone}

    assert told(b.view(), with_cluster(members=left)) == [f"{gone} is no member any more"]
    assert told(with_cluster(members=left), b.view()) == [f"{gone} announced itself"]
