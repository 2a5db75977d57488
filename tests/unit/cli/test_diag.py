"""`raftha diag` packs everything but secrets: they are planted wherever one could be."""

from __future__ import annotations

import base64
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from click.testing import CliRunner, Result
from msgspec.structs import replace

from raftha.api.server import ApiServer
from raftha.cli.censor import Censor
from raftha.cli.diag import LONGEST_BYTES
from raftha.cli.exits import Exit
from raftha.cli.main import cli
from raftha.clock import SystemClock
from raftha.model.report import Notice
from raftha.model.settings import BasicAuth, Secret
from tests.unit.api.fake_cluster import cluster_report, with_url
from tests.unit.api.fake_responder import FakeResponder, rest_config

REST, SUPER, REPLICATION, REWIND = "r3st: \"p'w", "sup3rgeheim/+", "repl1kat0r%", "rew1nd-pw"
ENVIRONMENT, KEY, URL = "env-s3cret", "c2VjcmV0LWtleS1vZi1yYWZ0", "ur1-passw0rd"
ALL = (REST, SUPER, REPLICATION, REWIND, ENVIRONMENT, KEY, URL)
AUTH = BasicAuth(username="admin", password=Secret(REST))


@pytest.fixture(scope="module")
def node() -> Iterator[tuple[FakeResponder, str]]:
    responder = FakeResponder()
    server = ApiServer(rest_config(authentication=AUTH), responder, SystemClock())
    url = f"http://{server.start()}"
    leak = Notice(subject="n1", what=f"conninfo: password={REPLICATION}", remedy=REST)
    responder.cluster_report = replace(with_url(cluster_report(), url), problems=(leak,))
    yield responder, url
    server.stop()


@pytest.fixture
def file(node: tuple[FakeResponder, str], tmp_path: Path) -> Path:
    """A node's file and logs full of secrets, in each form in which programs write them."""
    run = tmp_path / "raft" / "run"
    run.mkdir(parents=True)
    (tmp_path / "raft.key").write_text(KEY + "\n")
    (run / "pgpass").write_text(f"*:*:*:replicator:{REPLICATION}\n")
    pem = f"-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMG\n{KEY}\n-----END PRIVATE KEY-----\n"
    basic = base64.b64encode(f"admin:{REST}".encode()).decode()
    (run / "postgresql.log").write_text(
        f"ERROR: ALTER ROLE app PASSWORD 'unknown-to-us'\nprimary_conninfo password={REPLICATION}\n"
        f"postgresql://app:{quote(SUPER, safe='')}@10.0.0.1/db and https://x:{URL}@host/\n"
        f"Authorization: Basic {basic}\nSCRAM-SHA-256$4096:c2FsdA==$stored:server\n{pem}the end\n"
    )
    (run / "guardian.log").write_text(
        f"argv: --token=abcdef12 {REWIND}\nsaid {ENVIRONMENT} {basic}\n"
    )
    port = node[1].rpartition(":")[2]
    path = tmp_path / "n1.yml"
    path.write_text(
        f"scope: main\nname: n1\n# old: {SUPER}\n"
        "raft:\n  self_addr: 127.0.0.1:1\n  allow_tmpfs: true\n"
        f"  data_dir: {tmp_path}/raft\n  key_file: {tmp_path}/raft.key\n"
        f"restapi:\n  listen: 127.0.0.1:{port}\n"
        f"  authentication:\n    username: admin\n    password: {_yaml(REST)}\n"
        f"postgresql:\n  listen: 127.0.0.1:5432\n  data_dir: {tmp_path}/pg\n  authentication:\n"
        f"    superuser: {{username: postgres, password: {_yaml(SUPER)}}}\n"
        f"    replication: {{username: replicator, password: {_yaml(REPLICATION)}}}\n"
        f"    rewind: {{username: rewinder, password: {_yaml(REWIND)}}}\n"
    )
    return path


