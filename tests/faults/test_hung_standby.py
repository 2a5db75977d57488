"""A synchronous standby that hangs with its connections open: how long commits wait for it."""

from __future__ import annotations

import pytest

from tests.integration.processes import Part
from tests.integration.scene import (
    NewCluster,
    Probe,
    postmaster_pid,
    report,
    sync_standbys,
    under_load,
)

pytestmark = pytest.mark.integration

TTL_S = 3.0


@pytest.mark.parametrize("parts", [(), (Part.POSTGRES,)], ids=["its machine", "its server"])
def test_a_synchronous_standby_that_hangs_holds_commits_up_for_less_than_a_ttl(
    new_cluster: NewCluster, probe: Probe, parts: tuple[Part, ...]
) -> None:
    """R23. It takes half of a ttl until the sender lets go, then a second to change the set."""
    scene = under_load(new_cluster, probe, ttl=TTL_S, synchronous_mode="on")
    cluster, primary = scene.cluster, scene.primary
    (synchronous,) = sync_standbys(cluster)
    server, history = postmaster_pid(cluster, primary), report(cluster)["history"]

    cluster.pause(synchronous, *parts)
    scene.wait_for_writes(40)
    assert sync_standbys(cluster) != [synchronous]
    assert TTL_S / 4 <= scene.ledger.longest_gap_s() <= TTL_S

    cluster.resume(synchronous)
    scene.finish(at_least=70)
    assert postmaster_pid(cluster, primary) == server, "the primary was disturbed"
    assert report(cluster)["history"] == history
