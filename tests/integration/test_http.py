"""The HTTP interface of a real cluster: codes by role, what happens to them in trouble, and who
may change something.

Requests from off the loopback interface need another machine; the rules for them are tested on
`raftha.api.auth` alone.
"""

from __future__ import annotations

import base64
import http.client
import itertools
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.integration.asking import decoded
from tests.integration.harness import ClusterHarness
from tests.integration.node_support import Options, raftha, rewrite
from tests.integration.processes import Part

pytestmark = pytest.mark.integration

NewCluster = Callable[..., ClusterHarness]
TTL_S = 2.0
SLACK_S = 3.0
WITHIN_S = 15.0
BY_ROLE: Mapping[str, tuple[int, int, int]] = {
    # path: of the primary, of the synchronous standby, of the other standby
    "/": (200, 503, 503),
    "/primary": (200, 503, 503),
    "/read-write": (200, 503, 503),
    "/master": (200, 503, 503),
    "/leader": (200, 503, 503),
    "/standby-leader": (503, 503, 503),
    "/replica": (503, 200, 200),
    "/replica?lag=1MB": (503, 200, 200),
    "/replica?lag=much": (503, 400, 400),  # read only where it matters
    "/replica?tag_zone=a": (503, 503, 503),
    "/read-only": (200, 200, 200),
    "/sync": (503, 200, 503),
    "/read-only-sync": (200, 200, 503),
    "/async": (503, 503, 200),
    "/health": (200, 200, 200),
    "/liveness": (200, 200, 200),
    "/readiness": (200, 200, 200),
    "/patroni": (200, 200, 200),
    "/cluster": (200, 200, 200),
    "/history": (200, 200, 200),
    "/nonsense": (404, 404, 404),
    "/switchover": (405, 405, 405),
}


def request(
    cluster: ClusterHarness,
    name: str,
    method: str,
    path: str,
    body: object = None,
    user: str | None = None,
) -> tuple[int, Any]:
    """Status and body of any request."""
    connection = http.client.HTTPConnection("127.0.0.1", cluster.nodes[name].rest_port, timeout=35)
    headers = {"Content-Type": "application/json"}
    if user is not None:
        headers["Authorization"] = "Basic " + base64.b64encode(user.encode()).decode()
    try:
        data = None if body is None else json.dumps(body)
        connection.request(method, path, data, headers)
        answer = connection.getresponse()
        return answer.status, decoded(answer.read())
    finally:
        connection.close()


def by_role(cluster: ClusterHarness, primary: str) -> list[str]:
    """The primary, the synchronous standby, the other one."""
    found: list[str] = []

    def settled() -> bool:
        roles = {m["role"]: m["name"] for m in cluster.get(primary, "/cluster")[1]["members"]}
        found[:] = [roles.get(word, "") for word in ("leader", "sync_standby", "replica")]
        return all(found)

    cluster.wait_for(settled, 15, "one synchronous standby and one other")
    return found


def assert_answers(cluster: ClusterHarness, names: list[str]) -> None:
    """Everything is answered as in the table, at last."""
    deadline = time.monotonic() + WITHIN_S
    while (found := differences(cluster, names)) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not found, "\n".join(found)


def differences(cluster: ClusterHarness, names: list[str]) -> list[str]:
    """Where an answer to GET, HEAD or OPTIONS is not as in the table."""
    found = []
    for path, method in itertools.product(BY_ROLE, ("GET", "HEAD", "OPTIONS")):
        for name, expected in zip(names, BY_ROLE[path], strict=True):
            code, body = request(cluster, name, method, path)
            if code != expected or (body and method != "GET"):
                found.append(f"{method} {path} of {name}: {code} {body}, not {expected}")
    return found


def test_every_path_answers_by_role(new_cluster: NewCluster) -> None:
    cluster = new_cluster(ttl=TTL_S, synchronous_mode="on")
    cluster.start_all()
    primary = cluster.wait_until_whole()
    names = by_role(cluster, primary)
    assert_answers(cluster, names)

    node = request(cluster, primary, "GET", "/patroni")[1]
    assert (node["state"], node["role"]) == ("running", "primary")
    assert node["patroni"] == {
        "version": node["patroni"]["version"],
        "scope": "test",
        "name": primary,
    }
    assert node["timeline"] == 1
    assert len(node["replication"]) == 2
    standby = request(cluster, names[1], "GET", "/patroni")[1]
    assert (standby["state"], standby["role"]) == ("running", "replica")
    assert standby["replication_state"] == "streaming"
    wal = {"received_location", "replayed_location", "replayed_timestamp", "paused"}
    assert wal <= standby["xlog"].keys()
    code, refused = request(cluster, names[1], "GET", "/primary")
    assert (code, f"{primary} does" in refused["verdict"]) == (503, True)
    assert request(cluster, primary, "GET", "/history")[1] == []
    check_switchover(cluster, primary, names[1])


