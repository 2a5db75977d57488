"""The HTTP interface of a real cluster against its own description: schemathesis makes requests,
good and bad ones, and none may get an answer that is not described, a 500 least of all.

Schemathesis lives in an environment of its own (`pip install raftha[fuzz]`): its tools need other
versions than ours.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from functools import partial

import pytest

from tests.integration.asking import ask
from tests.integration.harness import ClusterHarness
from tests.integration.scene import wait_for_sync

pytestmark = [pytest.mark.integration, pytest.mark.timeout(560)]

NewCluster = Callable[..., ClusterHarness]
CHECKS = (
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
    "unsupported_method",
)
"""Not `not_a_server_error`: 503 is an answer here, and a 500 is described nowhere."""

HALTING = ("/stop", "/start", "/pause", "/resume")
"""Good requests to these stop what the others need: they are asked among themselves, at the end."""

AT_LEAST = 1000
AT_LEAST_HALTING = 60
"""Requests: fewer would say that the description was not understood."""


def program() -> str:
    found = os.environ.get("SCHEMATHESIS") or shutil.which("schemathesis")
    if found is None:
        pytest.skip("schemathesis is not installed: pip install raftha[fuzz], or set SCHEMATHESIS")
    return found


def fuzz(cluster: ClusterHarness, name: str, way: str) -> int:
    """Ask a node for all paths but the halting ones, or (`--include-path`) for those; how many
    requests got an answer that is described."""
    command = [program(), "run", "--max-examples=15", "--seed=1", "--phases=coverage,fuzzing"]
    command += [f"--checks={','.join(CHECKS)}", "--request-timeout=40", "--workers=1"]
    command += [word for path in HALTING for word in (way, path)]
    done = subprocess.run(
        [*command, cluster.url(name) + "/openapi.json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=270,
        check=False,
        env={**os.environ, "NO_COLOR": "1", "PYTHONPATH": ""},
    )
    assert done.returncode == 0, done.stdout[-6000:]
    passed = re.search(r"(\d+) generated, (\d+) passed", done.stdout)
    assert passed is not None, done.stdout[-2000:]
    assert passed[1] == passed[2], passed[0]
    return int(passed[2])


def test_no_request_gets_an_answer_that_is_not_described(new_cluster: NewCluster) -> None:
    cluster = new_cluster(ttl=5.0, profile="lan")
    cluster.start_all()
    primary = cluster.wait_until_whole()
    wait_for_sync(cluster)

    assert fuzz(cluster, primary, "--exclude-path") >= AT_LEAST
    assert fuzz(cluster, primary, "--include-path") >= AT_LEAST_HALTING

    for name in cluster.nodes:
        assert "Traceback" not in cluster.nodes[name].log.read_text(), cluster.tail(name)
    for path in ("/resume", "/start"):
        cluster.wait_for(partial(is_over, cluster, primary, path), 30, path)
    cluster.wait_until_whole()


def is_over(cluster: ClusterHarness, name: str, path: str) -> bool:
    """What this path ends has ended, or there was nothing to end."""
    return ask(cluster.url(name) + path, {})[0] in (200, 412)
