"""Two members and a witness: any one of the three may go, and the cluster stays writable."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.harness import ClusterHarness
from tests.integration.node_support import raftha
from tests.integration.processes import Part
from tests.integration.workload import WriteProber

pytestmark = pytest.mark.integration

NewCluster = Callable[..., ClusterHarness]
Probe = Callable[[ClusterHarness], WriteProber]
WITHIN_S = 15.0


def started(new_cluster: NewCluster) -> tuple[ClusterHarness, str, str]:
    """A whole cluster, its primary and its standby."""
    cluster = new_cluster(nodes=2, witnesses=1)
    cluster.start_all()
    primary = cluster.wait_until_whole()
    return cluster, primary, "n1" if primary == "n2" else "n2"


def wait_for_rows(cluster: ClusterHarness, prober: WriteProber, rows: int = 20) -> None:
    """So many more rows are acknowledged."""
    goal = prober.ledger.acknowledged() + rows
    cluster.wait_for(lambda: prober.ledger.acknowledged() >= goal, WITHIN_S, f"{rows} more rows")


def assert_nothing_lost(cluster: ClusterHarness, primary: str, prober: WriteProber) -> None:
    prober.stop()
    session = cluster.connect(primary)
    try:
        prober.ledger.check(session, at_least=20)
    finally:
        session.close()


def sync_standbys(cluster: ClusterHarness) -> list[str]:
    status = cluster.status()
    return [] if status is None else list(status["report"]["sync_standbys"])


def roles_as_told_by(cluster: ClusterHarness, asked: str) -> dict[str, str]:
    code, body = cluster.get(asked, "/cluster")
    assert code == 200
    return {member["name"]: member["role"] for member in body["members"]}


def test_a_witness_is_listed_and_answers(new_cluster: NewCluster) -> None:
    cluster, primary, standby = started(new_cluster)

    for path in ("/health", "/liveness", "/readiness", "/patroni"):
        assert cluster.get("w1", path)[0] == 200, path
    for path in ("/", "/primary", "/leader", "/replica", "/read-only", "/sync"):
        code, body = cluster.get("w1", path)
        assert (code, "witness" in body["verdict"]) == (503, True), path
    assert cluster.get("w1", "/patroni")[1]["role"] == "witness"
    assert not cluster.processes("w1", Part.POSTGRES)

    expected = {primary: "leader", standby: "quorum_standby", "w1": "witness"}

    def all_tell() -> bool:
        return all(roles_as_told_by(cluster, asked) == expected for asked in cluster.nodes)

    cluster.wait_for(all_tell, WITHIN_S, f"every node tells {expected}")
    witness = cluster.nodes["w1"]
    for where in (("--url", f"http://127.0.0.1:{witness.rest_port}"), ("-c", witness.file)):
        done = raftha("status", "-o", "json", *where)
        assert done.returncode == 0, done.stdout
        names = [member["name"] for member in json.loads(done.stdout)["members"]]
        assert sorted(names) == ["n1", "n2", "w1"]
        screen = raftha("status", *where).stdout
        # The line of the table: the header names w1 too while it is the raft leader.
        member, voter = [line for line in screen.splitlines() if line.startswith("w1 ")]
        assert "witness" in member, screen
        assert f"127.0.0.1:{witness.raft_port}" in voter, screen


def test_the_table_of_voters_is_alike_through_every_node(new_cluster: NewCluster) -> None:
    cluster, primary, standby = started(new_cluster)
    members = {primary, standby}

    def line_of_the_witness(asked: str) -> dict[str, Any]:
        _, body = cluster.get(asked, "/cluster")
        found: dict[str, Any] = next(m for m in body["report"]["members"] if m["name"] == "w1")
        return found

    def told_by(name: str) -> dict[str, dict[str, Any]]:
        code, body = cluster.get(name, "/cluster")
        assert code == 200
        return {voter["name"]: voter for voter in body["report"]["group"]}

    def all_tell() -> bool:
        for name in cluster.nodes:
            voters = told_by(name)
            known = {voter["name"] for voter in voters.values() if voter["fsync_seconds"]}
            lags = {voter["name"]: voter["behind_entries"] for voter in voters.values()}
            if not (
                set(voters) == {"n1", "n2", "w1"}
                and all(voter["in_touch"] for voter in voters.values())
                and known == {*members, "w1"}
                and all(lag is not None and lag < 50 for lag in lags.values())
                and voters[name]["last_contact_seconds"] == 0
            ):
                return False
        return True

    cluster.wait_for(all_tell, WITHIN_S, "every node tells all voters")
    for name in cluster.nodes:
        line = line_of_the_witness(name)
        assert line["api_url"] == f"http://127.0.0.1:{cluster.nodes['w1'].rest_port}"
        assert line["state"] == "running"
        assert "no PostgreSQL" in line["note"], "its own words"
    cluster.kill("w1")

    def silence_is_told() -> bool:
        status = cluster.status()
        assert status is not None
        told = [n for n in status["report"]["problems"] if n["subject"] == "w1"]
        return any("last heard" in n["what"] and n["remedy"].startswith("start") for n in told)

    cluster.wait_for(silence_is_told, WITHIN_S, "how long w1 is silent, and what to do")
    assert not told_by(primary)["w1"]["in_touch"]
    assert line_of_the_witness(primary)["state"] == "no answer"


def test_each_of_the_three_may_go_in_turn(new_cluster: NewCluster, probe: Probe) -> None:
    """One ledger over all three losses: whatever was acknowledged before, between or after."""
    cluster, primary, standby = started(new_cluster)
    prober = probe(cluster)
    for lost in ("w1", standby, primary):
        wait_for_rows(cluster, prober)
        cluster.kill(lost)
        leader = cluster.wait_for_primary(WITHIN_S, other_than=lost)
        wait_for_rows(cluster, prober)
        assert leader == (standby if lost == primary else primary)
        cluster.start(lost)
        assert cluster.wait_until_whole() == leader
        cluster.wait_for(
            lambda: (cluster.status() or {})["report"]["voters_connected"] == 3, 10, "three voters"
        )
        cluster.wait_for(
            lambda: sync_standbys(cluster) == ["n1" if leader == "n2" else "n2"],  # noqa: B023
            10,
            "somebody may take over",
        )
    assert_nothing_lost(cluster, standby, prober)


def test_a_witness_refuses_to_operate(new_cluster: NewCluster) -> None:
    cluster, primary, standby = started(new_cluster)
    url = f"http://127.0.0.1:{cluster.nodes['w1'].rest_port}"

    done = raftha("switchover", "--url", url, "--leader", primary, "--yes")

    # Through a witness the command may find a member to ask; it must never end in between.
    if done.returncode == 0:
        assert cluster.wait_for_primary() == standby
    else:
        assert done.returncode == 1, done.stdout
        assert "ask a member" in done.stdout
        assert cluster.primary() == primary


def test_the_standby_takes_over_with_the_vote_of_the_witness(
    new_cluster: NewCluster, probe: Probe
) -> None:
    cluster, primary, standby = started(new_cluster)
    prober = probe(cluster)
    wait_for_rows(cluster, prober)

    cluster.kill(primary)
    assert cluster.wait_for_primary(WITHIN_S, other_than=primary) == standby
    wait_for_rows(cluster, prober)
    cluster.start(primary)
    assert cluster.wait_until_whole() == standby

    assert_nothing_lost(cluster, standby, prober)


@pytest.mark.parametrize("which", ["the standby", "the witness"])
def test_the_primary_stays_writable_without(
    new_cluster: NewCluster, probe: Probe, which: str
) -> None:
    cluster, primary, standby = started(new_cluster)
    lost = standby if which == "the standby" else "w1"
    prober = probe(cluster)
    wait_for_rows(cluster, prober)

    cluster.kill(lost)
    wait_for_rows(cluster, prober, 40)
    assert cluster.primary() == primary
    status = cluster.status()
    assert status is not None
    subjects = [problem["subject"] for problem in status["report"]["problems"]]
    assert any(lost in subject for subject in subjects), status["report"]["problems"]

    cluster.start(lost)
    assert cluster.wait_until_whole() == primary
    cluster.wait_for(
        lambda: (cluster.status() or {})["report"]["voters_connected"] == 3, 10, "three voters"
    )
    assert_nothing_lost(cluster, primary, prober)
