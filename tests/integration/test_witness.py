"""Two members and a witness: any one of the three may go, and the cluster stays writable."""

from __future__ import annotations

import json
from collections.abc import Callable

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


def roles_as_told_by(cluster: ClusterHarness, asked: str) -> dict[str, str]:
    code, body = cluster.get(asked, "/cluster")
    assert code == 200
    return {member["name"]: member["role"] for member in body["members"]}


def test_a_witness_is_listed_and_answers(new_cluster: NewCluster) -> None:
    cluster, primary, standby = started(new_cluster)

    codes = {path: cluster.get("w1", path)[0] for path in ("/health", "/liveness", "/patroni")}
    assert codes == {"/health": 200, "/liveness": 200, "/patroni": 200}
    for path in ("/", "/primary", "/leader", "/replica", "/read-only", "/sync", "/readiness"):
        code, body = cluster.get("w1", path)
        assert (code, "witness" in body["verdict"]) == (503, True), path
    assert cluster.get("w1", "/patroni")[1]["role"] == "witness"
    assert not cluster.processes("w1", Part.POSTGRES)

    expected = {primary: "leader", standby: "sync_standby", "w1": "witness"}

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
        line = next(line for line in screen.splitlines() if line.startswith("w1 "))
        assert "witness" in line, screen


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
