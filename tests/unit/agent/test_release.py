"""R18: a minor release whose sessions may commit alone right after its start is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from raftha.agent.checkup import checkup
from raftha.agent.release import of_server, refuse_unsafe
from raftha.clock import SystemClock
from raftha.config.load import load
from raftha.errors import ConfigError
from raftha.model.postgres import Binaries
from raftha.model.settings import NodeConfig
from raftha.pg import versions
from tests.unit.config.conftest import GOOD
from tests.unit.ha import builders as b
from tests.unit.ha import servers as pg
from tests.unit.pg.installations import installed


def configured(folder: Path, mode: str, bin_dir: Path) -> NodeConfig:
    """A node's file that asks for this mode."""
    path = folder / "node.yml"
    asked = f"  bin_dir: {bin_dir}\nbootstrap:\n  dcs:\n    synchronous_mode: {mode}\n"
    path.write_text(GOOD + asked)
    path.chmod(0o600)
    return load(path, {}, witness=False).config


def binaries(version: str) -> Binaries:
    major = int(version.partition(".")[0].removesuffix("beta1"))
    return Binaries(bin_dir=Path("/bin"), major=major, version=version, origin="system")


@pytest.mark.parametrize(
    ("version", "number"), [("15.12", 150012), ("18.0", 180000), ("18beta1", 180000)]
)
def test_an_installation_tells_the_number_of_its_servers(version: str, number: int) -> None:
    assert versions.number(binaries(version)) == number


@pytest.mark.parametrize("version", ["15.12", "16.8", "17.4", "14.17"])
def test_an_agent_does_not_start_in_synchronous_mode_on_a_release_with_the_race(
    tmp_path: Path, version: str
) -> None:
    config = configured(tmp_path, "on", tmp_path)

    with pytest.raises(ConfigError) as refused:
        refuse_unsafe(config, binaries(version))

    (problem,) = refused.value.problems
    assert problem.where == "synchronous_mode"
    assert version in problem.what
    assert problem.remedy.startswith("upgrade to ")
    assert problem.remedy.endswith("bootstrap.dcs.synchronous_mode: off")
    refuse_unsafe(configured(tmp_path, "off", tmp_path), binaries(version))


@pytest.mark.parametrize("version", ["15.13", "16.9", "17.5", "14.18", "18.0", "18beta1"])
def test_a_release_with_the_fix_is_taken(tmp_path: Path, version: str) -> None:
    refuse_unsafe(configured(tmp_path, "on", tmp_path), binaries(version))


def test_the_check_of_a_file_names_a_release_with_the_race(tmp_path: Path) -> None:
    bin_dir = installed(tmp_path, "15.12 (Debian 15.12-1)")

    def named(mode: str) -> bool:
        found = checkup(configured(tmp_path, mode, bin_dir), SystemClock())
        return any("15.12" in problem.what for problem in found)

    assert named("on")
    assert not named("off")


def test_a_server_that_runs_on_such_a_release_is_told_of() -> None:
    (notice,) = of_server(b.situation(b.view(server=pg.primary(version=150012))))
    assert (notice.subject, notice.remedy) == ("n1", "upgrade to 15.13 or later")

    asynchronous = b.view(server=pg.primary(version=150012), cluster=b.cluster(config=b.OFF))
    assert of_server(b.situation(asynchronous)) == ()
    assert of_server(b.situation(b.view())) == ()
    assert of_server(b.situation(b.view(server=None))) == ()
