"""`raftha query`: whom it asks, in which form it prints, and how it ends; without a server."""

from __future__ import annotations

import json
import socket
from datetime import date
from decimal import Decimal
from pathlib import Path
from threading import Thread

import pytest
import yaml
from msgspec.structs import replace

from raftha.cli.exits import Exit
from raftha.cli.query import rendered
from raftha.pg.session import Table
from tests.unit.api.fake_cluster import cluster_report, with_url, without_majority
from tests.unit.api.fake_responder import FakeResponder
from tests.unit.cli.test_restart_command import raftha, responder, url

__all__ = ("responder", "url")

TABLE = Table(
    columns=("id", "name", "born", "size"),
    rows=((1, "a\tb", date(2026, 11, 27), Decimal("1.50")), (2, None, None, Decimal(7))),
    status="SELECT 2",
)


def test_the_rows_are_given_in_every_form() -> None:
    rows = [
        {"id": 1, "name": "a\tb", "born": "2026-11-27", "size": 1.5},
        {"id": 2, "name": None, "born": None, "size": 7},
    ]
    assert json.loads(rendered(TABLE, "json")) == rows
    assert yaml.safe_load(rendered(TABLE, "yaml")) == rows
    assert rendered(TABLE, "tsv").splitlines()[1] == "1\ta\\tb\t2026-11-27\t1.5"
    lines = rendered(TABLE, "table").splitlines()
    assert lines[0].split() == ["id", "name", "born", "size"]
    assert lines[-1] == "(2 rows)"
    assert rendered(replace(TABLE, rows=TABLE.rows[:1]), "table").endswith("(1 row)\n")


def test_what_returns_no_rows_is_told_by_its_tag() -> None:
    done = Table(columns=(), rows=(), status="UPDATE 3")
    assert rendered(done, "table") == "UPDATE 3\n"
    assert json.loads(rendered(done, "json")) == {"status": "UPDATE 3"}


def closed(responder: FakeResponder, url: str) -> None:
    """Nobody listens where the servers are said to be."""
    report = cluster_report()
    members = tuple(replace(m, address="127.0.0.1:9") for m in report.members)
    responder.cluster_report = with_url(replace(report, members=members), url)


def test_a_server_that_does_not_answer_is_named(
    responder: FakeResponder, url: str, tmp_path: Path
) -> None:
    closed(responder, url)
    script = tmp_path / "one.sql"
    script.write_text("SELECT 1", encoding="utf-8")
    for words, name in (
        (("-c", "SELECT 1"), "n1"),
        (("-r", "replica", "--file", str(script)), "n2"),
        (("-m", "n3", "-c", "SELECT 1"), "n3"),
    ):
        told = raftha("query", "--url", url, "-U", "app", *words)
        assert told.exit_code == Exit.UNREACHABLE
        assert told.stderr.startswith(f"{name} at 127.0.0.1:9: PostgreSQL did not answer")


def test_a_password_that_is_wanted_and_was_not_given_is_asked_for(
    responder: FakeResponder, url: str
) -> None:
    """The server is there: it is no lack of an answer."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        at = "{}:{}".format(*server.getsockname())
        report = cluster_report()
        members = tuple(replace(m, address=at) for m in report.members)
        responder.cluster_report = with_url(replace(report, members=members), url)
        Thread(target=_want_a_password, args=(server,), daemon=True).start()
        told = raftha("query", "--url", url, "-U", "app", "-c", "SELECT 1")
    assert told.exit_code == Exit.REFUSED, told.stderr
    assert "PostgreSQL asks for a password: set PGPASSWORD" in told.stderr


def _want_a_password(server: socket.socket) -> None:
    """Refuse encryption, and ask each client for its password in clear text."""
    while True:
        try:
            client, _ = server.accept()
        except OSError:
            return
        with client:
            while request := client.recv(1024):
                wants_tls = request[4:8] in (b"\x04\xd2\x16\x2f", b"\x04\xd2\x16\x30")
                client.sendall(b"N" if wants_tls else b"R\x00\x00\x00\x08\x00\x00\x00\x03")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "say what to run"),
        (("-c", "SELECT 1", "--file", "-"), "say what to run"),
        (("-c", "SELECT 1", "-m", "n1", "-r", "leader"), "leave --role out"),
        (("-c", "SELECT 1", "--format", "xml"), "xml"),
    ],
)
def test_wrong_words_are_a_usage_error(url: str, words: tuple[str, ...], said: str) -> None:
    told = raftha("query", "--url", url, *words)
    assert (told.exit_code, said in told.stderr) == (Exit.USAGE, True)


def test_nobody_is_what_was_asked_for(responder: FakeResponder, url: str) -> None:
    sql = ("-c", "SELECT 1")
    wrong = raftha("query", "--url", url, *sql, "-m", "n9")
    assert (wrong.exit_code, "there is no member n9" in wrong.stderr) == (Exit.REFUSED, True)
    assert raftha("query", "--url", "http://127.0.0.1:9", *sql).exit_code == Exit.UNREACHABLE
    responder.cluster_report = with_url(replace(cluster_report(), leader=None), url)
    assert raftha("query", "--url", url, *sql).exit_code == Exit.REFUSED
    responder.cluster_report = with_url(without_majority(), url)
    cut_off = raftha("query", "--url", url, *sql)
    assert (cut_off.exit_code, "majority" in cut_off.stderr) == (Exit.REFUSED, True)