def check_switchover(cluster: ClusterHarness, primary: str, heir: str) -> None:
    """POST from this machine, and what the interface tells afterwards."""
    for body in ({}, {"leader": heir}, {"leader": primary, "candidate": primary}, {"what": 1}):
        assert request(cluster, primary, "POST", "/switchover", body)[0] in (400, 412), body
    assert request(cluster, primary, "POST", "/primary", {})[0] == 405
    assert cluster.primary() == primary

    asked = {"leader": primary, "candidate": heir}
    code, body = request(cluster, primary, "POST", "/switchover", asked)

    assert (code, body["state"]) == (200, "done"), body
    assert cluster.wait_until_whole() == heir
    (row,) = request(cluster, heir, "GET", "/history")[1]
    timeline, _, _, _, leader, before, gap_s, lost_bytes = row
    assert (timeline, leader, before) == (1, heir, primary)
    assert 0.1 <= gap_s < 4 * TTL_S, row
    assert lost_bytes == 0, "the old primary came back, and had nothing to undo"
    names = by_role(cluster, heir)
    assert_answers(cluster, names)


def test_a_frozen_primary_is_never_shown_to_clients_again(new_cluster: NewCluster) -> None:
    cluster = new_cluster(ttl=TTL_S, synchronous_mode="on")
    cluster.start_all()
    old = by_role(cluster, cluster.wait_until_whole())[0]

    cluster.pause(old, Part.AGENT)
    frozen = time.monotonic()
    new = cluster.wait_for_primary(TTL_S + 1 + SLACK_S * 2, other_than=old)
    assert cluster.get(old, "/primary", timeout_s=0.5) == (0, None)
    cluster.wait_for(lambda: time.monotonic() > frozen + TTL_S + 1, 10, "the lease is long over")
    cluster.resume(old)

    until = time.monotonic() + 2
    codes = set()
    while time.monotonic() < until:
        codes |= {cluster.get(old, path)[0] for path in ("/primary", "/leader", "/read-write")}
    assert 200 not in codes
    assert 503 in codes, "it answers again"
    assert cluster.wait_until_whole() == new


def test_without_a_majority_nobody_is_shown_as_primary(new_cluster: NewCluster) -> None:
    cluster = new_cluster(ttl=TTL_S, synchronous_mode="on")
    cluster.start_all()
    primary = by_role(cluster, cluster.wait_until_whole())[0]
    others = [name for name in cluster.nodes if name != primary]

    for name in others:
        cluster.kill(name)
    cluster.wait_for(
        lambda: cluster.get(primary, "/primary")[0] == 503, TTL_S + SLACK_S, "/primary says no"
    )
    until = time.monotonic() + TTL_S
    while time.monotonic() < until:
        assert cluster.get(primary, "/primary")[0] != 200
        time.sleep(0.05)
    cluster.wait_for(lambda: cluster.get(primary, "/replica")[0] == 200, 20, "it serves reads")
    body = cluster.get(primary, "/patroni")[1]
    assert body["raft"]["majority"] is False
    assert any("no majority" in problem["what"] for problem in body["problems"])
    code, document = cluster.get(primary, "/cluster")
    assert (code, document["majority"]) == (200, False)
    screen = raftha("status", "-c", cluster.nodes[primary].file)
    assert screen.returncode == 0
    assert "NO MAJORITY" in screen.stdout

    for name in others:
        cluster.start(name)
    cluster.wait_until_whole()


def test_changes_need_the_password_where_there_is_one(new_cluster: NewCluster) -> None:
    cluster = new_cluster(ttl=TTL_S, synchronous_mode="on")

    def protect(options: Options) -> None:
        options["restapi"]["authentication"] = {"username": "operator", "password": "s3cret"}

    for name in cluster.nodes:
        rewrite(cluster, name, protect)
    cluster.start_all()
    primary = cluster.wait_until_whole()
    heir = by_role(cluster, primary)[1]
    asked = {"leader": primary, "candidate": heir}

    for user in (None, "operator:wrong", "operator:", ":s3cret", "somebody:s3cret"):
        for path in ("/switchover", "/failover"):
            assert request(cluster, primary, "POST", path, asked, user)[0] == 401, user
    assert request(cluster, primary, "GET", "/primary")[0] == 200, "questions are free"
    bare = f"http://127.0.0.1:{cluster.nodes[primary].rest_port}"
    done = raftha("switchover", "--url", bare, "--leader", primary, "--yes")
    assert done.returncode == 1, done.stdout
    assert "restapi.authentication" in done.stdout
    assert cluster.primary() == primary

    assert request(cluster, primary, "POST", "/switchover", asked, "operator:s3cret")[0] == 200
    assert cluster.wait_until_whole() == heir
    file = cluster.nodes[heir].file
    done = raftha("switchover", "-c", file, "--leader", heir, "--candidate", primary, "--yes")
    assert done.returncode == 0, done.stdout
    assert cluster.wait_until_whole() == primary


def test_an_open_interface_without_a_password_is_warned_of(new_cluster: NewCluster) -> None:
    cluster = new_cluster(nodes=1)
    node = cluster.nodes["n1"]
    rewrite(cluster, "n1", lambda o: o["restapi"].update(listen=f"0.0.0.0:{node.rest_port}"))

    done = raftha("check-config", node.file)

    assert done.returncode == 0
    line = next(line for line in done.stdout.splitlines() if "restapi.listen" in line)
    assert "requests that change something will be refused" in line
    assert "add restapi.authentication" in line
