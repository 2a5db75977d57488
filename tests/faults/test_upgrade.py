"""Another release takes the place of this one on a cluster that serves, as docs/upgrade.md says.

The other release is a copy of this one in which a number of a format, or its version, is another.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from raftha import __version__
from raftha.consensus.greeting import PROTOCOL
from raftha.consensus.records import FORMAT
from raftha.guardian.protocol import VERSION
from tests.integration.harness import ClusterHarness
from tests.integration.scene import (
    NewCluster,
    Probe,
    Scene,
    postmaster_pid,
    report,
    under_load,
)
from tests.integration.test_voters import incarnations

pytestmark = pytest.mark.integration

ROOT: Final = Path(__file__).parent.parent.parent
TTL_S: Final = 5.0
LIMIT_S: Final = 20.0
Environment = Mapping[str, str]


def release(folder: Path, file: str, text: str, instead: str) -> Environment:
    """A copy of this release with one line changed; what a process of it needs to be given."""
    shutil.copytree(ROOT / "raftha", folder / "raftha", ignore=shutil.ignore_patterns("__pyca*"))
    changed = folder / "raftha" / file
    source = changed.read_text(encoding="utf-8")
    assert source.count(text) == 1
    changed.write_text(source.replace(text, instead), encoding="utf-8")
    return {"PYTHONPATH": str(folder)}


def numbered(folder: Path, file: str, name: str, number: int) -> Environment:
    """The release whose number of this name is the next one."""
    return release(folder, file, f"{name}: Final = {number}", f"{name}: Final = {number + 1}")


def newer(folder: Path) -> Environment:
    return release(folder, "__init__.py", f'"{__version__}"', '"99.0"')


def other_protocol(folder: Path) -> Environment:
    return numbered(folder, "consensus/greeting.py", "PROTOCOL", PROTOCOL)


def exchange(cluster: ClusterHarness, name: str, with_release: Environment) -> None:
    """As `systemctl restart raftha` does it."""
    cluster.kill_agent(name)
    cluster.start(name, with_release)


def told_by(cluster: ClusterHarness, name: str) -> dict[str, Any]:
    """What a node says of itself; nothing while it does not answer."""
    return cluster.get(name, "/patroni")[1] or {}


def await_release(cluster: ClusterHarness, name: str, wanted: str) -> None:
    cluster.wait_for(
        lambda: told_by(cluster, name).get("patroni", {}).get("version") == wanted,
        LIMIT_S,
        f"{name} says that it is of release {wanted}",
    )


def complaints(cluster: ClusterHarness, name: str) -> list[str]:
    """What keeps the others away, as a node says."""
    voters = told_by(cluster, name).get("raft", {}).get("voters", [])
    return [voter["problem"] for voter in voters if voter["problem"]]


def await_votes(cluster: ClusterHarness) -> None:
    cluster.wait_for(lambda: len(incarnations(cluster)) == 3, LIMIT_S, "three voters in touch")


def servers(scene: Scene) -> dict[str, int]:
    return {name: postmaster_pid(scene.cluster, name) for name in scene.cluster.nodes}


def standbys_first(scene: Scene) -> list[str]:
    return [*sorted(set(scene.cluster.nodes) - {scene.primary}), scene.primary]


def test_agents_that_are_exchanged_one_by_one_disturb_no_client(
    new_cluster: NewCluster, probe: Probe, tmp_path: Path
) -> None:
    scene = under_load(new_cluster, probe, ttl=TTL_S)
    cluster, later = scene.cluster, newer(tmp_path)
    before, history = servers(scene), report(cluster)["history"]
    for name in standbys_first(scene):
        exchange(cluster, name, later)
        await_votes(cluster)
        scene.wait_for_writes()
        await_release(cluster, name, "99.0")
        cluster.wait_until_whole()

    assert servers(scene) == before
    assert report(cluster)["history"] == history
    assert scene.ledger.longest_gap_s() <= 1.5
    scene.finish()


def test_all_agents_that_are_exchanged_at_once_disturb_no_client(
    new_cluster: NewCluster, probe: Probe, tmp_path: Path
) -> None:
    """The way where the two do not speak one protocol."""
    scene = under_load(new_cluster, probe, ttl=TTL_S)
    cluster, later = scene.cluster, other_protocol(tmp_path)
    before, history = servers(scene), report(cluster)["history"]
    for name in standbys_first(scene):
        cluster.kill_agent(name)
    for name in standbys_first(scene):
        cluster.start(name, later)
    await_votes(cluster)
    cluster.wait_until_whole()

    assert servers(scene) == before
    assert report(cluster)["history"] == history
    scene.finish()


def test_a_release_of_another_protocol_says_so_and_can_go_back(
    new_cluster: NewCluster, probe: Probe, tmp_path: Path
) -> None:
    scene = under_load(new_cluster, probe, ttl=TTL_S)
    cluster, later = scene.cluster, other_protocol(tmp_path)
    before = servers(scene)
    first, second, last = standbys_first(scene)
    exchange(cluster, first, later)

    def say_why() -> bool:
        old = f"protocol {PROTOCOL}, this node {PROTOCOL + 1}"
        new = f"protocol {PROTOCOL + 1}, this node {PROTOCOL}"
        there = [words for words in complaints(cluster, first) if old in words]
        here = [words for words in complaints(cluster, last) if new in words]
        return len(there) == 2 and len(here) == 1

    cluster.wait_for(say_why, LIMIT_S, f"{first} and the others say why it is alone")
    scene.wait_for_writes()
    exchange(cluster, first, {})
    await_votes(cluster)
    cluster.wait_until_whole()
    assert servers(scene) == before

    for name in (first, second):
        exchange(cluster, name, later)
    successor = cluster.wait_for_primary(LIMIT_S, other_than=last)
    exchange(cluster, last, later)
    await_votes(cluster)
    assert successor in (first, second)
    scene.finish()


def test_a_file_of_another_format_is_left_as_it_is_and_without_it_the_node_joins(
    new_cluster: NewCluster, probe: Probe, tmp_path: Path
) -> None:
    scene = under_load(new_cluster, probe, ttl=TTL_S)
    cluster, name = scene.cluster, standbys_first(scene)[0]
    before, seats = servers(scene), incarnations(cluster)
    later = numbered(tmp_path, "consensus/records.py", "FORMAT", FORMAT)
    exchange(cluster, name, later)
    cluster.wait_for(lambda: not cluster.runs(name), LIMIT_S, f"{name} refuses to start")
    assert f"has format {FORMAT}, this release reads {FORMAT + 1}: an" in cluster.tail(name)

    cluster.start(name)
    await_votes(cluster)
    assert incarnations(cluster) == seats

    cluster.kill_agent(name)
    for file in (cluster.nodes[name].folder / "raft").glob("raft.sqlite*"):
        file.unlink()
    cluster.start(name, later)
    cluster.wait_for(
        lambda: incarnations(cluster).get(name, seats[name]) != seats[name],
        LIMIT_S,
        f"{name} has a seat with a new file",
    )
    cluster.wait_until_whole()
    assert servers(scene) == before
    scene.finish()


def test_with_a_guardian_of_another_protocol_a_node_is_exchanged_as_a_whole(
    new_cluster: NewCluster, probe: Probe, tmp_path: Path
) -> None:
    scene = under_load(new_cluster, probe, ttl=TTL_S)
    cluster, name = scene.cluster, standbys_first(scene)[0]
    before = servers(scene)
    later = numbered(tmp_path, "guardian/protocol.py", "VERSION", VERSION)
    exchange(cluster, name, later)
    cluster.wait_for(
        lambda: "is of another release than this agent" in cluster.tail(name),
        LIMIT_S,
        f"{name} says what stands against its guardian",
    )
    await_votes(cluster)
    scene.wait_for_writes()

    exchange(cluster, name, {})
    await_release(cluster, name, __version__)  # it heeds signals from then on
    await_votes(cluster)
    cluster.wait_until_whole()
    assert servers(scene) == before, "its server was not touched"

    assert cluster.stop(name) == 0
    cluster.start(name, later)
    await_release(cluster, name, __version__)
    await_votes(cluster)
    cluster.wait_until_whole()
    assert report(cluster)["history"][-1]["leader"] == scene.primary
    scene.finish()
