"""Reports survive the way to JSON and back; what is not a report is refused."""

from __future__ import annotations

from typing import Any, get_type_hints

import pytest
from msgspec.structs import fields, replace

from raftha.api import codec, listing
from raftha.api.codec import BadDocument
from raftha.model.cluster import HistoryRecord
from raftha.model.ids import Epoch, Lsn, MemberName, Revision, Timeline
from raftha.model.operation import OperationState
from raftha.model.report import MemberReport, OperationReport, PeerReport
from tests.unit.api.fake_cluster import cluster_report, without_majority
from tests.unit.api.fake_responder import finished, peer_report


def sent(document: dict[str, Any]) -> dict[str, Any]:
    return codec.parse(codec.encode(document))


def test_reports_come_back_as_they_were() -> None:
    peer, operation = peer_report(), finished(OperationState.DONE)

    assert codec.peer_report(sent(codec.document(peer))) == peer
    assert codec.operation_report(sent(codec.document(operation))) == operation
    for cluster in (cluster_report(), without_majority()):
        assert codec.cluster_report(sent(codec.document(cluster))) == cluster


def test_positions_travel_in_the_form_of_postgresql() -> None:
    assert codec.document(peer_report())["position"] == "1/3000060"


@pytest.mark.parametrize("shape", [PeerReport, MemberReport, HistoryRecord, OperationReport])
def test_every_position_of_a_report_is_known_to_the_codec(shape: type) -> None:
    hints = get_type_hints(shape)
    positions = {item.name for item in fields(shape) if hints[item.name] in (Lsn, Lsn | None)}

    assert positions <= set(codec._POSITIONS)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b"null"])
def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(BadDocument):
        codec.parse(body)


@pytest.mark.parametrize(
    ("name", "value"),
    [("position", "nonsense"), ("timeline", "2"), ("primary_alive", 1), ("state", "fine")],
)
def test_a_wrong_type_is_refused(name: str, value: object) -> None:
    with pytest.raises(BadDocument):
        codec.peer_report({**codec.document(peer_report()), name: value})


def test_keys_of_a_newer_version_are_left_out() -> None:
    assert codec.peer_report({**codec.document(peer_report()), "later": 1}) == peer_report()


def test_a_position_of_an_older_version_is_pledged_by_nobody() -> None:
    document = codec.document(peer_report())
    assert document.pop("pledged") == {"generation": 1, "revision": 60}

    assert codec.peer_report(sent(document)).pledged is None


def test_the_cluster_page_uses_patronis_words() -> None:
    members = listing.cluster_document(cluster_report())["members"]

    assert [member["role"] for member in members] == ["leader", "sync_standby", "replica"]
    assert (members[0]["host"], members[0]["port"], "lag" in members[0]) == (
        "10.0.0.1",
        5432,
        False,
    )
    assert (members[2]["lag"], members[2]["receive_lag"]) == (2500000, 2500000)
    assert members[1]["receive_lsn"] == "0/3000060"


def test_the_cluster_page_names_a_pool_beside_a_server() -> None:
    report, pool = cluster_report(), "postgres://10.0.0.1:6432/postgres"
    first, *others = report.members
    pooled = replace(report, members=(replace(first, proxy_url=pool), *others))
    assert "proxy_url" not in listing.cluster_document(report)["members"][0]
    assert [m.get("proxy_url") for m in listing.cluster_document(pooled)["members"]] == [
        pool,
        None,
        None,
    ]


def test_each_row_of_the_history_has_what_led_to_it() -> None:
    """Why a leader gave the key back is said by the row of the one that came then."""
    (first,) = cluster_report().history
    first = replace(first, restarts=("it was restarted",), ended="stopped")
    second = replace(
        first,
        parent=first.timeline,
        timeline=Timeline(3),
        leader=MemberName("n2"),
        reason="n1 gave the leader key back: stopped",
        restarts=(),
        ended="n2 was stopped",
    )
    rows = listing.history_rows(replace(cluster_report(), history=(first, second)))

    assert [row[2] for row in rows] == [
        "the lease of n2 ended; it was restarted",
        "n1 gave the leader key back: stopped; n2 gave the leader key back: n2 was stopped",
    ]


def test_the_history_page_has_patronis_rows() -> None:
    assert listing.history_rows(cluster_report()) == [
        [1, 0x2000000, "the lease of n2 ended", "2027-01-15T08:00:00+00:00", "n1", None, None, None]
    ]


def test_after_patronis_columns_come_who_led_before_the_gap_and_the_loss() -> None:
    (first,) = cluster_report().history
    second = replace(
        first,
        parent=first.timeline,
        timeline=Timeline(3),
        leader=MemberName("n2"),
        gap_seconds=4.8,
        lost_bytes=0,
    )
    recovered = replace(second, epoch=Epoch(2, Revision(0)), leader=MemberName("n9"))
    third = replace(second, parent=second.timeline, timeline=Timeline(5), leader=MemberName("n1"))
    history = (first, second, recovered, third)
    rows = listing.history_rows(replace(cluster_report(), history=history))

    assert [row[4:] for row in rows] == [
        ["n1", None, None, None],
        ["n2", "n1", 4.8, 0],
        ["n9", None, 4.8, 0],
        ["n1", "n2", 4.8, 0],
    ]
