"""How the users of PostgreSQL log in elsewhere is looked at when the agent starts."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from raftha.agent.logins import look_at_start
from raftha.errors import ConfigError
from raftha.model.settings import Address, Authentication, Credentials, PostgresConfig
from raftha.pg.instance import Instance
from tests.unit.pg.installations import installed

BAD = {"sslmode": "require", "sslcert": "/nowhere.pem", "sslkey": "/nowhere.key"}


def instance(folder: Path, bin_dir: Path, options: dict[str, str]) -> Instance:
    plain = Credentials(username="postgres")
    shown = Credentials(username="replicator", options=options)
    config = PostgresConfig(
        listen_hosts=("127.0.0.1",),
        connect_address=Address("127.0.0.1", 5432),
        data_dir=folder / "data",
        authentication=Authentication(superuser=plain, replication=shown, rewind=plain),
        port=5432,
        bin_dir=bin_dir,
    )
    return Instance(config, "scope", "n1", folder)


def test_without_options_nothing_is_looked_for(tmp_path: Path) -> None:
    look_at_start(instance(tmp_path, tmp_path / "nowhere", {}))


def test_a_lost_certificate_keeps_a_node_from_starting_but_not_beside_its_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Without an agent the server would be stopped, and a primary needs no login elsewhere."""
    here = instance(tmp_path, installed(tmp_path, "16.14"), BAD)
    with pytest.raises(ConfigError, match=r"sslcert: /nowhere\.pem cannot be read"):
        look_at_start(here)

    data = tmp_path / "data"
    data.mkdir()
    (data / "postmaster.pid").write_text(f"{os.getpid()}\n")
    monkeypatch.chdir(data)
    with caplog.at_level(logging.ERROR):
        look_at_start(here)
    assert caplog.text.count("no login elsewhere") == 2
