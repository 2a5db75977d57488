"""What `/metrics` says of a primary, a standby and a witness, and what it must not say of a node
whose lease or view has grown old."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest
from msgspec.structs import replace

from raftha.agent.readings import STATE_NUMBERS, readings
from raftha.guardian.events import Fenced
from raftha.instants import Seconds
from raftha.metrics import FENCE_REASONS, OUTCOMES, Metrics
from raftha.model.cluster import MemberState
from raftha.model.ids import Revision
from raftha.model.postgres import PendingRestart, ReplayPause, SlotState
from raftha.model.report import Level, NodeReport, Notice
from raftha.model.settings import Tags
from raftha.model.store import MAX_STATE_BYTES
from tests.unit.api.fake_cluster import WALL
from tests.unit.api.fake_responder import (
    NOW,
    primary_node,
    primary_server,
    standby_node,
    standby_server,
    witness_node,
)

MONITORING: Final = Path(__file__).parents[3] / "docs" / "monitoring.md"


def told(report: NodeReport, later: float = 0.0) -> dict[str, float]:
    """Value by name; of what there is one for each voter, by name and voter."""
    found = {}
    for reading in readings(report, NOW.plus(later), WALL, first_term=1):
        voter = reading.labels.get("voter", "")
        found[reading.name + (f" {voter}" if voter else "")] = reading.value
    return found


def test_what_a_failover_would_lose_is_told_where_it_is_known() -> None:
    assert told(replace(primary_node(), rpo_bytes=77))["raftha_rpo_bytes"] == 77
    assert "raftha_rpo_bytes" not in told(standby_node())


def test_a_primary_in_its_lease() -> None:
    values = told(primary_node())
    assert values["raftha_view_age_seconds"] == pytest.approx(0.2)
    assert values["raftha_lease_remaining_seconds"] == pytest.approx(3.0)
    assert values["raftha_postgres_silence_seconds"] == pytest.approx(0.3)
    expected = {
        "raftha_holds_leader_key": 1,
        "raftha_routed": 1,
        "raftha_postgres_up": 1,
        "raftha_postgres_primary": 1,
        "raftha_sync_standby": 0,
        "raftha_leader_known": 1,
        "raftha_ttl_seconds": 5,
        "raftha_raft_term": 4,
        "raftha_raft_elections_total": 3,
        "raftha_raft_is_leader": 1,
        "raftha_raft_has_majority": 1,
        "raftha_raft_voters": 3,
        "raftha_raft_quorum": 2,
        "raftha_raft_voters_in_touch": 3,
        "patroni_version": 100,
        "patroni_postgres_running": 1,
        "patroni_postmaster_start_time": 1793527200,
        "patroni_primary": 1,
        "patroni_replica": 0,
        "patroni_xlog_location": 0x3000060,
        "patroni_xlog_replayed_location": 0,
        "patroni_xlog_replayed_timestamp": 0,
        "patroni_postgres_streaming": 0,
        "patroni_postgres_server_version": 150018,
        "patroni_cluster_unlocked": 0,
        "patroni_postgres_timeline": 2,
        "patroni_dcs_last_seen": WALL - 1,
        "patroni_pending_restart": 0,
        "patroni_postgres_state": 5,
    }
    assert {name: values[name] for name in expected} == expected
    assert "raftha_postgres_lag_bytes" not in values


def test_a_standby_that_restores_from_an_archive() -> None:
    streaming = standby_node()
    assert streaming.server is not None
    restoring = replace(streaming.server, receiver=None, restores=True)
    for server, expected in ((streaming.server, 0), (restoring, 1)):
        values = told(replace(streaming, server=server))
        assert values["patroni_postgres_in_archive_recovery"] == expected


def test_patronis_names_can_be_left_out() -> None:
    page = {each.name for each in readings(primary_node(), NOW, WALL, first_term=1, patroni=False)}
    assert "raftha_routed" in page
    assert not [name for name in page if name.startswith("patroni_")]


PATRONIS = """\
version gauge
postgres_running gauge
postmaster_start_time gauge
primary gauge
xlog_location counter
standby_leader gauge
replica gauge
sync_standby gauge
quorum_standby gauge
xlog_received_location counter
xlog_replayed_location counter
xlog_replayed_timestamp gauge
xlog_paused gauge
postgres_streaming gauge
postgres_in_archive_recovery gauge
postgres_server_version gauge
cluster_unlocked gauge
failsafe_mode_is_active gauge
failsafe_mode_enabled gauge
postgres_timeline counter
dcs_last_seen gauge
pending_restart gauge
is_paused gauge
failover_priority gauge
postgres_state gauge
"""
"""What Patroni 4.1's page has, and its next one's."""


@pytest.mark.parametrize("node", [primary_node(), standby_node()], ids=["primary", "standby"])
def test_patronis_names_have_its_types_and_labels(node: NodeReport) -> None:
    metrics = Metrics(scope="demo", name="n1", witness=False)
    page = metrics.expose(readings(node, NOW, WALL, first_term=1)).decode()
    types = re.findall(r"^# TYPE patroni_(\w+ \w+)$", page, re.MULTILINE)
    assert sorted(types) == sorted(PATRONIS.split("\n")[:-1])
    samples = re.findall(r"^patroni_\w+(.*) \S+$", page, re.MULTILINE)
    assert set(samples) == {'{name="n1",scope="demo"}'}
    assert len(samples) == len(types)


def test_who_is_never_promoted_has_no_priority() -> None:
    for tags, priority in ((Tags(failover_priority=3), 3), (Tags(nofailover=True), 0)):
        assert told(replace(standby_node(), tags=tags))["patroni_failover_priority"] == priority


def test_a_standby_behind() -> None:
    values = told(standby_node(behind_bytes=4096))
    expected = {
        "raftha_holds_leader_key": 0,
        "raftha_lease_remaining_seconds": 0,
        "raftha_routed": 0,
        "raftha_postgres_primary": 0,
        "raftha_sync_standby": 1,
        "raftha_postgres_lag_bytes": 0,
        "patroni_primary": 0,
        "patroni_replica": 1,
        "patroni_sync_standby": 1,
        "patroni_xlog_location": 0,
        "patroni_xlog_received_location": 0x3000060,
        "patroni_xlog_replayed_location": 0x3000060 - 4096,
        "patroni_xlog_paused": 0,
        "patroni_postgres_streaming": 1,
    }
    assert {name: values[name] for name in expected} == expected


def test_paused_replay_waiting_restarts_and_replay_lag_are_told() -> None:
    server = replace(
        standby_server(),
        replay_pause=ReplayPause.PAUSED,
        replay_lag_seconds=Seconds(7.5),
        replayed_at="2026-01-02 03:04:05.5+00",
    )
    wanted = PendingRestart(name="max_connections", running="100", wanted="200")
    values = told(replace(standby_node(), server=server, pending=(wanted,)))
    assert values["patroni_xlog_paused"] == 1
    assert values["patroni_pending_restart"] == 1
    assert values["raftha_postgres_replay_lag_seconds"] == 7.5
    assert values["patroni_xlog_replayed_timestamp"] == 1767323045.5


def test_a_lease_that_ended_is_not_told_even_if_the_loop_stands_still() -> None:
    values = told(primary_node(), later=3.5)
    assert values["raftha_lease_remaining_seconds"] == 0
    for name in ("raftha_holds_leader_key", "raftha_routed", "patroni_primary"):
        assert values[name] == 0, name


def test_a_view_that_grew_old_says_nothing_good_of_postgresql() -> None:
    values = told(standby_node(), later=60.0)
    assert values["raftha_view_age_seconds"] == pytest.approx(60.2)
    assert (values["raftha_postgres_up"], values["patroni_postgres_running"]) == (0, 0)


def test_a_witness_has_the_group_and_nothing_of_postgresql() -> None:
    values = told(witness_node())
    assert values["raftha_raft_voters_in_touch"] == 3
    assert not [name for name in values if name.startswith("patroni_") or "postgres" in name]


def test_the_raft_leader_tells_how_far_each_voter_is() -> None:
    report = primary_node()
    own, second, third = report.raft.voters
    raft = replace(
        report.raft,
        free_bytes=5,
        state_bytes=7,
        voters=(own, replace(second, match_index=117), replace(third, last_contact=None)),
    )
    values = told(replace(report, raft=raft))
    assert values["raftha_raft_voter_lag_entries n2"] == 3
    assert values["raftha_raft_voter_silence_seconds n2"] == pytest.approx(0.1)
    assert "raftha_raft_voter_silence_seconds n3" not in values
    assert "raftha_raft_voter_lag_entries n3" not in values
    assert values["raftha_raft_free_bytes"] == 5
    assert values["raftha_store_bytes"] == 7
    assert values["raftha_store_limit_bytes"] == MAX_STATE_BYTES


def test_warnings_are_no_problems() -> None:
    notice = Notice(subject="n1", what="x", remedy="y")
    both = (notice, replace(notice, level=Level.WARNING))
    assert told(replace(primary_node(), problems=both))["raftha_problems"] == 1


def test_every_state_has_a_number_of_patroni() -> None:
    assert set(STATE_NUMBERS) == set(MemberState)


def holding_primary() -> NodeReport:
    slots = (SlotState(name="n2", xmin_age=9), SlotState(name="sub", catalog_xmin_age=40))
    server = replace(primary_server(), slot_states=slots)
    return replace(primary_node(), server=server, rpo_bytes=0)


def test_what_slots_hold_back_is_told_for_each() -> None:
    found = {
        (reading.labels["slot"], reading.labels["rows"]): reading.value
        for reading in readings(holding_primary(), NOW, WALL, first_term=1)
        if reading.name == "raftha_slot_held_transactions"
    }
    assert found == {("n2", "all"): 9, ("sub", "catalog"): 40}


def test_the_page_for_people_names_every_metric() -> None:
    server = replace(standby_server(), replay_lag_seconds=Seconds(1.0))
    reports = (holding_primary(), replace(standby_node(), server=server), witness_node())
    voters = tuple(replace(voter, match_index=1) for voter in reports[0].raft.voters)
    raft = replace(reports[0].raft, voters=voters, free_bytes=1)
    names = {
        reading.name
        for report in reports
        for reading in readings(replace(report, raft=raft), NOW, WALL, first_term=1)
    }
    page = MONITORING.read_text(encoding="utf-8")
    counted = (
        "raftha_raft_fsync_seconds",
        "raftha_loop_seconds",
        "raftha_fence_seconds",
        "raftha_lease_renewals_total",
        "raftha_fences_total",
    )
    assert sorted(name for name in (*names, *counted) if f"`{name}`" not in page) == []
    assert all(f"`{word}`" in page for word in (*OUTCOMES, *FENCE_REASONS))


@pytest.mark.parametrize(
    ("reason", "cause"),
    [
        ("deadline", "deadline"),
        ("asked to kill", "asked"),
        ("guardian told to stop", "stop"),
        ("guardian failed: OSError(5)", "failure"),
    ],
)
def test_a_fence_is_counted_by_one_of_few_words(reason: str, cause: str) -> None:
    fenced = Fenced(reason=reason, seconds=Seconds(0.1), killed=0, epoch=None, renewal=Revision(1))
    assert fenced.cause == cause
    assert cause in FENCE_REASONS
