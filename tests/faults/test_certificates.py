"""The certificate of a primary ends while it runs: its links stay, new ones are not to be had.

REST and Raft have it; replication here has none.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Final

import pytest

from tests.certificates import make_certificates
from tests.faults.stage import ALLOWANCE_S, LEASE_S, PROMISED_S
from tests.integration.node_support import hang_up, wait_until_told
from tests.integration.scene import NewCluster, Probe, under_load
from tests.integration.test_tls import TlsHarness
from tests.integration.workload import Counts

pytestmark = [pytest.mark.integration, pytest.mark.timeout(150)]

LEFT_S: Final = 5.0
"""How long the last certificate is good for."""


def of_somebody_careless() -> ssl.SSLContext:
    """Of a client that takes every certificate, to ask whose has ended."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def test_a_certificate_that_ends_costs_the_links_that_are_made_anew(
    new_cluster: NewCluster, probe: Probe, conclude: Callable[..., Counts]
) -> None:
    scene = under_load(partial(new_cluster, kind=TlsHarness), probe, ttl=LEASE_S)
    cluster, primary = scene.cluster, scene.primary
    cluster.context = of_somebody_careless()
    folder = cluster.nodes[primary].file.parent
    issue = partial(make_certificates, folder, primary, authority=folder)

    issue(end=timedelta(seconds=LEFT_S))
    hang_up(cluster, primary)
    wait_until_told(cluster, primary, "has expired", "put a new one in its place", within_s=20)
    since = time.monotonic()
    time.sleep(2 * LEASE_S)
    scene.wait_for_writes()
    assert scene.ledger.longest_gap_s(since) < LEASE_S, "its links were up"
    assert cluster.primary() == primary, "its links were up, and it went"

    cluster.kill_agent(primary)
    cluster.start(primary)
    scene.await_successor()
    time.sleep(LEASE_S)
    assert cluster.runs(primary), "it should wait for a certificate"
    issue()

    conclude(scene, gap_s=PROMISED_S + ALLOWANCE_S)
