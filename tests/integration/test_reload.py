"""SIGHUP on real processes: what changed takes effect without a restart, a broken file does not."""

from __future__ import annotations

import http.client
from collections.abc import Callable

import pytest

from tests.integration import processes
from tests.integration.harness import ClusterHarness
from tests.integration.node_support import (
    Options,
    hang_up,
    rewrite,
    said_by,
    wait_until_said,
)
from tests.integration.scene import wait_for_sync

pytestmark = pytest.mark.integration

NewCluster = Callable[..., ClusterHarness]
WITHIN_S = 15.0


def reload(cluster: ClusterHarness, name: str, change: Callable[[Options], object]) -> None:
    rewrite(cluster, name, change)
    hang_up(cluster, name)


def parameters(**values: object) -> Callable[[Options], None]:
    return lambda options: options["postgresql"]["parameters"].update(values)


def setting(cluster: ClusterHarness, name: str, parameter: str) -> tuple[str, bool]:
    """Its value on the server, and whether a restart is pending for it."""
    sql = f"SELECT setting, pending_restart FROM pg_settings WHERE name = '{parameter}'"
    ((value, pending),) = cluster.query(name, sql)
    return value, pending


def postmaster_of(cluster: ClusterHarness, name: str) -> int:
    found = processes.postmaster(cluster.nodes[name].pgdata)
    assert found is not None
    return int(found.pid)


def test_parameters_of_a_file_reach_the_server_without_a_restart(new_cluster: NewCluster) -> None:
    cluster = new_cluster(nodes=1, synchronous_mode="off")
    cluster.start("n1")
    cluster.wait_for_primary()
    postmaster = postmaster_of(cluster, "n1")
    assert setting(cluster, "n1", "work_mem") == ("4096", False)

    reload(cluster, "n1", parameters(work_mem="7MB"))
    cluster.wait_for(
        lambda: setting(cluster, "n1", "work_mem") == ("7168", False), WITHIN_S, "work_mem"
    )
    line = wait_until_said(cluster, "n1", "changed", "postgresql.parameters")
    assert "restart" not in line

    reload(cluster, "n1", parameters(max_connections=60))
    cluster.wait_for(
        lambda: setting(cluster, "n1", "max_connections") == ("50", True), WITHIN_S, "pending"
    )
    cluster.wait_for(
        lambda: (
            cluster.get("n1", "/patroni")[1].get("pending_restart_reason")
            == {"max_connections": {"old_value": "50", "new_value": "60"}}
        ),
        WITHIN_S,
        "the pending restart is told",
    )

    reload(cluster, "n1", lambda o: o["postgresql"].update(pg_hba=["local all all scram-sha-256"]))
    cluster.wait_for(
        lambda: "127.0.0.1" not in hba_of(cluster, "n1"), WITHIN_S, "the new rules are in the file"
    )
    assert postmaster_of(cluster, "n1") == postmaster
    assert cluster.primary() == "n1"


def hba_of(cluster: ClusterHarness, name: str) -> str:
    """The rules that the server's own file holds, without comments."""
    text = (cluster.nodes[name].pgdata / "pg_hba.conf").read_text(encoding="utf-8")
    return "\n".join(line for line in text.splitlines() if not line.startswith("#"))


def test_a_broken_file_is_refused_and_the_old_one_stays(new_cluster: NewCluster) -> None:
    cluster = new_cluster(nodes=1, synchronous_mode="off")
    cluster.start("n1")
    cluster.wait_for_primary()
    postmaster = postmaster_of(cluster, "n1")
    good = cluster.nodes["n1"].file.read_text(encoding="utf-8")

    def spoil(options: Options) -> None:
        parameters(work_mem="7MB")(options)
        options["postgresql"]["listne"] = "127.0.0.1:1"
        options["raft"]["self_addr"] = 5

    reload(cluster, "n1", spoil)
    wait_until_said(cluster, "n1", "ERROR", "configuration refused, the old one stays")
    said = said_by(cluster, "n1")
    assert "postgresql.listne" in said
    assert "raft.self_addr" in said
    cluster.nodes["n1"].file.write_text("scope: [", encoding="utf-8")
    hang_up(cluster, "n1")
    wait_until_said(cluster, "n1", "configuration refused", "is not valid YAML")
    cluster.nodes["n1"].file.unlink()
    hang_up(cluster, "n1")
    wait_until_said(cluster, "n1", "configuration refused", "No such file")

    assert setting(cluster, "n1", "work_mem") == ("4096", False)
    assert postmaster_of(cluster, "n1") == postmaster
    assert cluster.primary() == "n1"
    cluster.nodes["n1"].file.write_text(good, encoding="utf-8")
    reload(cluster, "n1", parameters(work_mem="8MB"))
    cluster.wait_for(
        lambda: setting(cluster, "n1", "work_mem") == ("8192", False), WITHIN_S, "work_mem"
    )
    assert cluster.stop("n1") == 0


