"""The parts of an instance that need no server."""

from __future__ import annotations

from pathlib import Path

import pytest

from raftha.errors import ConfigError
from raftha.model.settings import Address, Authentication, Credentials, PostgresConfig
from raftha.pg import argv, versions
from raftha.pg.instance import Instance
from tests.unit.pg.installations import installed


def test_an_installation_is_asked_for_its_version_once(tmp_path: Path) -> None:
    """Each asking runs a program, and between initdb and the first start nobody should wait."""
    asked = tmp_path / "asked"
    bin_dir = installed(tmp_path, "16.14", noting=asked)
    role = Credentials(username="postgres")
    config = PostgresConfig(
        listen_hosts=("127.0.0.1",),
        connect_address=Address("127.0.0.1", 5432),
        data_dir=tmp_path / "data",
        authentication=Authentication(superuser=role, replication=role, rewind=role),
        port=5432,
        bin_dir=bin_dir,
    )
    instance = Instance(config, "scope", "n1", tmp_path)

    newest = instance.binaries(None)

    assert newest.major == 16
    assert instance.binaries(16) == instance.binaries(None) == newest
    assert asked.read_text() == "\n"
    with pytest.raises(ConfigError):
        instance.binaries(15)


def test_programs_may_have_other_names(tmp_path: Path) -> None:
    bin_dir = installed(tmp_path, "16.14")
    (bin_dir / "pg_rewind").rename(bin_dir / "pg_rewind16")
    found = versions.choose(bin_dir, None, {"pg_rewind": "pg_rewind16"})
    assert found.program("pg_rewind") == str(bin_dir / "pg_rewind16")
    assert found.program("initdb") == str(bin_dir / "initdb")
    assert argv.rewind(found, tmp_path, {}, restores=False)[0] == str(bin_dir / "pg_rewind16")
    with pytest.raises(ConfigError, match="lacks pg_rewind"):
        versions.choose(bin_dir, None)
    with pytest.raises(ConfigError, match="lacks initdb16"):
        versions.choose(bin_dir, None, {"initdb": "initdb16", "pg_rewind": "pg_rewind16"})
