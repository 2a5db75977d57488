"""Which health check says yes, over reports that are fresh, stale, past their lease, and so on."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from raftha.api.reply import Reply
from raftha.api.routes import CHECKS, answer
from raftha.instants import longest, remaining
from raftha.model.cluster import MemberState
from raftha.model.report import NodeReport
from raftha.model.settings import Tags
from tests.unit.api.fake_cluster import WALL
from tests.unit.api.fake_responder import (
    NOW,
    primary_node,
    raft_status,
    standby_node,
    standby_server,
    witness_node,
)

PRIMARY = {"/", "/primary", "/read-write", "/master"}
LEADS = PRIMARY | {"/leader"}
ALIVE = {"/health", "/liveness"}
READS = {"/read-only", "/read-only-sync", "/read-only-quorum"}

LEADER = primary_node()
SYNC = standby_node()
ASYNC = replace(standby_node(), is_sync_standby=False)
IN_QUORUM = replace(ASYNC, is_quorum_standby=True)
OLD = NOW.plus(-2.5)
ANCIENT = NOW.plus(-60)

TABLE: list[tuple[str, NodeReport, set[str]]] = [
    ("primary", LEADER, LEADS | ALIVE | READS | {"/readiness"}),
    ("not routed", replace(LEADER, routed=False), ALIVE | {"/leader", "/readiness"}),
    ("lease ended", replace(LEADER, valid_until=NOW.plus(-0.01)), ALIVE),
    ("lease ends now", replace(LEADER, valid_until=NOW), ALIVE),
    ("lost the key", replace(LEADER, holds_leader_key=False), ALIVE),
    (
        "not promoted yet",
        replace(LEADER, server=standby_server()),
        ALIVE | {"/replica", "/read-only", "/async", "/asynchronous", "/readiness"},
    ),
    ("server gone", replace(LEADER, server=None), {"/liveness"}),
    ("server stopped", replace(LEADER, state=MemberState.STOPPED), {"/liveness"}),
    ("server silent", replace(LEADER, server_answered=NOW.plus(-5.1)), {"/liveness"}),
    ("stale primary", replace(LEADER, taken=OLD), {"/liveness"}),
    ("dead loop", replace(LEADER, taken=ANCIENT), set()),
    (
        "synchronous standby",
        SYNC,
        ALIVE
        | {"/replica", "/read-only", "/read-only-sync", "/sync", "/synchronous", "/readiness"},
    ),
    (
        "quorum standby",
        IN_QUORUM,
        ALIVE | {"/replica", "/read-only", "/read-only-quorum", "/quorum", "/readiness"},
    ),
    (
        "asynchronous standby",
        ASYNC,
        ALIVE | {"/replica", "/read-only", "/async", "/asynchronous", "/readiness"},
    ),
    ("stale standby", replace(SYNC, taken=OLD), {"/liveness"}),
    ("noloadbalance", replace(SYNC, tags=Tags(noloadbalance=True)), ALIVE | {"/readiness"}),
    ("witness", witness_node(), ALIVE | {"/readiness"}),
    ("witness that is cut off", replace(witness_node(), raft=raft_status(majority=False)), ALIVE),
    ("stale witness", replace(witness_node(), taken=OLD), {"/liveness"}),
]


def ask(path: str, report: NodeReport, query: Mapping[str, str] | None = None) -> Reply:
    reply = answer(path, query or {}, report, NOW, WALL)
    assert reply is not None
    return reply


@pytest.mark.parametrize(("report", "yes"), [row[1:] for row in TABLE], ids=[r[0] for r in TABLE])
def test_each_check_says_yes_exactly_where_it_may(report: NodeReport, yes: set[str]) -> None:
    said = {path for path in CHECKS if ask(path, report).status == 200}

    assert said == yes


@pytest.mark.parametrize("report", [LEADER, SYNC, witness_node()])
def test_every_body_has_its_age_and_a_verdict(report: NodeReport) -> None:
    for path in CHECKS:
        body = ask(path, report).body
        assert isinstance(body, dict)
        assert body["age_seconds"] == pytest.approx(0.2)
        assert body["verdict"]


@given(
    taken=st.floats(-10, 0),
    left=st.floats(-5, 5),
    holds=st.booleans(),
    routed=st.booleans(),
    answered=st.floats(-10, 0),
    standby=st.booleans(),
)
def test_primary_is_never_said_without_lease_fresh_view_and_primary_server(
    taken: float, left: float, holds: bool, routed: bool, answered: float, standby: bool
) -> None:
    report = replace(
        LEADER,
        taken=NOW.plus(taken),
        valid_until=NOW.plus(left),
        holds_leader_key=holds,
        routed=routed,
        server_answered=NOW.plus(answered),
        server=standby_server() if standby else LEADER.server,
    )
    assert report.valid_until is not None
    assert report.server_answered is not None
    allowed = (
        holds
        and routed
        and not standby
        and remaining(report.valid_until, NOW) > 0
        and longest(report.taken, NOW) <= 2.0
        and longest(report.server_answered, NOW) <= report.ttl
    )

    assert (ask("/primary", report).status == 200) == allowed


@pytest.mark.parametrize(
    ("lag", "status"),
    [("100", 200), ("99", 503), ("1kB", 200), ("10MB", 200), ("0", 503), ("x", 400), ("-1", 400)],
)
def test_replica_compares_its_lag_with_the_limit_asked_for(lag: str, status: int) -> None:
    assert ask("/replica", standby_node(behind_bytes=100), {"lag": lag}).status == status


def test_a_lag_that_is_not_known_is_too_much() -> None:
    server = replace(standby_server(), received=None, replayed=None)
    report = replace(SYNC, server=server)

    assert ask("/replica", report, {"lag": "1TB"}).status == 503


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"tag_zone": "a"}, 200),
        ({"tag_zone": "b"}, 503),
        ({"tag_ssd": "true"}, 200),
        ({"tag_other": "a"}, 503),
        ({"replication_state": "streaming"}, 200),
        ({"replication_state": "in archive recovery"}, 503),
    ],
)
def test_replica_compares_tags_and_replication_state(query: dict[str, str], status: int) -> None:
    report = replace(SYNC, tags=Tags(extra={"zone": "a", "ssd": True}))

    assert ask("/replica", report, query).status == status


def test_a_standby_that_restores_from_an_archive_says_so() -> None:
    """It is ready where that is what it is for: an archive is behind by its nature."""
    streaming = standby_node(behind_bytes=2**21)
    assert streaming.server is not None
    server = replace(streaming.server, receiver=None, restores=True)
    untagged = replace(streaming, server=server, state=MemberState.RUNNING)
    tagged = replace(untagged, tags=Tags(nostream=True))

    for report in (untagged, tagged):
        for word, status in (("in archive recovery", 200), ("streaming", 503)):
            assert ask("/replica", report, {"replication_state": word}).status == status
    assert ask("/readiness", untagged, {"lag": "1GB"}).status == 503
    assert ask("/readiness", tagged).status == 200
    assert ask("/readiness", tagged, {"lag": "1MB"}).status == 503
    silent = replace(tagged, server=replace(server, restores=False))
    assert ask("/readiness", silent).status == 503


def test_readiness_uses_the_clusters_limit_and_either_position() -> None:
    behind = standby_node(behind_bytes=2**21)

    assert ask("/readiness", behind).status == 503
    assert ask("/readiness", behind, {"mode": "write"}).status == 200
    assert ask("/readiness", behind, {"lag": "4MB"}).status == 200
    assert ask("/readiness", behind, {"mode": "guess"}).status == 400


def test_the_status_page_has_patronis_keys() -> None:
    primary, standby = ask("/patroni", LEADER).body, ask("/patroni", SYNC).body

    assert isinstance(primary, dict)
    assert isinstance(standby, dict)
    assert (primary["role"], primary["state"], primary["timeline"]) == ("primary", "running", 2)
    assert primary["xlog"] == {"location": 0x3000060}
    assert primary["replication"][0]["application_name"] == "n2"
    assert primary["patroni"] == {"version": "0.1.0", "scope": "main", "name": "n1"}
    assert (standby["role"], standby["sync_standby"]) == ("replica", True)
    assert standby["replication_state"] == "streaming"
    in_quorum = ask("/patroni", IN_QUORUM).body
    assert isinstance(in_quorum, dict)
    assert in_quorum["quorum_standby"] is True
    assert "sync_standby" not in in_quorum
    assert standby["dcs_last_seen"] == int(WALL - 0.4)


def test_a_path_about_something_else_is_left_to_others() -> None:
    assert answer("/cluster", {}, LEADER, NOW, WALL) is None