def test_a_parameter_that_postgresql_refuses_is_told_and_stops_nothing(
    new_cluster: NewCluster,
) -> None:
    cluster = new_cluster(nodes=1, synchronous_mode="off")
    cluster.start("n1")
    cluster.wait_for_primary()
    postmaster = postmaster_of(cluster, "n1")

    reload(cluster, "n1", parameters(work_mem="lots"))

    wait_until_said(cluster, "n1", "work_mem", "lots", within_s=WITHIN_S)
    assert setting(cluster, "n1", "work_mem") == ("4096", False)
    assert postmaster_of(cluster, "n1") == postmaster
    assert cluster.primary() == "n1"
    reload(cluster, "n1", parameters(work_mem="8MB"))
    cluster.wait_for(
        lambda: setting(cluster, "n1", "work_mem") == ("8192", False), WITHIN_S, "work_mem"
    )


def test_a_changed_tag_decides_the_next_failover(new_cluster: NewCluster) -> None:
    cluster = new_cluster(nodes=2, witnesses=1)
    cluster.start_all()
    primary = cluster.wait_until_whole()
    standby = "n1" if primary == "n2" else "n2"

    def tags(value: bool) -> Callable[[Options], None]:
        return lambda options: options.setdefault("tags", {}).update(nofailover=value)

    reload(cluster, standby, tags(True))
    cluster.wait_for(
        lambda: tags_of(cluster, primary, standby) == {"nofailover": True}, WITHIN_S, "the tag"
    )
    wait_for_sync(cluster)
    cluster.kill(primary)
    wait_until_said(cluster, standby, "nofailover", within_s=WITHIN_S)
    assert cluster.primary() is None

    reload(cluster, standby, tags(False))
    assert cluster.wait_for_primary(WITHIN_S) == standby
    cluster.start(primary)
    assert cluster.wait_until_whole() == standby
    assert tags_of(cluster, primary, standby) == {}


def tags_of(cluster: ClusterHarness, asked: str, name: str) -> dict[str, object]:
    """The tags of a member as another node tells them."""
    members = cluster.get(asked, "/cluster")[1]["members"]
    found = next(member for member in members if member["name"] == name)
    return dict(found.get("tags", {}))


def test_the_level_of_the_log_changes_and_what_needs_a_restart_is_named(
    new_cluster: NewCluster,
) -> None:
    cluster = new_cluster(nodes=1, synchronous_mode="off")
    cluster.start("n1")
    cluster.wait_for_primary()

    def protect(options: Options) -> None:
        options["restapi"]["authentication"] = {"username": "operator", "password": "s3cret"}

    reload(cluster, "n1", lambda o: o["restapi"].update(request_queue_size=32))
    words = ("changed, effective after a restart", "restapi.request_queue_size")
    wait_until_said(cluster, "n1", *words)
    assert post_code(cluster) == 400
    reload(cluster, "n1", protect)
    cluster.wait_for(lambda: post_code(cluster) == 401, WITHIN_S, "the password is asked for")

    reload(cluster, "n1", lambda o: o["log"].update(level="WARNING"))
    wait_until_said(cluster, "n1", "changed", "log.level")
    before = said_by(cluster, "n1")
    reload(cluster, "n1", parameters(work_mem="8MB"))
    cluster.wait_for(
        lambda: setting(cluster, "n1", "work_mem") == ("8192", False), WITHIN_S, "work_mem"
    )
    more = said_by(cluster, "n1")[len(before) :]
    assert " INFO " not in more
    assert " DEBUG " not in more

    assert cluster.stop("n1") == 0
    cluster.start("n1")
    cluster.wait_for_primary()
    assert post_code(cluster) == 401


def post_code(cluster: ClusterHarness) -> int:
    """What the interface says to a request that is refused in any case, without credentials."""
    port = cluster.nodes["n1"].rest_port
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("POST", "/failover", "{}")
        return connection.getresponse().status
    finally:
        connection.close()
