"""What a user of Patroni asks and types on an ordinary day, under Patroni's names: one cluster.

`docs/features.md` has the table of all of it; here is what no other test comes across.
"""

from __future__ import annotations

import http.client
import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from raftha.cli.exits import Exit
from tests.faults.test_scheduled import ahead
from tests.integration.asking import decoded
from tests.integration.harness import PASSWORD, ClusterHarness
from tests.integration.node_support import hang_up, rewrite
from tests.integration.node_support import raftha as run_alone
from tests.integration.scene import (
    NewCluster,
    check_quiet,
    postmaster_pid,
    raftha,
    report,
    sync_standbys,
    wait_for_sync,
)
from tests.integration.test_http import request

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

LIMIT_S: Final = 20.0
START_S: Final = 120.0
"""Of three nodes at once, on a machine that others use too."""

LOG_BYTES: Final = 10_000
BY_ROLE: Final[Mapping[str, tuple[int, int]]] = {
    # path: of the primary, of each standby of a quorum
    "/quorum": (503, 200),
    "/read-only-quorum": (200, 200),
    "/sync": (503, 503),
    "/synchronous": (503, 503),
    "/async": (503, 503),
    "/asynchronous": (503, 503),
    "/standby_leader": (503, 503),
    "/replica?replication_state=streaming": (503, 200),
    "/replica?replication_state=in+archive+recovery": (503, 503),
    "/replica?lag=10MB": (503, 200),
    "/read-only?lag=10MB": (200, 200),
    "/readiness?mode=apply&lag=16MB": (200, 200),
    "/readiness?mode=write&lag=16MB": (200, 200),
}
POSTED: Final = (
    "/switchover",
    "/failover",
    "/restart",
    "/reinitialize",
    "/reload",
    "/pause",
    "/resume",
    "/stop",
    "/start",
    "/members",
)


def test_an_ordinary_day(new_cluster: NewCluster) -> None:
    cluster = new_cluster(ttl=2.0)
    cluster.start_all()
    primary = cluster.wait_until_whole(START_S)
    wait_for_sync(cluster)
    standbys = [node.name for node in cluster.members() if node.name != primary]

    check_screens(cluster, primary)
    check_health(cluster, primary, standbys)
    check_tags(cluster, standbys[0])
    check_settings(cluster, standbys[0])
    check_times(cluster, primary, standbys[0])
    check_restarts(cluster, primary, standbys)
    check_reloads(cluster, primary)
    check_query(cluster, primary)
    check_environment(cluster)
    check_foreign(cluster, "n1")
    check_allowlist(cluster, standbys[0])
    check_log(cluster, standbys[1])
    assert check_quiet(cluster) == primary, "nobody lost the lead by any of it"


def check_screens(cluster: ClusterHarness, primary: str) -> None:
    """Patroni's forms of what it lists, with the cluster's name where it wants it."""
    names = [node.name for node in cluster.members()]
    for verb in ("list", "topology"):
        header, *rows = raftha(cluster, Exit.DONE, verb, "test", "--format", "tsv").splitlines()
        assert header.startswith("name\trole\tstate\t")
        assert sorted(row.split("\t")[0] for row in rows) == names
        assert [row.split("\t")[:2] for row in rows if "leader" in row] == [[primary, "leader"]]
    shown = yaml.safe_load(raftha(cluster, Exit.DONE, "list", "-f", "yaml"))
    assert [member["name"] for member in shown["members"]] == names
    dated, *screen = raftha(cluster, Exit.DONE, "list", "-e", "-t").splitlines()
    assert datetime.fromisoformat(dated).tzinfo is not None
    assert any("pending restart  scheduled restart" in line for line in screen)
    versions = json.loads(raftha(cluster, Exit.DONE, "version", "test", "n2", "-o", "json"))
    assert [member["name"] for member in versions["members"]] == ["n2"]
    watching = ["list", "-w", "0.2", "-f", "tsv", "-c", str(cluster.nodes["n1"].file)]
    with subprocess.Popen(
        [sys.executable, "-m", "raftha", *watching], stdout=subprocess.PIPE, text=True
    ) as watch:
        assert watch.stdout is not None
        again = [watch.stdout.readline() for _ in range(2 * (1 + len(names)))]
        watch.send_signal(signal.SIGINT)
    assert [line.split("\t")[0] for line in again].count(primary) == 2
    assert watch.returncode == Exit.DONE


