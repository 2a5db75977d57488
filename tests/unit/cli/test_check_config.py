"""`raftha check-config --print`: what a node goes by, for somebody else to read."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from raftha.cli.censor import STARS, censored
from raftha.cli.exits import Exit
from raftha.cli.main import cli
from raftha.config.options import NODE_SCHEMA
from raftha.config.schema import Kind

FILE = """\
scope: main
name: n1
raft: {self_addr: "127.0.0.1:7001", partner_addrs: [], data_dir: /nowhere/raft, key_file: key}
restapi:
  listen: 127.0.0.1:8001
  authentication: {username: operator, password: s3cret}
  server_tokens: minimal
postgresql:
  listen: 127.0.0.1:5999
  data_dir: /nowhere/data
  authentication: {superuser: {password: "'gr34t"}, replication: {username: r, password: null}}
  callbacks: {on_start: /x/tell --token=h1dden}
bootstrap:
  dcs: {ttl: 5}
  method: backup
  backup: {command: "/x/restore --limit 5", repo_secret: 4711, path: "s3://me:h1dden@depot/"}
"""


@pytest.mark.parametrize("option", ["-p", "--print"])
def test_a_good_file_is_shown_with_the_environment_and_without_secrets(
    tmp_path: Path, option: str
) -> None:
    path = tmp_path / "n1.yml"
    path.write_text(FILE)
    variables = {"RAFTHA_BOOTSTRAP__DCS__TTL": "7", "RAFTHA_RESTAPI__KEYFILE_PASSWORD": "h1dden"}
    told = CliRunner(env=variables).invoke(cli, ["check-config", option, str(path)])

    assert told.exit_code == Exit.DONE
    assert "good; member n1 of cluster main" in told.stderr
    shown = yaml.safe_load(told.stdout)
    assert shown["bootstrap"] == {
        "dcs": {"ttl": 7},
        "method": "backup",
        "backup": {
            "command": "/x/restore --limit 5",
            "repo_secret": "***",
            "path": "s3://me:***@depot/",
        },
    }
    assert shown["restapi"]["authentication"] == {"username": "operator", "password": "***"}
    assert shown["restapi"]["server_tokens"] == "minimal"
    assert shown["postgresql"]["callbacks"] == {"on_start": "/x/tell --token=***"}
    for secret in ("s3cret", "gr34t", "h1dden"):
        assert secret not in told.stdout


def test_every_option_that_is_a_secret_is_known_by_its_name() -> None:
    secrets = [o.path for o in NODE_SCHEMA.options.values() if o.kind is Kind.SECRET]
    assert secrets
    shown = {path: censored(path.rpartition(".")[2], "'s3cret") for path in secrets}
    assert set(shown.values()) == {STARS}, shown


def test_a_bad_file_is_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "n1.yml"
    path.write_text(FILE.replace("7001", "70010"))
    told = CliRunner().invoke(cli, ["check-config", "-p", str(path)])
    assert (told.exit_code, told.stdout) == (Exit.USAGE, "")
