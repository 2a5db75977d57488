"""The data directory of a synchronous standby is put back from an older copy while its primary is
gone: the store says that it held more, and nobody is promoted who lacks what was acknowledged."""

from __future__ import annotations

import shutil
from typing import Final

import pytest

from tests.integration.scene import TTL_S, NewCluster, check_quiet, report, wait_for_sync

pytestmark = [pytest.mark.integration, pytest.mark.timeout(150)]

WITHIN_S: Final = 20.0
COUNT: Final = "SELECT count(*) FROM public.kept"
ROWS: Final = "INSERT INTO public.kept SELECT generate_series(1, 1000)"


def test_a_standby_that_was_put_back_from_an_older_copy_does_not_lead(
    new_cluster: NewCluster,
) -> None:
    cluster = new_cluster(nodes=2, witnesses=1, ttl=TTL_S)
    cluster.start_all()
    primary = cluster.wait_until_whole()
    (standby,) = (node.name for node in cluster.members() if node.name != primary)
    cluster.query(primary, "CREATE TABLE public.kept (id int)")
    pgdata = cluster.nodes[standby].pgdata
    older, newer = pgdata.with_name("older"), pgdata.with_name("newer")
    cluster.stop(standby)
    shutil.copytree(pgdata, older, symlinks=True)
    cluster.query(primary, ROWS)
    cluster.start(standby)
    cluster.wait_until_whole()
    wait_for_sync(cluster)

    for name in (primary, standby):
        cluster.kill(name)
    pgdata.rename(newer)
    older.rename(pgdata)
    cluster.start(standby)
    told = "its data directory was put back from an older copy"
    cluster.wait_for(lambda: told in str(report(cluster)), WITHIN_S, told)
    assert cluster.primary() is None

    cluster.start(primary)
    assert cluster.wait_until_whole() == primary
    assert check_quiet(cluster) == primary
    for name in (primary, standby):
        assert cluster.query(name, COUNT) == [(1000,)]