def check_health(cluster: ClusterHarness, primary: str, standbys: list[str]) -> None:
    """The checks that a balancer asks, of a primary and of the standbys of a quorum."""
    of_primary, of_standbys = [primary], standbys
    for path, (there, here) in BY_ROLE.items():
        for name, expected in itertools.chain(
            zip(of_primary, (there,), strict=True), zip(of_standbys, (here, here), strict=True)
        ):
            await_code(cluster, name, path, expected)
    assert request(cluster, standbys[0], "GET", "/readiness?mode=all")[0] == 400


def check_tags(cluster: ClusterHarness, name: str) -> None:
    """The user's own tags choose among standbys, and `noloadbalance` takes one out."""
    tags = {"zone": "a", "noloadbalance": False}
    change(cluster, name, lambda options: options.update(tags=tags))
    await_code(cluster, name, "/replica?tag_zone=a", 200)
    await_code(cluster, name, "/replica?tag_zone=b", 503)
    change(cluster, name, lambda options: options.update(tags={**tags, "noloadbalance": True}))
    await_code(cluster, name, "/replica", 503)
    await_code(cluster, name, "/read-only", 503)
    change(cluster, name, lambda options: options.update(tags={"nosync": True}))
    cluster.wait_for(lambda: name not in sync_standbys(cluster), LIMIT_S, "nosync")
    assert len(sync_standbys(cluster)) == 1, "the other one is still waited for"
    change(cluster, name, lambda options: options.pop("tags"))
    await_code(cluster, name, "/replica", 200)
    wait_for_sync(cluster)


def check_settings(cluster: ClusterHarness, name: str) -> None:
    """`/config` of any node: changed, replaced, refused with nothing changed."""
    code, before, revision = config(cluster, name, "GET")
    assert (code, before["loop_wait"]) == (200, 0.3)
    code, after, _ = config(cluster, name, "PATCH", {"loop_wait": 0.4})
    assert (code, after["loop_wait"]) == (200, 0.4)
    assert config(cluster, name, "PATCH", {"loop_wait": 0.5}, match=revision)[0] == 409
    for wrong in (
        {"no_such_key": 1},
        {"ttl": "long"},
        {"ttl": 0.5},
        {"synchronous_mode": "twice"},
        {"postgresql": {"parameters": {"work_mem": "plenty"}}},
        {"postgresql": {"parameters": {"wrk_mem": "4MB"}}},
        {"postgresql": {"pg_hba": ["everybody may come in"]}},
        ["ttl", 5],
        "ttl",
    ):
        assert config(cluster, name, "PATCH", wrong)[0] == 400, wrong
    much = {"slots": {"a" * 70_000: {}}}
    assert {config(cluster, name, method, much)[0] for method in ("PATCH", "PUT")} == {413}
    assert {request(cluster, name, "POST", path, much)[0] for path in POSTED} == {413}
    assert config(cluster, name, "GET")[1] == after, "what was refused has changed nothing"
    users = {"postgresql": {"pg_ident": ["operators alice bob"]}}
    assert config(cluster, name, "PATCH", users)[0] == 200
    mapped = cluster.nodes[name].pgdata / "raftha_ident.conf"
    cluster.wait_for(lambda: "operators alice bob" in mapped.read_text(), LIMIT_S, "pg_ident")
    recovery = {"postgresql": {"recovery_conf": {"restore_command": "false"}}}
    assert config(cluster, name, "PATCH", recovery)[0] == 200
    shown = [("false",)]
    for node in cluster.members():
        cluster.wait_for(
            lambda node=node: cluster.query(node.name, "SHOW restore_command") == shown,
            LIMIT_S,
            f"restore_command of {node.name}",
        )
    assert config(cluster, name, "PUT", before)[1] == before


def check_times(cluster: ClusterHarness, primary: str, standby: str) -> None:
    """What is scheduled over HTTP, and taken off again before its time."""
    switchover = {"leader": primary, "candidate": standby}
    for path, key, body in (
        ("/switchover", "scheduled_at", switchover),
        ("/restart", "schedule", {}),
    ):
        for text, code in (
            ("2001-01-01T00:00:00Z", 422),
            ("whenever", 422),
            ("2100-01-01T00:00:00", 400),
            (ahead(3600), 202),
            (ahead(3600), 409),
        ):
            assert request(cluster, standby, "POST", path, {**body, key: text})[0] == code, text
        assert request(cluster, standby, "DELETE", path)[0] == 200
        assert request(cluster, standby, "DELETE", path)[0] == 404
    assert request(cluster, standby, "POST", "/failover", {})[0] == 400
    nobody = {"leader": primary, "candidate": "n9"}
    assert request(cluster, standby, "POST", "/switchover", nobody)[0] == 412
    assert cluster.primary() == primary