def _yaml(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def raftha(*arguments: str, **more: str) -> Result:
    environ = {"RAFTHA_URL": "", "HOME": "/nonexistent", **more}
    return CliRunner(env=environ).invoke(cli, arguments)


def contents(path: Path) -> dict[str, str]:
    with tarfile.open(path) as archive:
        return {
            name.partition("/")[2]: found.read().decode()
            for name in archive.getnames()
            if (found := archive.extractfile(name)) is not None
        }


def test_no_planted_secret_is_in_the_archive_and_everything_else_is(
    file: Path, tmp_path: Path
) -> None:
    target = tmp_path / "out.tar.gz"
    result = raftha(
        *("diag", "-c", str(file), "--to", str(target)),
        RAFTHA_RESTAPI__AUTHENTICATION__PASSWORD=REST,
        PGPASSWORD=ENVIRONMENT,
        RAFTHA_URL=f"http://admin:{URL}@10.0.0.1",
    )
    assert result.exit_code == Exit.DONE, result.output
    found = contents(target)
    whole = "\n".join(found.values())

    for secret in (*ALL, "unknown-to-us", "abcdef12", "MIGHAgEAMBMG", "c2FsdA"):
        for form in {secret, quote(secret, safe=""), secret.replace('"', '\\"')}:
            where = [name for name, text in found.items() if form in text]
            assert where == [], f"{form} is in {where}"
    assert base64.b64encode(f"admin:{REST}".encode()).decode()[4:-4] not in whole
    wanted = {"node/config.yml", "node/postgresql.log", "node/guardian.log", "nodes/n1/patroni"}
    assert wanted | {"nodes/n2/events", "machine/meminfo.txt"} <= set(found)
    assert "node/pgpass" not in found
    assert "self_addr: 127.0.0.1:1" in found["node/config.yml"]
    assert "the end" in found["node/postgresql.log"]
    assert '"state":"running"' in found["nodes/n1/patroni"]
    assert target.stat().st_mode & 0o077 == 0
    assert raftha("diag", "-c", str(file), "--to", str(target)).exit_code == Exit.REFUSED


def test_a_broken_file_and_a_silent_cluster_are_packed_all_the_same(tmp_path: Path) -> None:
    path, target = tmp_path / "n1.yml", tmp_path / "out.tar.gz"
    path.write_text("scope: main\nrestapi: {password: un1oaded-pw}\n")
    os.chdir(tmp_path)

    assert raftha("diag", "-c", str(path), "--to", str(target)).exit_code == Exit.DONE
    assert "scope: main" in contents(target)["node/config.yml"]
    assert "un1oaded-pw" not in contents(target)["node/config.yml"]
    target.unlink()
    nowhere = raftha("diag", "--url", "http://127.0.0.1:1", "--to", str(target))
    assert nowhere.exit_code == Exit.DONE
    assert "no node of the cluster answers" in contents(target)["cluster.txt"]


def test_of_a_long_log_the_end_is_packed(file: Path, tmp_path: Path) -> None:
    log = tmp_path / "raft" / "run" / "postgresql.log"
    log.write_text("x" * LONGEST_BYTES + "\nfirst whole line\nlast line\n")
    target = tmp_path / "out.tar.gz"
    raftha("diag", "-c", str(file), "--to", str(target))

    assert contents(target)["node/postgresql.log"] == "first whole line\nlast line\n"


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("password: geheim", "password: ***"),
        ('"password": "ge\\"heim", "x": 1', '"password": ***, "x": 1'),
        ("PGPASSWORD=geheim psql", "PGPASSWORD=*** psql"),
        ("ALTER USER x WITH PASSWORD 'it''s'", "ALTER USER x WITH PASSWORD ***"),
        ("postgres://u:geheim@h:1/d", "postgres://u:***@h:1/d"),
        ("http://10.0.0.1:8008/patroni", "http://10.0.0.1:8008/patroni"),
        ("password authentication failed for user", "password authentication failed for user"),
        ("Authorization: Basic YWRtaW46Z2VoZWlt", "Authorization: Basic ***"),
        ("-----BEGIN RSA PRIVATE KEY-----\ncut of", "***"),
    ],
)
def test_what_looks_like_a_secret_is_taken_out_and_other_words_stay(
    text: str, cleaned: str
) -> None:
    assert Censor(()).clean(text) == cleaned


def test_a_short_known_secret_does_not_shred_the_text() -> None:
    assert Censor(("a", "")).clean("a banana") == "a banana"
