"""Programs of the operator's around real servers: what they are told, and that none holds up a
decision, a renewal or a fence."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import psutil
import pytest

from raftha.cli.exits import Exit
from tests.faults.stage import ALLOWANCE_S, LEASE_S, PROMISED_S
from tests.integration import processes
from tests.integration.harness import STOP_LIMIT_S, ClusterHarness
from tests.integration.node_support import hang_up, rewrite
from tests.integration.scene import (
    TTL_S,
    WRITABLE_LIMIT_S,
    NewCluster,
    Probe,
    first,
    raftha,
    under_load,
)
from tests.integration.workload import Counts

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

WHEN: Final = ("on_start", "on_stop", "on_restart", "on_reload", "on_role_change")
TELL: Final = """#!/bin/sh
echo "$@" >> {folder}/told
"""
HANG: Final = """#!/bin/sh
trap '' TERM
echo "$@" >> {folder}/told
sleep 1000 & wait
sleep 1000
"""
UNLESS_FORBIDDEN: Final = """#!/bin/sh
echo pre_promote >> {folder}/told
if [ -e {folder}/hangs ]; then sleep 1000; fi
test ! -e {folder}/forbidden
"""


def write(cluster: ClusterHarness, name: str, program: str, text: str) -> str:
    """A program in a node's folder; its path."""
    folder = cluster.nodes[name].folder
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / program
    path.write_text(text.format(folder=folder))
    path.chmod(0o700)
    return str(path)


def equip(cluster: ClusterHarness, name: str, **texts: str) -> None:
    """Give a node these programs: `callbacks`, `before_stop`, `pre_promote`."""
    paths = {program: write(cluster, name, program, text) for program, text in texts.items()}

    def change(options: dict[str, Any]) -> None:
        given: dict[str, Any] = {
            program: f"{path} before_stop" if program == "before_stop" else path
            for program, path in paths.items()
            if program != "callbacks"
        }
        if "callbacks" in paths:
            given["callbacks"] = dict.fromkeys(WHEN, paths["callbacks"])
        options["postgresql"] |= given

    rewrite(cluster, name, change)


def told(cluster: ClusterHarness, name: str) -> list[str]:
    """What the programs of a node were told so far; reloads, which come with any change of the
    synchronous set, are left out."""
    path = cluster.nodes[name].folder / "told"
    lines = path.read_text().splitlines() if path.exists() else []
    return [line for line in lines if not line.startswith("on_reload")]


def await_told(cluster: ClusterHarness, name: str, *wanted: str) -> None:
    """What a node's programs were told ends so."""
    cluster.wait_for(
        lambda: told(cluster, name)[-len(wanted) :] == list(wanted),
        WRITABLE_LIMIT_S,
        f"{name} tells {wanted}, not {told(cluster, name)}",
    )


def reloads(cluster: ClusterHarness, name: str) -> int:
    return (cluster.nodes[name].folder / "told").read_text().count("on_reload replica test")


@pytest.fixture
def hanging(new_cluster: NewCluster) -> Iterator[ClusterHarness]:
    """A cluster, not yet started, whose programs hang, and are ended after the test."""
    cluster = new_cluster(ttl=LEASE_S)
    for name in cluster.nodes:
        equip(cluster, name, callbacks=HANG, before_stop=HANG)
    yield cluster
    folders = [str(node.folder) for node in cluster.nodes.values()]
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if words[:1] == ["/bin/sh"] and words[1:2] and words[1].startswith(tuple(folders)):
            os.killpg(process.pid, signal.SIGKILL)