def check_restarts(cluster: ClusterHarness, primary: str, standbys: list[str]) -> None:
    """On a condition; of one role alone; and a new copy, which a leader is refused."""
    before = {node.name: postmaster_pid(cluster, node.name) for node in cluster.members()}
    for body in ({"role": "primary"}, {"postgres_version": "9.6"}, {"restart_pending": True}):
        assert request(cluster, standbys[0], "POST", "/restart", body)[0] == 412, body
    for body in ({"timeout": 0}, {"role": "king"}, {"what": 1}):
        assert request(cluster, standbys[0], "POST", "/restart", body)[0] in (400, 412), body
    assert request(cluster, primary, "POST", "/reinitialize", {})[0] == 412
    told = raftha(cluster, Exit.DONE, "restart", "--pg-version", "9.6", "--yes")
    assert "No member is meant" in told
    assert before == {name: postmaster_pid(cluster, name) for name in before}

    older = {"role": "replica", "postgres_version": "99.0", "timeout": 60}
    assert request(cluster, standbys[0], "POST", "/restart", older)[0] == 200
    first = {name for name in before if postmaster_pid(cluster, name) != before[name]}
    assert first == {standbys[0]}
    cluster.wait_until_whole()
    wait_for_sync(cluster)

    raftha(cluster, Exit.DONE, "restart", "--role", "replica", "--yes")
    changed = {name for name in before if postmaster_pid(cluster, name) != before[name]}
    assert changed == set(standbys)
    cluster.wait_until_whole()
    wait_for_sync(cluster)


def check_reloads(cluster: ClusterHarness, primary: str) -> None:
    """Of one node over HTTP, and of all."""

    def quicker(options: dict[str, Any]) -> None:
        options["postgresql"]["parameters"]["work_mem"] = "5MB"

    rewrite(cluster, primary, quicker)
    assert request(cluster, primary, "POST", "/reload", {})[0] == 202
    cluster.wait_for(
        lambda: cluster.query(primary, "SHOW work_mem") == [("5MB",)], LIMIT_S, "work_mem"
    )
    assert raftha(cluster, Exit.DONE, "reload", "--yes").count("the file was read again") == 3


