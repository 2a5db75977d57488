"""A node's settings in several files of one directory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from raftha.cli.diag import pack
from raftha.clock import SystemClock
from raftha.config.load import load
from raftha.errors import ConfigError

FIRST = """\
scope: demo
name: n1
raft: {self_addr: "127.0.0.1:7001", partner_addrs: [], data_dir: raft, key_file: key}
restapi: {listen: "127.0.0.1:8001"}
postgresql:
  listen: 127.0.0.1:5999
  data_dir: data
  parameters: {work_mem: 5MB, max_connections: 60}
bootstrap: {dcs: {ttl: 6}}
"""
SECOND = """\
postgresql:
  parameters: {work_mem: 7MB}
  authentication: {superuser: {password: s3cret}}
bootstrap: {dcs: {ttl: null, loop_wait: 0.5}}
raft: {partner_addrs: ["127.0.0.1:7002", "127.0.0.1:7003"]}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "n1"
    folder.mkdir()
    for name, text in (
        ("50-own.yml", SECOND),
        ("00-all.yml", FIRST),
        (".99-left.yml", "scope: {"),
        ("99-old.yml~", "scope: {"),
    ):
        (folder / name).write_text(text)
        (folder / name).chmod(0o600)
    return folder


def test_sections_are_merged_in_the_order_of_the_names(folder: Path) -> None:
    loaded = load(folder, {"RAFTHA_BOOTSTRAP__DCS__LOOP_WAIT": "0.7"})
    config = loaded.config
    assert loaded.warnings == ()
    assert config.postgresql is not None
    assert config.postgresql.parameters == {"work_mem": "7MB", "max_connections": "60"}
    assert len(config.raft.partner_addrs) == 2
    assert config.raft.data_dir == folder / "raft"
    assert (config.bootstrap.dynamic.ttl, config.bootstrap.dynamic.loop_wait) == (5.0, 0.7)


def test_mistakes_are_told_with_the_file_in_which_they_are(folder: Path) -> None:
    (folder / "70-wrong.yml").write_text("restapi:\n  listen: nowhere\ntags: 7\n")
    with pytest.raises(ConfigError) as wrong:
        load(folder, {})
    assert [problem.where for problem in wrong.value.problems] == [
        "70-wrong.yml:2: restapi.listen",
        "70-wrong.yml:3: tags",
    ]
    (folder / "00-all.yml").write_text("- scope\n")
    with pytest.raises(ConfigError, match=r"00-all\.yml"):
        load(folder, {})
    for name in ("00-all.yml", "50-own.yml"):
        (folder / name).write_text("scope: [\n")
    with pytest.raises(ConfigError) as wrong:
        load(folder, {})
    assert [problem.where for problem in wrong.value.problems] == ["00-all.yml:2", "50-own.yml:2"]


def test_the_file_that_holds_passwords_is_the_one_that_nobody_else_may_read(folder: Path) -> None:
    (folder / "00-all.yml").chmod(0o644)
    assert load(folder, {}).warnings == ()
    (folder / "50-own.yml").chmod(0o644)
    (warning,) = load(folder, {}).warnings
    assert (warning.where, warning.remedy) == ("50-own.yml", f"chmod o-r {folder / '50-own.yml'}")


def test_no_file_is_no_setting(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="sees no file"):
        load(tmp_path, {})


def test_all_files_are_packed_for_others_without_secrets(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "diag.tar.gz"
    pack(None, folder, target, {}, SystemClock())
    packed = os.popen(f"tar -xzOf {target} --wildcards '*/node/config/*'").read()
    assert "max_connections: 60" in packed
    assert "work_mem: 7MB" in packed
    assert "s3cret" not in packed
