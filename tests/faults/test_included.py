"""The configuration from before raftha, or a file of one's own in its place: it is in force beneath
what raftha writes, and cannot end a standby's recovery."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from msgspec.structs import replace

from raftha.model.postgres import Binaries
from raftha.pg import conf
from tests.integration.harness import ClusterHarness
from tests.integration.node_support import raftha, refusal, rewrite
from tests.integration.pg_support import attach, caught_up, first_primary, ids, nodes, until
from tests.integration.scene import NewCluster

pytestmark = [pytest.mark.integration, pytest.mark.timeout(150)]

INCLUDED = """
work_mem = '7MB'
port = 1
recovery_target = 'immediate'
recovery_target_action = 'promote'
"""
"""As is left of a recovery to a point in time: at its end PostgreSQL would promote itself."""


@pytest.mark.parametrize("in_place_of_base", [False, True])
def test_what_is_included_is_in_force_and_never_promotes_a_standby(
    binaries: Binaries, tmp_path: Path, in_place_of_base: bool
) -> None:
    with nodes(binaries, "n1", "n2") as (n1, n2):
        system_id = first_primary(n1)
        base, own = n1.config.data_dir / conf.BASE_CONF, tmp_path / "own.conf"
        base.write_text("work_mem = '6MB'" if in_place_of_base else INCLUDED)
        own.write_text(INCLUDED)
        if in_place_of_base:
            n2.config = n2.instance.config = replace(n2.config, custom_conf=own)

        attach(n1, n2, system_id)
        n1.sql("INSERT INTO public.t VALUES (1)")
        until(lambda: caught_up(n1, n2))

        assert n2.sql("SELECT pg_is_in_recovery()") == [(True,)]
        assert n2.sql("SHOW work_mem") == [("7MB",)]
        assert ids(n2) == [1]


def test_a_file_of_ones_own_is_included_and_missed_when_it_is_not_there(
    new_cluster: NewCluster, tmp_path: Path
) -> None:
    cluster: ClusterHarness = new_cluster(nodes=1)
    own, file = tmp_path / "own.conf", cluster.nodes["n1"].file
    rewrite(cluster, "n1", lambda options: options["postgresql"].update(custom_conf=str(own)))

    said = refusal(cluster, "n1")
    assert f"postgresql.custom_conf: {own} is not a file" in said
    assert f"{own} is not a file" in raftha("check-config", file).stdout

    own.write_text("work_mem = '7MB'\nshared_buffers = '20MB'\n")
    assert "is not a file" not in raftha("check-config", file).stdout
    cluster.start("n1")
    cluster.wait_for_primary()
    assert cluster.query("n1", "SHOW work_mem") == [("7MB",)]
    assert cluster.query("n1", "SHOW shared_buffers") == [("16MB",)], "the node's file wins"


def test_a_node_may_have_its_settings_in_several_files(new_cluster: NewCluster) -> None:
    cluster: ClusterHarness = new_cluster(nodes=1)
    node = cluster.nodes["n1"]
    folder = node.file.with_name("n1.d")
    folder.mkdir(mode=0o700)
    node.file.rename(folder / "00-node.yml")
    own = folder / "50-own.yml"
    own.write_text("postgresql: {parameters: {work_mem: 7MB}}\n")
    cluster.nodes["n1"] = dataclasses.replace(node, file=folder)

    cluster.start("n1")
    cluster.wait_for_primary()
    assert cluster.query("n1", "SHOW work_mem") == [("7MB",)]
    own.write_text("postgresql:\n  parameters: 9MB\n")
    told = raftha("reload", "n1", "--yes", "-c", cluster.nodes["n1"].file / "00-node.yml")
    assert (told.returncode, "50-own.yml:2: postgresql.parameters" in told.stdout) == (1, True)
    own.write_text("postgresql:\n  parameters: {work_mem: 9MB}\n")
    told = raftha("reload", "n1", "--yes", "-c", folder)
    assert (told.returncode, "postgresql.parameters" in told.stdout) == (0, True), told.stdout
    cluster.wait_for(
        lambda: cluster.query("n1", "SHOW work_mem") == [("9MB",)], 10, "the new value"
    )
