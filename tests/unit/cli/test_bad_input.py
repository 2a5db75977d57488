"""What a person can get wrong: the message, the exit code, and that nothing was asked for.

Each command that asks a cluster is tried with each wrong place; what is wrong with its own words
stands in a table.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import click
import pytest
from click.testing import CliRunner, Result

from raftha.api.server import ApiServer
from raftha.cli.exits import Exit
from raftha.cli.main import cli
from raftha.clock import SystemClock
from raftha.model.settings import BasicAuth, Secret
from tests.unit.api.fake_cluster import cluster_report, with_url
from tests.unit.api.fake_responder import FakeResponder, rest_config

NOWHERE = "http://127.0.0.1:1"
FILE = """\
{scope: other, name: w1, restapi: {listen: "127.0.0.1:1"},
raft: {self_addr: "127.0.0.1:1", partner_addrs: ["127.0.0.1:2"], data_dir: /nowhere}}
"""
TLS = "certfile: /nowhere/n1.pem, keyfile: /nowhere/n1.key, cafile: /nowhere/ca.pem"

LOOKING = (
    ("status",),
    ("list", "-e"),
    ("topology",),
    ("history",),
    ("history", "--events"),
    ("show-config",),
    ("member", "list"),
    ("dsn",),
    ("uri",),
    ("query", "--command", "SELECT 1"),
    ("why",),
    ("doctor",),
)
GUARDED = (
    ("store", "get"),
    ("store", "list"),
    ("store", "watch"),
    ("edit-config", "-s", "ttl=8", "--yes"),
    ("switchover", "--yes"),
    ("failover", "--candidate", "n2", "--yes"),
    ("restart", "n2", "--yes"),
    ("reload", "--yes"),
    ("reinit", "n2", "--yes"),
    ("pause",),
    ("resume",),
    ("stop", "--yes"),
    ("start",),
    ("member", "add", "n4", "10.0.0.4:2380", "--yes"),
    ("member", "remove", "n3", "--yes"),
    ("member", "replace", "n3", "--yes"),
)
"""What wants the password."""
OTHERS = (("flush", "switchover", "--yes"),)
ALONE = {"run", "witness", "check-config", "recover", "remove", "version", "diag"}
"""What asks nobody, or prints something whoever answers."""


@pytest.fixture(scope="module")
def node() -> Iterator[tuple[FakeResponder, str]]:
    responder = FakeResponder()
    auth = BasicAuth(username="admin", password=Secret("geheim"))
    server = ApiServer(rest_config(authentication=auth), responder, SystemClock())
    yield responder, str(server.start())
    server.stop()


@pytest.fixture
def responder(node: tuple[FakeResponder, str]) -> FakeResponder:
    responder, address = node
    responder.cluster_report = with_url(cluster_report(), f"http://{address}")
    return responder


@pytest.fixture
def url(node: tuple[FakeResponder, str], responder: FakeResponder) -> str:
    assert responder is node[0]
    return f"http://admin:geheim@{node[1]}"


@pytest.fixture(scope="module")
def silent() -> Iterator[str]:
    """Whoever listens here closes each connection without a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def close_all() -> None:
            try:
                while True:
                    listener.accept()[0].close()
            except OSError:
                return

        thread = Thread(target=close_all, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def raftha(*arguments: str) -> Result:
    told = CliRunner(env={"RAFTHA_URL": "", "HOME": "/nowhere"}).invoke(cli, arguments)
    assert isinstance(told.exception, SystemExit | None), (arguments, told.exception)
    return told


def said(told: Result) -> str:
    return " ".join(told.stderr.split())


def untouched(responder: FakeResponder) -> bool:
    asked = (responder.requests, responder.changes.asked, responder.pauses.asked)
    return not any(asked) and responder.reloads == 0 and responder.wishes.asked == []


def test_the_tables_name_every_command() -> None:
    tried = {row[0] if row[0] not in ("member", "store") else row[:2] for row in GUARDED + LOOKING}
    tried |= {row[0] for row in OTHERS}
    there: set[object] = set()
    for name, command in cli.commands.items():
        inner = command.commands if isinstance(command, click.Group) else {}
        there |= {(name, second) for second in inner} or {name}
    assert there - tried - ALONE == set()


@pytest.mark.parametrize("verb", [*LOOKING, *GUARDED, *OTHERS], ids=" ".join)
def test_no_command_begins_where_its_place_is_wrong(
    responder: FakeResponder, tmp_path: Path, verb: tuple[str, ...]
) -> None:
    (tmp_path / "broken.yml").write_text("scope: [x", "utf-8")
    for option, place, code, words in (
        ("--config-file", f"{tmp_path}/broken.yml", Exit.USAGE, "broken.yml:1: is not valid YAML"),
        ("--config-file", f"{tmp_path}/none.yml", Exit.USAGE, "No such file"),
        ("--url", "ftp://host", Exit.USAGE, "--url: is not an address: 'ftp://host'"),
        ("--url", NOWHERE, Exit.UNREACHABLE, f"{NOWHERE}: Connection refused"),
    ):
        told = raftha(*verb, option, place)
        assert (told.exit_code, told.stdout) == (code, ""), (place, told.output)
        assert words in said(told)
    assert untouched(responder)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "scope: is missing"),
        (b"scope: \xff", "save it as UTF-8"),
        (FILE.replace("listen:", f"{TLS}, listen:").encode(), "n1.pem cannot be read by user"),
    ],
)
def test_a_file_that_is_wrong_is_a_wrong_use(tmp_path: Path, text: bytes, words: str) -> None:
    (tmp_path / "n1.yml").write_bytes(text)
    told = raftha("status", "-c", str(tmp_path / "n1.yml"))
    assert told.exit_code == Exit.USAGE, told.output
    assert words in said(told)
    (tmp_path / "empty").mkdir()
    told = raftha("status", "-c", str(tmp_path / "empty"))
    assert (told.exit_code, "sees no file *.yml" in told.stderr) == (Exit.USAGE, True)


