"""Nodes that do not fit the others: names, directories, passwords, keys and addresses.

The node that is wrong says so, and where it can the others do; the cluster goes on without it, and
takes it in once it is put right.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from tests.integration.harness import PASSWORD, ClusterHarness
from tests.integration.node_support import (
    Options,
    assert_idle,
    hang_up,
    refusal,
    rewrite,
    said_by,
    wait_until_said,
    wait_until_told,
)

pytestmark = pytest.mark.integration

NewCluster = Callable[..., ClusterHarness]


def with_two_running(new_cluster: NewCluster, **options: Any) -> tuple[ClusterHarness, str]:
    """A cluster of which n3 is not started; and its primary."""
    cluster = new_cluster(**options)
    for name in ("n1", "n2"):
        cluster.start(name)
    return cluster, cluster.wait_for_primary()


def assert_unharmed(cluster: ClusterHarness, primary: str) -> None:
    """The primary is the same, and takes writes."""
    assert cluster.primary() == primary
    cluster.query(primary, "CREATE TABLE IF NOT EXISTS public.t (id int)")
    cluster.query(primary, "INSERT INTO public.t VALUES (1)")


def test_two_agents_with_one_name_are_told_on_both_sides(new_cluster: NewCluster) -> None:
    cluster, primary = with_two_running(new_cluster)
    rewrite(cluster, "n3", lambda o: o.update(name="N1"))

    cluster.start("n3")

    for name in ("n1", "n2", "n3"):
        wait_until_said(cluster, name, "two agents with the same name")
    wait_until_told(cluster, "n3", "two agents with the same name")
    assert_idle(cluster, "n3")
    assert not cluster.nodes["n3"].pgdata.exists()
    assert_unharmed(cluster, primary)
    assert cluster.stop("n3") == 0
    rewrite(cluster, "n3", lambda o: o.update(name="n3"))
    cluster.start("n3")
    assert cluster.wait_until_whole() == primary


@pytest.mark.parametrize("how", ["directly", "through a link"])
def test_two_agents_on_one_data_directory(new_cluster: NewCluster, how: str) -> None:
    first = new_cluster(nodes=1, synchronous_mode="off")
    second = new_cluster(nodes=1, synchronous_mode="off")
    first.start("n1")
    first.wait_for_primary()
    pgdata = first.nodes["n1"].pgdata
    path = second.nodes["n1"].file.with_name("link")
    path.symlink_to(pgdata)

    def share(options: Options) -> None:
        options["postgresql"]["data_dir"] = str(pgdata if how == "directly" else path)

    rewrite(second, "n1", share)
    said = refusal(second, "n1")

    assert "postgresql.data_dir: another agent (pid " in said
    assert "stop it first" in said
    assert_unharmed(first, "n1")


def test_two_agents_on_one_raft_directory(new_cluster: NewCluster) -> None:
    first = new_cluster(nodes=1, synchronous_mode="off")
    second = new_cluster(nodes=1)
    first.start("n1")
    first.wait_for_primary()
    raft = str(first.nodes["n1"].folder / "raft")
    rewrite(second, "n1", lambda o: o["raft"].update(data_dir=raft))

    said = refusal(second, "n1")

    assert f"{raft} is in use by another raftha process" in said
    assert "raft.data_dir of its own" in said
    assert not second.nodes["n1"].pgdata.exists()
    assert_unharmed(first, "n1")


@pytest.mark.parametrize("how", ["reload", "restart"])
def test_a_wrong_replication_password_is_told_and_heals(new_cluster: NewCluster, how: str) -> None:
    cluster, primary = with_two_running(new_cluster)

    def set_password(options: Options, password: str) -> None:
        options["postgresql"]["authentication"]["replication"]["password"] = password

    rewrite(cluster, "n3", lambda o: set_password(o, "wrong"))
    cluster.start("n3")

    wait_until_said(cluster, "n3", "ERROR", "password authentication failed", "replicator")
    wait_until_told(cluster, "n3", "password authentication failed", "replicator")
    assert_idle(cluster, "n3")
    tries = said_by(cluster, "n3").count("job started kind=pg_basebackup")
    assert 1 <= tries <= 4, "it must pause between two tries, each time longer"
    assert not cluster.nodes["n3"].pgdata.exists()
    assert_unharmed(cluster, primary)

    rewrite(cluster, "n3", lambda o: set_password(o, PASSWORD))
    if how == "restart":
        assert cluster.stop("n3") == 0
        cluster.start("n3")
    else:
        hang_up(cluster, "n3")
    assert cluster.wait_until_whole() == primary


def test_a_partner_whose_name_cannot_be_resolved_is_told_and_waited_for(
    new_cluster: NewCluster,
) -> None:
    cluster = new_cluster()
    raft = {name: f"localhost:{node.raft_port}" for name, node in cluster.nodes.items()}
    raft["n3"] = raft["n3"].replace("localhost", "absent.invalid")

    def rename(name: str, options: Options) -> None:
        options["raft"].update(self_addr=raft[name], partner_addrs=list(raft.values()))

    for name in ("n1", "n2"):
        rewrite(cluster, name, partial(rename, name))

    for name in ("n1", "n2"):
        cluster.start(name)
    primary = cluster.wait_for_primary()

    for name in ("n1", "n2"):
        wait_until_said(cluster, name, "the name absent.invalid cannot be resolved")
        wait_until_told(cluster, name, "the name absent.invalid cannot be resolved")
    assert_idle(cluster, primary)
    said = said_by(cluster, "n1")
    assert said.count("cannot be resolved") <= 2, "it is not news each time"
    assert_unharmed(cluster, primary)


def test_a_wrong_key_file_shuts_one_node_out(new_cluster: NewCluster) -> None:
    cluster, primary = with_two_running(new_cluster)
    other_key = cluster.nodes["n3"].file.with_name("other.key")
    other_key.write_text(secrets.token_hex(32), encoding="ascii")
    rewrite(cluster, "n3", lambda o: o["raft"].update(key_file=str(other_key)))

    cluster.start("n3")

    wait_until_said(cluster, "n3", "raft.key_file is not the same")
    wait_until_told(cluster, "n3", "raft.key_file is not the same")
    wait_until_said(cluster, primary, "raft.key_file is not the same")
    assert_idle(cluster, "n3")
    for name in ("n1", "n2", "n3"):
        lines = [line for line in said_by(cluster, name).splitlines() if "link to" in line]
        repeats = len(lines) - len({line.partition("link to")[2] for line in lines})
        assert repeats <= 2, "\n".join(lines)
    assert not cluster.nodes["n3"].pgdata.exists()
    assert_unharmed(cluster, primary)
    assert cluster.stop("n3") == 0
    key = str(other_key.with_name("raft.key"))
    rewrite(cluster, "n3", lambda o: o["raft"].update(key_file=key))
    cluster.start("n3")
    assert cluster.wait_until_whole() == primary


def test_a_key_file_that_is_too_short_or_absent_is_refused(new_cluster: NewCluster) -> None:
    cluster = new_cluster(nodes=1)
    key = cluster.nodes["n1"].file.with_name("raft.key")
    key.write_text("short\n", encoding="ascii")
    said = refusal(cluster, "n1")
    assert str(key) in said
    assert "openssl rand -hex 32" in said
    key.unlink()
    said = refusal(cluster, "n1")
    assert str(key) in said
    assert "No such file" in said
