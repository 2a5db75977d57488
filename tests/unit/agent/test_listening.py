"""The port of a server that an earlier agent left running."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml
from msgspec.structs import replace

from raftha.agent.listening import at_its_port
from raftha.agent.reloading import Reloads, of_waiting
from raftha.config.load import load
from raftha.model.ids import MemberName
from raftha.model.settings import Address, NodeConfig
from tests.unit.config.conftest import GOOD


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NodeConfig:
    """Of a node whose server runs at port 5433, started by raftha; its file says 5432."""
    data = tmp_path / "data"
    data.mkdir()
    monkeypatch.chdir(data)
    pid_file = f"{os.getpid()}\n{data}\n1790000000\n5433\n{tmp_path}/run\n127.0.0.1\n"
    (data / "postmaster.pid").write_text(pid_file)
    (data / "postmaster.opts").write_text(f"postgres -c unix_socket_directories={tmp_path}/run\n")
    path = tmp_path / "n1.yml"
    path.write_text(yaml.safe_dump(yaml.safe_load(GOOD)))
    return load(path, {}).config


def ports(config: NodeConfig) -> tuple[int, Address]:
    assert config.postgresql is not None
    return config.postgresql.port, config.postgresql.connect_address


def test_the_agent_goes_on_where_the_server_is_and_says_what_waits(
    config: NodeConfig, tmp_path: Path
) -> None:
    found = at_its_port(config, tmp_path / "run")
    assert ports(found) == (5433, Address("127.0.0.1", 5433))
    reloads = Reloads(found, tmp_path / "n1.yml", config)
    assert set(reloads.waiting) == {"postgresql.listen", "postgresql.connect_address"}
    assert set(reloads.reload().waiting) == set(reloads.waiting)
    assert ports(reloads.config) == ports(found)
    (notice,) = of_waiting(MemberName("n1"), reloads.waiting)
    assert "systemctl stop raftha (this stops its server), then start raftha" in notice.remedy


def test_an_address_that_does_not_follow_from_the_port_stays(
    config: NodeConfig, tmp_path: Path
) -> None:
    assert config.postgresql is not None
    pooled = replace(config.postgresql, connect_address=Address("db1", 6432))
    found = at_its_port(replace(config, postgresql=pooled), tmp_path / "run")
    assert ports(found) == (5433, Address("db1", 6432))


def test_a_server_that_is_taken_over_is_started_where_the_file_says(
    config: NodeConfig, tmp_path: Path
) -> None:
    assert at_its_port(config, tmp_path / "elsewhere") == config


@pytest.mark.parametrize("content", ["", "1\n", "not a number\n", "{pid}\n{data}\n1\n"])
def test_without_a_server_the_file_is_gone_by(
    config: NodeConfig, tmp_path: Path, content: str
) -> None:
    text = content.format(pid=os.getpid(), data=tmp_path)
    (tmp_path / "data" / "postmaster.pid").write_text(text)
    assert at_its_port(config, tmp_path / "run") == config
