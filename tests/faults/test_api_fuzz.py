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

import pytest

from tests.integration.harness import ClusterHarness
from tests.integration.scene import wait_for_sync

pytestmark = [pytest.mark.integration, pytest.mark.timeout(280)]

NewCluster = Callable[..., ClusterHarness]
CHECKS = (
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
    "unsupported_method",
)
"""Not `not_a_server_error`: 503 is an answer here, and a 500 is described nowhere."""

HALTING = ("/stop", "/start", "/pause", "/resume", "/reload", "/reinitialize")
"""Good requests to these stop what the others need."""


AT_LEAST = 1000
"""Requests: fewer would say that the description was not understood."""


def program() -> str:
    found = os.environ.get("SCHEMATHESIS") or shutil.which("schemathesis")
    if found is None:
        pytest.skip("schemathesis is not installed: pip install raftha[fuzz], or set SCHEMATHESIS")
    return found


def test_no_request_gets_an_answer_that_is_not_described(new_cluster: NewCluster) -> None:
    command = [program(), "run", "--max-examples=15", "--seed=1", "--phases=coverage,fuzzing"]
    cluster = new_cluster(ttl=5.0, profile="lan")
    cluster.start_all()
    primary = cluster.wait_until_whole()
    wait_for_sync(cluster)
    command += [f"--checks={','.join(CHECKS)}", "--request-timeout=40", "--workers=1"]
    command += [word for path in HALTING for word in ("--exclude-path", path)]
    done = subprocess.run(
        [*command, cluster.url(primary) + "/openapi.json"],
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
    assert int(passed[1]) == int(passed[2]) >= AT_LEAST, passed[0]
    for name in cluster.nodes:
        assert "Traceback" not in cluster.nodes[name].log.read_text(), cluster.tail(name)
    cluster.wait_until_whole()