@pytest.mark.parametrize("address", ["http://", "", "http://h:99999", "h:x", "http://[::1"])
def test_what_is_no_address_is_a_wrong_use(address: str) -> None:
    for told in (raftha("status", "--url", address), raftha("doctor", "--url", address)):
        assert told.exit_code == Exit.USAGE, told.output
        assert "--url: is not an address" in said(told)
        assert "http://host:port" in said(told)


def test_an_address_that_does_not_answer_as_it_should_is_told_in_words(
    url: str, silent: str
) -> None:
    for address, words in (
        (f"https://{url.rpartition('@')[2]}", "it does not speak TLS"),
        (f"http://{silent}", "it closed the connection without an answer"),
        (f"https://{silent}", "it broke off the TLS connection"),
    ):
        told = raftha("status", "--url", address)
        assert (told.exit_code, told.stdout) == (Exit.UNREACHABLE, ""), (address, told.output)
        assert words in said(told)
        assert "[" not in told.stderr, "no numbers or names of a library"


def test_the_password_in_an_address_opens_every_node(responder: FakeResponder, url: str) -> None:
    assert raftha("reload", "--yes", "--url", url).exit_code == Exit.DONE
    assert responder.reloads == 3
    responder.reloads = 0


@pytest.mark.parametrize("verb", GUARDED, ids=" ".join)
def test_whoever_gives_no_password_or_a_wrong_one_is_told_where_to_put_it(
    responder: FakeResponder, url: str, verb: tuple[str, ...]
) -> None:
    own = url.rpartition("@")[2]
    for address, words in (
        (f"http://{own}", "needs the name and password of restapi.authentication"),
        (f"http://admin:no@{own}", "those given are not right"),
    ):
        told = raftha(*verb, "--url", address)
        assert told.exit_code == Exit.REFUSED, told.output
        assert words in said(told)
        assert "use a node's file with -c FILE" in said(told)
        assert said(told).count("(401)") == 1, "once for all members"
    assert untouched(responder)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ("status elsewhere", Exit.UNREACHABLE, "a node of the cluster main, not of elsewhere"),
        ("switchover elsewhere --yes", Exit.UNREACHABLE, "not of elsewhere"),
        ("pause elsewhere", Exit.UNREACHABLE, "not of elsewhere"),
        ("restart elsewhere --yes", Exit.REFUSED, "there is no member elsewhere"),
        ("reinit elsewhere n2 --yes", Exit.REFUSED, "there is no member elsewhere"),
        ("reinit main --yes", Exit.REFUSED, "say which member of main"),
        ("reinit n1 --yes", Exit.REFUSED, "n1 is the leader: hand over first"),
        ("version nobody", Exit.REFUSED, "there is no member nobody"),
        ("flush main switchover n2 --yes", Exit.USAGE, "leave the members out"),
        ("remove main", Exit.USAGE, "which node? Give its file"),
        ("demote-cluster", Exit.USAGE, "left out in this version"),
        ("list -e -o json", Exit.USAGE, "-e and -t are of the table"),
        ("history --last 5", Exit.USAGE, "add --events"),
        ("why --around 5", Exit.USAGE, "add --at TIME"),
        ("store watch --after 99", Exit.REFUSED, "there is no revision 99 yet: the newest is"),
        ("member add -n4 10.0.0.4:1 --yes", Exit.USAGE, "No such option"),
        ("member add n:4 10.0.0.4:1 --yes", Exit.USAGE, "'n:4' is no name of a node: use 1 to"),
        ("query --command NOTHING", Exit.USAGE, "there is nothing to run"),
        ("query --command x --password", Exit.USAGE, "nobody is there to type the password"),
        ("query --command x --delimiter ,", Exit.USAGE, "--delimiter is a character or more"),
        ("query --file LATIN", Exit.USAGE, "is not UTF-8 text"),
        ("query --file EMPTY", Exit.USAGE, "there is nothing to run"),
        ("edit-config --replace EMPTY --yes", Exit.USAGE, "is empty: write what is to change"),
        ("edit-config --apply EMPTY --yes", Exit.USAGE, "is empty: write what is to change"),
        ("edit-config --replace - --yes", Exit.USAGE, "input: is empty"),
        ("edit-config --apply LATIN --yes", Exit.USAGE, "is not UTF-8 text"),
        ("edit-config -s ..=5 --yes", Exit.USAGE, "is no path such as ttl"),
        ("diag --url ftp://x --to ARCHIVE", Exit.DONE, "nobody is asked: --url: is not an"),
    ],
)
def test_wrong_words_are_refused_with_what_to_do(
    responder: FakeResponder,
    url: str,
    tmp_path: Path,
    arguments: str,
    code: Exit,
    words: str,
) -> None:
    (tmp_path / "empty").write_text("\n---\n" if "edit-config" in arguments else "\n", "utf-8")
    (tmp_path / "latin").write_bytes(b"SELECT '\xff'")
    places = {"EMPTY": f"{tmp_path}/empty", "LATIN": f"{tmp_path}/latin", "NOTHING": ""}
    places["ARCHIVE"] = f"{tmp_path}/a.tgz"
    before = dict(responder.settings.document)

    told = raftha("--url", url, *(places.get(word, word) for word in arguments.split(" ")))

    assert told.exit_code == code, told.output
    assert words in said(told)
    assert untouched(responder)
    assert responder.settings.document == before