def check_query(cluster: ClusterHarness, primary: str) -> None:
    """SQL on a member of a role, found by one node's file; a mistake has its own exit code."""

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        file = cluster.nodes["n1"].file
        login = ("--config-file", str(file), "-d", "postgres", "-U", "postgres")
        return subprocess.run(
            [sys.executable, "-m", "raftha", "query", *login, *words],
            env={**os.environ, "PGPASSWORD": PASSWORD},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    port = "SELECT inet_server_port() AS port, pg_is_in_recovery() AS standby"
    found = json.loads(run("-c", port, "-o", "json").stdout)
    assert found == [{"port": cluster.nodes[primary].postgres_port, "standby": False}]
    assert json.loads(run("-c", port, "-r", "replica", "-o", "json").stdout)[0]["standby"] is True
    assert run("-c", port, "-m", primary, "--format", "tsv").stdout.startswith("port\tstandby\n")
    wrong = run("-c", "SELECT nothing_of_this_name")
    assert (wrong.returncode != 0, "nothing_of_this_name" in wrong.stderr) == (True, True)
    assert run("-c", port, "-m", "n9").returncode == Exit.REFUSED


def check_allowlist(cluster: ClusterHarness, name: str) -> None:
    """From another address than those that are listed nothing is changed, and all is read."""
    limited = {"allowlist": ["10.9.8.7"], "allowlist_include_members": False}
    rewrite(cluster, name, lambda options: options["restapi"].update(limited))
    hang_up(cluster, name)
    await_code(cluster, name, "/reload", 403, "POST")
    assert request(cluster, name, "PATCH", "/config", {"ttl": 30})[0] == 403
    await_code(cluster, name, "/cluster", 200)
    assert report(cluster)["ttl"] == 2
    rewrite(cluster, name, lambda options: [options["restapi"].pop(key) for key in limited])
    hang_up(cluster, name)
    await_code(cluster, name, "/reload", 202, "POST")


def check_environment(cluster: ClusterHarness) -> None:
    """A variable goes before the file, and a mistake in it is told by its name."""
    file = cluster.nodes["n1"].file
    wrong = run_alone("check-config", file, environment={"RAFTHA_RESTAPI__LISTEN": "nowhere"})
    assert (wrong.returncode, "RAFTHA_RESTAPI__LISTEN" in wrong.stdout) == (Exit.USAGE, True)
    fine = run_alone("check-config", file, environment={"RAFTHA_LOG__LEVEL": "INFO"})
    assert fine.returncode == Exit.DONE, fine.stdout
    shown = run_alone("check-config", file, "-p", environment={"RAFTHA_LOG__LEVEL": "DEBUG"})
    assert (shown.returncode, "\n  level: DEBUG\n" in shown.stdout) == (Exit.DONE, True)
    assert PASSWORD not in shown.stdout


def check_foreign(cluster: ClusterHarness, name: str) -> None:
    """Keys of Patroni's file that have no meaning here are taken, each with the reason."""
    foreign = {"namespace": "/service/", "thread_pool_size": 5, "watchdog": {"mode": "required"}}
    rewrite(cluster, name, lambda options: options.update(foreign))
    told = run_alone("check-config", cluster.nodes[name].file)
    assert (told.returncode, told.stdout.count(": ignored: ")) == (Exit.DONE, 3), told.stdout
    said = raftha(cluster, Exit.DONE, "reload", name, "--yes")
    assert f"{name}: the file was read again; nothing changed" in said
    rewrite(cluster, name, lambda options: [options.pop(key) for key in foreign])


def check_log(cluster: ClusterHarness, name: str) -> None:
    """A file of JSON lines that rotates, with fields of the user's own and what a single part says,
    after a reload."""
    folder = cluster.nodes[name].folder / "logs"
    folder.mkdir()
    wanted = {
        "level": "ERROR",
        "format": "json",
        "dir": str(folder),
        "file_size": LOG_BYTES,
        "file_num": 2,
        "static_fields": {"datacenter": "east"},
        "loggers": {"raftha.agent": "DEBUG"},
    }
    usual: dict[str, Any] = {}

    def aside(options: dict[str, Any]) -> None:
        usual.update(options["log"])
        options["log"] = wanted

    def rotated() -> bool:
        assert request(cluster, name, "POST", "/reload", {})[0] == 202  # a warning of raftha.api
        return (folder / f"{name}.log.2").exists()

    change(cluster, name, aside)
    cluster.wait_for(rotated, 2 * LIMIT_S, "two files put aside")
    files = sorted(folder.iterdir())
    assert [file.name for file in files] == [f"{name}.log", f"{name}.log.1", f"{name}.log.2"]
    assert all(file.stat().st_size <= LOG_BYTES for file in files)
    lines = [json.loads(line) for line in told(files[1])]
    assert {line["datacenter"] for line in lines} == {"east"}
    assert {line["logger"].rpartition(".")[0] for line in lines} == {"raftha.agent"}
    assert "INFO" in {line["level"] for line in lines}
    change(cluster, name, lambda options: options.update(log=usual))


def told(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def change(cluster: ClusterHarness, name: str, what: Callable[[dict[str, Any]], object]) -> None:
    """Change a node's file, and have it read."""
    rewrite(cluster, name, what)
    hang_up(cluster, name)


def await_code(
    cluster: ClusterHarness, name: str, path: str, expected: int, method: str = "GET"
) -> None:
    cluster.wait_for(
        lambda: (
            request(cluster, name, method, path, {} if method == "POST" else None)[0] == expected
        ),
        LIMIT_S,
        f"{method} {path} of {name} answers {expected}",
    )


def config(
    cluster: ClusterHarness, name: str, method: str, body: object = None, match: str = ""
) -> tuple[int, Any, str]:
    """Status, body and revision of an answer of `/config`."""
    connection = http.client.HTTPConnection("127.0.0.1", cluster.nodes[name].rest_port, timeout=35)
    try:
        data = None if body is None else json.dumps(body)
        headers = {"If-Match": match} if match else {}
        connection.request(method, "/config", data, headers)
        answer = connection.getresponse()
        return answer.status, decoded(answer.read()), answer.headers["ETag"] or ""
    finally:
        connection.close()