def test_programs_are_told_the_life_of_their_server(new_cluster: NewCluster) -> None:
    cluster = new_cluster(ttl=LEASE_S)
    for name in cluster.nodes:
        equip(cluster, name, callbacks=TELL, before_stop=TELL, pre_promote=UNLESS_FORBIDDEN)
    cluster.start_all()
    primary = cluster.wait_until_whole()
    # The first server of a cluster may answer before its promotion, or after it.
    assert told(cluster, primary)[-1] in ("on_start primary test", "on_role_change primary test")
    other, third = (name for name in cluster.nodes if name != primary)
    await_told(cluster, other, "on_start replica test")

    before = reloads(cluster, other)
    rewrite(cluster, other, lambda o: o["postgresql"]["parameters"].update(work_mem="5MB"))
    hang_up(cluster, other)
    cluster.wait_for(lambda: reloads(cluster, other) > before, WRITABLE_LIMIT_S, "on_reload")

    raftha(cluster, Exit.DONE, "restart", other, "--force")
    await_told(cluster, other, "before_stop", "on_restart replica test")

    raftha(cluster, Exit.DONE, "switchover", "--candidate", third, "--force")
    await_told(
        *(cluster, primary),
        *("before_stop", "on_stop primary test", "on_role_change replica test"),
    )
    await_told(cluster, third, "pre_promote", "on_role_change primary test")

    assert cluster.stop(other) == 0
    assert told(cluster, other)[-2:] == ["before_stop", "on_stop replica test"]


def test_programs_that_hang_hold_up_neither_renewals_nor_a_fence(
    hanging: ClusterHarness, probe: Probe, conclude: Callable[..., Counts]
) -> None:
    cluster = hanging
    scene = under_load(lambda **_options: cluster, probe)
    primary = scene.primary
    assert "primary test" in told(cluster, primary)[-1]
    time.sleep(2 * LEASE_S)
    assert cluster.primary() == primary
    scene.wait_for_writes()

    # The agent is told to stop, and hangs in `before_stop`: the server goes on. Then it is frozen.
    cluster.processes(primary, processes.Part.AGENT)[0].send_signal(signal.SIGTERM)
    await_told(cluster, primary, "before_stop")
    begun = time.monotonic()
    cluster.pause(primary, processes.Part.AGENT)
    cluster.wait_for(
        lambda: processes.postmaster(cluster.nodes[primary].pgdata) is None,
        LEASE_S + ALLOWANCE_S,
        "the guardian ends the server",
    )
    assert time.monotonic() - begun < LEASE_S + 1.0, "the fence was late"
    scene.await_successor()
    cluster.kill(primary)
    cluster.start(primary)
    conclude(scene, gap_s=PROMISED_S + ALLOWANCE_S)


@pytest.mark.parametrize("obstacle", ["forbidden", "hangs"])
def test_who_is_forbidden_a_promotion_leaves_it_to_another_that_loses_nothing(
    new_cluster: NewCluster, probe: Probe, conclude: Callable[..., Counts], obstacle: str
) -> None:
    cluster = new_cluster(ttl=TTL_S)
    for name in cluster.nodes:
        equip(cluster, name, pre_promote=UNLESS_FORBIDDEN)
    scene = under_load(lambda **_options: cluster, probe)
    standbys = [name for name in cluster.nodes if name != scene.primary]
    for name in standbys:
        (cluster.nodes[name].folder / obstacle).touch()
    begun = time.time()

    cluster.kill(scene.primary)
    pattern = "giving the leader key back: pre_promote"
    cluster.wait_for(
        lambda: all(first(cluster, name, pattern, begun) for name in standbys),
        STOP_LIMIT_S,
        "each of the two is forbidden",
    )
    assert cluster.primary() is None
    history = [record["leader"] for record in (cluster.status() or {})["report"]["history"]]
    (cluster.nodes[standbys[1]].folder / obstacle).unlink()
    assert cluster.wait_for_primary(WRITABLE_LIMIT_S) == standbys[1]

    after = [record["leader"] for record in (cluster.status() or {})["report"]["history"]]
    assert after == [*history, standbys[1]], "a promotion that was forbidden is recorded nowhere"
    (cluster.nodes[standbys[0]].folder / obstacle).unlink()
    cluster.start(scene.primary)
    conclude(scene, gap_s=60.0)
