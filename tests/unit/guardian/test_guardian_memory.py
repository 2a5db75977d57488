"""What a guardian takes of its host: one runs on each member, beside the server that it guards."""

from __future__ import annotations

import compileall
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from raftha.guardian.client import PROGRAM, GuardianClient
from raftha.instants import Seconds
from raftha.model.ids import Epoch, Revision
from tests.unit.guardian.stand_in import CLOCK, IDLE_EXIT_S, PATIENCE_S

RESIDENT_LIMIT_KIB: Final = 12 * 1024
"""Of all its pages. More than half of them are Python's own program, which the agent shares."""

OWN_LIMIT_KIB: Final = 5450
"""Of those that are its alone: 5016 with Python 3.11, about 100 more with 3.12 and 3.13."""

EPOCH: Final = Epoch(1, 10)


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The guardian's program as an installer leaves it, compiled."""
    package = tmp_path / "site" / "raftha"
    shutil.copytree(
        PROGRAM.parent, package / "guardian", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copy(PROGRAM.parent.parent / "__init__.py", package)
    assert compileall.compile_dir(package, quiet=1)
    return package / "guardian" / PROGRAM.name


@pytest.fixture
def agent(installed: Path, tmp_path: Path) -> Iterator[GuardianClient]:
    """The agent of such a guardian, which was started as the agent starts one."""
    (tmp_path / "data").mkdir()
    socket = tmp_path / "guardian.sock"
    options = ["--socket", str(socket), "--pgdata", str(tmp_path / "data")]
    options += ["--log", str(tmp_path / "log"), "--idle-exit-seconds", str(IDLE_EXIT_S)]
    subprocess.run([sys.executable, "-I", "-S", str(installed), *options], check=True)
    client = GuardianClient(socket)
    client.connect()
    yield client
    client.kill(Seconds(PATIENCE_S))
    client.quit()
    client.close()


def test_a_guardian_takes_little_memory_after_all_that_it_does(
    agent: GuardianClient, tmp_path: Path
) -> None:
    """A start, renewals, a promotion and a fence, and the environment that an agent hands over."""
    for renewal in range(1, 100):
        agent.arm(EPOCH, Revision(renewal), CLOCK.now().plus(60.0))
    agent.start_server(["/bin/sleep", "100"], dict(os.environ), tmp_path / "server.log", EPOCH)
    agent.promote(EPOCH)
    agent.kill(Seconds(PATIENCE_S))

    status = Path(f"/proc/{agent.status().guardian_pid}/status").read_text()
    held = {name: int(kib) for name, kib in re.findall(r"(VmRSS|RssAnon):\s+(\d+) kB", status)}

    print(held)
    assert held["VmRSS"] <= RESIDENT_LIMIT_KIB
    assert held["RssAnon"] <= OWN_LIMIT_KIB
