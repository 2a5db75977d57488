"""PostgreSQL's programs under other names, and a pool beside each server that is only told."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest

from raftha.cli.exits import Exit
from tests.integration.harness import ClusterHarness, Node
from tests.integration.node_support import refusal, rewrite
from tests.integration.scene import NewCluster, await_line, raftha, report
from tests.integration.test_rejoin import check_joined, diverged_primary

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

NAMES: Final = ("initdb", "pg_basebackup", "pg_controldata", "pg_rewind", "pg_waldump")


class RenamedHarness(ClusterHarness):
    """Its programs are links with another name each, in a folder of their own."""

    def programs(self) -> Path:
        folder = self._folder / "programs"
        if not folder.exists():
            folder.mkdir()
            for name in NAMES:
                (folder / f"{name}-here").symlink_to(self._binaries.bin_dir / name)
            (folder / "postgres").symlink_to(self._binaries.bin_dir / "postgres")
        return folder

    def _postgres_options(self, node: Node) -> dict[str, Any]:
        options = super()._postgres_options(node)
        options["bin_dir"] = str(self.programs())
        options["bin_name"] = {name: f"{name}-here" for name in NAMES}
        options["proxy_address"] = f"127.0.0.1:{pool_port(node)}"
        return options


def pool_port(node: Node) -> int:
    assert node.postgres_port is not None
    return node.postgres_port - 10_000


def test_programs_of_other_names_make_copy_and_rewind(new_cluster: NewCluster) -> None:
    def renamed(**options: Any) -> ClusterHarness:
        return new_cluster(kind=RenamedHarness, **options)

    cluster, old, new = diverged_primary(renamed)
    cluster.start(old)
    await_line(cluster, old, "rewound", 60)
    check_joined(cluster, old, new)
    check_pools(cluster, new)

    cluster.stop(old)
    rewrite(cluster, old, lambda o: o["postgresql"]["bin_name"].update(pg_rewind="pg_rewind-gone"))
    assert "lacks pg_rewind-gone" in refusal(cluster, old)


def check_pools(cluster: ClusterHarness, name: str) -> None:
    """Everybody is told where they are."""
    pools = {
        node.name: f"postgres://127.0.0.1:{pool_port(node)}/postgres" for node in cluster.members()
    }
    code, body = cluster.get(name, "/cluster")
    assert code == 200
    assert {member["name"]: member["proxy_url"] for member in body["members"]} == pools
    assert {member["name"]: member["proxy_url"] for member in report(cluster)["members"]} == pools
    told = raftha(cluster, Exit.DONE, "status", "-e")
    assert all(pool in told.replace("\n", "") for pool in pools.values()), told
