"""What a person gets wrong on the command line of a real cluster: each time one clear message, the
exit code that the page of the commands promises, and nothing changed, neither in the store nor in
who leads. First with a cluster that is well, then without a leader, then without a majority."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from click.testing import CliRunner

from raftha.cli.exits import Exit
from raftha.cli.main import cli
from tests.certificates import make_certificates
from tests.integration.harness import ClusterHarness
from tests.integration.node_support import hang_up, rewrite
from tests.integration.scene import NewCluster, report, wait_for_sync
from tests.integration.test_tls import TlsHarness

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

Row = tuple[str, Exit, str]
START_S: Final = 120.0
LIMIT_S: Final = 20.0
OF_THE_MOMENT: Final = ("leader", "status", "members/")
"""Keys that a healthy cluster writes by itself."""

WELL: Final[tuple[Row, ...]] = (
    *(
        (words, Exit.USAGE, "the cluster is test, not elsewhere")
        for words in (
            "list elsewhere",
            "history elsewhere",
            "pause elsewhere",
            "switchover elsewhere --yes",
            "edit-config elsewhere -s ttl=9 --yes",
        )
    ),
    ("flush elsewhere switchover --yes", Exit.USAGE, "cluster test, not of elsewhere"),
    ("remove test --confirm test", Exit.REFUSED, "is in use by another raftha process"),
    ("member add n4 127.0.0.1:1 --yes", Exit.REFUSED, "no n4 at 127.0.0.1:1 is in touch"),
    ("member add n4 127.0.0.1:1 --dry-run", Exit.REFUSED, "no n4 at 127.0.0.1:1 is in touch"),
    ("member remove nobody --yes", Exit.REFUSED, "there is no nobody"),
    ("member replace STANDBY --yes", Exit.REFUSED, "is alive: stop the old node first"),
    ("switchover --candidate nobody --yes", Exit.REFUSED, "nobody is no member of test"),
    ("switchover --leader STANDBY --yes", Exit.REFUSED, "the leader is LEADER"),
    ("switchover test --yes --scheduled 2031-05-17T03:00", Exit.USAGE, "has no time zone"),
    ("switchover --yes --scheduled 2001-05-17T03:00Z", Exit.USAGE, "has passed"),
    ("switchover --leader nobody --yes", Exit.REFUSED, "nobody is no member of test"),
    ("failover --candidate nobody --yes", Exit.REFUSED, "nobody is no member of test"),
    ("failover --yes", Exit.USAGE, "add --candidate NAME"),
    ("failover --candidate LEADER --yes", Exit.REFUSED, "LEADER is the leader already"),
    ("restart test nobody --yes", Exit.REFUSED, "there is no member nobody"),
    ("restart --any --pg-version 9.6 --yes", Exit.DONE, "run no PostgreSQL before 9.6."),
    ("restart --yes --scheduled 2031-05-17T03:00", Exit.USAGE, "has no time zone"),
    ("restart --yes --scheduled 2001-05-17T03:00Z", Exit.USAGE, "has passed"),
    ("restart nobody --yes --scheduled 2031-05-17T03:00Z", Exit.REFUSED, "no member nobody"),
    ("reinit nobody --yes", Exit.REFUSED, "there is no member nobody"),
    ("version nobody", Exit.REFUSED, "there is no member nobody"),
    ("reinit LEADER --yes", Exit.REFUSED, "LEADER is the leader: hand over first"),
    ("reload nobody --yes", Exit.REFUSED, "there is no member nobody"),
    ("flush restart nobody --yes", Exit.REFUSED, "there is no member nobody"),
    ("resume", Exit.REFUSED, "the cluster is not paused"),
    ("start", Exit.REFUSED, "the cluster is not stopped"),
    ("edit-config -s ttll=5 --yes", Exit.REFUSED, "did you mean ttl?"),
    ("edit-config -s ttl=[ --yes", Exit.USAGE, "is not valid YAML"),
    ("edit-config --apply BROKEN --yes", Exit.USAGE, "broken.yml:3: is not valid YAML"),
    ("edit-config -p work_mem=lots --yes", Exit.REFUSED, 'invalid value for parameter "work_mem"'),
    ("edit-config -p nosuch=1 --yes", Exit.REFUSED, "unrecognized configuration parameter"),
    ("edit-config --replace EMPTY --yes", Exit.USAGE, "is empty: write what is to change"),
    ("query -m nobody --command x", Exit.REFUSED, "there is no member nobody"),
    ("query --command x -U nobody", Exit.REFUSED, "asks for a password"),
    ("dsn -m nobody", Exit.REFUSED, "there is no member nobody"),
    ("store get nosuch", Exit.REFUSED, "no key begins with /raftha/test/nosuch"),
    ("store watch --after 999999", Exit.REFUSED, "there is no revision 999999 yet"),
    ("why nobody", Exit.REFUSED, "there is no node nobody"),
)
CHANGING: Final = (
    "pause",
    "resume",
    "stop --yes",
    "start",
    "switchover --yes",
    "switchover --yes --scheduled 2031-05-17T03:00Z",
    "failover --candidate STANDBY --yes",
    "restart STANDBY --yes",
    "restart STANDBY --yes --scheduled 2031-05-17T03:00Z",
    "reinit STANDBY --yes",
    "reload STANDBY --yes",
    "edit-config -s ttl=9 --yes",
    "member add n4 127.0.0.1:1 --yes",
    "member replace STANDBY --yes",
    "member remove STANDBY --yes",
)
UNKNOWN: Final[tuple[Row, ...]] = tuple(
    (words, Exit.REFUSED, "needs a client certificate that restapi.cafile has signed")
    for words in CHANGING
)
SHUT_OUT: Final[tuple[Row, ...]] = tuple(
    (words, Exit.UNREACHABLE, "the certificate shown") for words in CHANGING
)
LEADERLESS: Final[tuple[Row, ...]] = (
    ("switchover --yes", Exit.REFUSED, "the cluster has no leader that could hand over"),
    ("switchover --yes --scheduled 2031-05-17T03:00Z", Exit.REFUSED, "has no leader"),
    ("failover --candidate LEFT --yes", Exit.REFUSED, "its tags forbid it"),
    ("restart LEFT --yes", Exit.REFUSED, "there is no leader"),
    ("reinit LEFT --yes", Exit.REFUSED, "there is no leader to make a copy of"),
    ("status", Exit.DONE, "`raftha reload` it: raftha failover refuses a member with such a tag"),
    ("dsn -r replica", Exit.REFUSED, "no replica that streams now"),
    ("edit-config -p work_mem=lots --yes", Exit.REFUSED, "invalid value for parameter"),
    ("dsn", Exit.REFUSED, "there is no leader now"),
    ("query --command x", Exit.REFUSED, "there is no leader now"),
)
CUT_OFF: Final[tuple[Row, ...]] = (
    *(
        (words, Exit.UNREACHABLE, "no node that answers is in touch with a majority")
        for words in (
            "pause",
            "switchover --yes",
            "failover --candidate LEFT --yes",
            "restart LEFT --yes",
            "switchover --yes --scheduled 2031-05-17T03:00Z",
            "restart LEFT --yes --scheduled 2031-05-17T03:00Z",
            "reinit LEFT --yes",
            "flush switchover --yes",
            "resume",
            "start",
            "stop --yes",
            "member add n4 127.0.0.1:1 --yes",
            "member replace STANDBY --yes",
            "member remove LEFT --yes",
        )
    ),
    ("edit-config -s ttl=9 --yes", Exit.UNREACHABLE, "majority"),
    ("store get", Exit.UNREACHABLE, "no node tells what the store holds"),
    ("dsn", Exit.REFUSED, "nobody can say who is leader now"),
    ("query --command x", Exit.REFUSED, "nobody can say who is leader now"),
    ("reload LEFT --yes", Exit.DONE, "the file was read again"),
)


def said(code: Exit, *words: str) -> str:
    """What a command says, which ends so, on one line. It runs in this process, for a start of
    Python costs more than all that it does."""
    done = CliRunner(env={"RAFTHA_URL": ""}).invoke(cli, words)
    assert isinstance(done.exception, SystemExit | None), (words, done.exception)
    assert done.exit_code == code, (words, done.output)
    return " ".join(done.output.split())


def check(rows: tuple[Row, ...], place: tuple[str, ...], **names: str) -> None:
    for words, code, expected in rows:
        for name, value in names.items():
            words, expected = words.replace(name, value), expected.replace(name, value)
        option = ("--config-file", *place[1:]) if place[0] == "-c" else place
        assert expected in said(code, *words.split(), *option), words


def kept(cluster: ClusterHarness) -> dict[str, int]:
    """The revision of each key that changes only when somebody asks for it."""
    told = raftha_json(cluster, "store", "list")
    return {
        entry["key"]: entry["mod_revision"]
        for entry in told["entries"]
        if not entry["key"].removeprefix("/raftha/test/").startswith(OF_THE_MOMENT)
    }


def raftha_json(cluster: ClusterHarness, *words: str) -> Any:
    file = str(cluster.nodes["n1"].file)
    return json.loads(said(Exit.DONE, *words, "-c", file, "-o", "json"))


def check_strangers(cluster: ClusterHarness, folder: Path, standby: str) -> None:
    """Certificates that are not good, the wrong scheme, and wrong passwords."""
    url = f"https://{cluster.url('n1').partition('//')[2]}"
    with_dates = partial(make_certificates, begin=timedelta(days=-2), end=timedelta(days=-1))
    authority = cluster.nodes["n1"].file.parent
    options = yaml.safe_load(cluster.nodes["n1"].file.read_text("utf-8"))
    no_server = (("pause", Exit.UNREACHABLE, "its certificate is not accepted: "),)
    no_file = (("pause", Exit.USAGE, "missing/client.pem cannot be read by user"),)
    for name, rows in (
        ("expired", SHUT_OUT),
        ("forged", SHUT_OUT),
        ("strange", no_server),
        ("missing", no_file),
    ):
        place = folder / name
        place.mkdir()
        if name == "expired":
            with_dates(place, "client", authority=authority)
        elif name != "missing":
            make_certificates(place, "client")
        files = {"certfile": "client.pem", "keyfile": "client.key", "cafile": "ca.pem"}
        options["restapi"].update({key: str(place / file) for key, file in files.items()})
        if name == "forged":
            options["restapi"]["cafile"] = str(authority / "ca.pem")
        (place / "n1.yml").write_text(yaml.safe_dump(options), "utf-8")
        check(rows, ("-c", str(place / "n1.yml")), STANDBY=standby)
    plain = url.replace("https", "http")
    assert "and no https?" in said(Exit.UNREACHABLE, "pause", "--url", plain)
    assert "its certificate is not accepted" in said(Exit.UNREACHABLE, "pause", "--url", url)
    check(UNKNOWN, ("-k", "--url", url), STANDBY=standby)
    wrong = url.replace("//", "//operator:wrong@")
    known = ("-c", str(cluster.nodes["n1"].file))
    assert "those given are not right" in said(Exit.REFUSED, "pause", *known, "--url", wrong)


def edited(place: tuple[str, ...], folder: Path, script: str) -> str:
    """What `edit-config` says to somebody at a terminal, whose editor does this to its file."""
    editor = folder / "editor.sh"
    editor.write_text(f"#!/bin/sh\n{script}\n", "utf-8")
    editor.chmod(0o755)
    terminal, end = os.openpty()
    words = (sys.executable, "-m", "raftha", "edit-config", *place, "--yes")
    done = subprocess.run(
        words,
        stdin=end,
        capture_output=True,
        env={**os.environ, "EDITOR": str(editor), "VISUAL": "", "TMPDIR": str(folder)},
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    os.close(terminal)
    os.close(end)
    return f"{done.returncode} " + " ".join((done.stdout + done.stderr).split())


def check_editor(cluster: ClusterHarness, folder: Path, place: tuple[str, ...]) -> None:
    """No YAML, and settings that somebody else changes while the editor is open."""
    before = kept(cluster)
    told = edited(place, folder, r"""printf 'ttl: 9\nslots: [\n' > "$1" """)
    assert told.startswith(f"{Exit.USAGE:d} "), told
    assert "is not valid YAML" in told
    assert "what you wrote is in " in told
    assert kept(cluster) == before

    quicker = f"{sys.executable} -m raftha edit-config {' '.join(place)} -s loop_wait=0.7 --yes"
    told = edited(place, folder, f"""sed -i 's/^ttl: .*/ttl: 9/' "$1"; {quicker} >&2""")
    assert told.startswith(f"{Exit.REFUSED:d} "), told
    assert "the settings have been changed meanwhile" in told
    (file,) = (Path(words.split(":")[0]) for words in told.split("what you wrote is in ")[1:])
    assert "ttl: 9\n" in file.read_text("utf-8")
    settings = yaml.safe_load(cluster_settings(place))
    assert (settings["loop_wait"], settings["ttl"]) == (0.7, 5), "whoever was quicker wins"


def cluster_settings(place: tuple[str, ...]) -> str:
    done = CliRunner(env={"RAFTHA_URL": ""}).invoke(cli, ["show-config", *place])
    return done.stdout


def test_whatever_is_wrong_is_said_and_nothing_changes(
    new_cluster: NewCluster, tmp_path: Path
) -> None:
    cluster = new_cluster(kind=TlsHarness, ttl=5.0)
    cluster.start_all()
    leader = cluster.wait_until_whole(START_S)
    wait_for_sync(cluster)
    standby, left = (name for name in cluster.nodes if name != leader)
    own = ("-c", str(cluster.nodes[left].file))
    (tmp_path / "empty.yml").write_text("---\n", "utf-8")
    (tmp_path / "broken.yml").write_text("ttl: 9\nslots: [\n", "utf-8")
    files = {name.upper(): str(tmp_path / f"{name}.yml") for name in ("empty", "broken")}
    before = kept(cluster)

    check(WELL, own, LEADER=leader, STANDBY=standby, **files)
    check_strangers(cluster, tmp_path, standby)

    assert kept(cluster) == before
    check_editor(cluster, tmp_path, own)
    assert cluster.wait_until_whole() == leader
    check_without_leader(cluster, leader, left, own)
    check_without_majority(cluster, standby, left, own)


def check_without_leader(
    cluster: ClusterHarness, leader: str, left: str, own: tuple[str, ...]
) -> None:
    """Nobody takes over, because nobody may."""
    for name in cluster.nodes:
        if name != leader:
            rewrite(cluster, name, lambda options: options.update(tags={"nofailover": True}))
            hang_up(cluster, name)
    cluster.wait_for(
        lambda: sum("nofailover" in m["tags"] for m in report(cluster)["members"]) == 2,
        LIMIT_S,
        "nobody may take over",
    )
    cluster.kill(leader)
    cluster.wait_for(lambda: report(cluster)["leader"] is None, LIMIT_S, "nobody leads")
    check(LEADERLESS, own, LEFT=left)
    assert "PostgreSQL is down everywhere" in said(Exit.DONE, "stop", "--yes", *own)
    told = said(Exit.UNKNOWN, "start", *own)
    assert "waiting for a leader outcome unknown: there is no leader: nothing is writable" in told


def check_without_majority(
    cluster: ClusterHarness, standby: str, left: str, own: tuple[str, ...]
) -> None:
    cluster.kill(standby)
    cluster.wait_for(lambda: is_cut_off(cluster), LIMIT_S, "nobody has a majority")
    check(CUT_OFF, own, LEFT=left, STANDBY=standby)


def is_cut_off(cluster: ClusterHarness) -> bool:
    told = cluster.status()
    return told is not None and told["majority"] is False
