"""What a user of Patroni sets under `restapi`, and asks over HTTP beside it: one cluster over HTTPS
whose nodes have encrypted keys, in the end for the links of Raft too."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import ssl
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

from raftha import __version__
from raftha.cli.exits import Exit
from tests.certificates import make_certificates
from tests.integration.asking import decoded
from tests.integration.harness import ClusterHarness, Node
from tests.integration.node_support import (
    Options,
    reason_of,
    refusal,
    rewrite,
    said_by,
    wait_until_told,
)
from tests.integration.node_support import raftha as run_alone
from tests.integration.scene import NewCluster, check_quiet, raftha, report, wait_for_sync
from tests.integration.test_tls import TlsHarness

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

LIMIT_S: Final = 60.0
"""Nodes that share a busy machine do not always answer one another in time."""

START_S: Final = 120.0
KEY_PASSWORD: Final = "open sesame"
OTHER_PASSWORD: Final = "sesame, open"


class Encrypted(TlsHarness):
    """The key of each HTTP interface has a password; those of the Raft links have none."""

    def write_files(self) -> None:
        super().write_files()
        for name in self.nodes:
            new_pair(self._folder, name, KEY_PASSWORD)

    def options(self, node: Node) -> dict[str, Any]:
        options = super().options(node)
        options["restapi"].update(
            certfile=str(self._folder / f"{node.name}-http.pem"),
            keyfile=str(self._folder / f"{node.name}-http.key"),
            keyfile_password=KEY_PASSWORD,
        )
        del options["restapi"]["authentication"]
        return options


def new_pair(folder: Path, name: str, password: str) -> None:
    """Another certificate and key of a node's HTTP interface, of the same authority."""
    made = folder / "made"
    made.mkdir(exist_ok=True)
    make_certificates(made, name, authority=folder, password=password)
    shutil.move(made / f"{name}.key", folder / f"{name}-http.key")
    shutil.move(made / f"{name}.pem", folder / f"{name}-http.pem")


def call(
    cluster: ClusterHarness, name: str, method: str, path: str, body: object = None
) -> tuple[int, Any, http.client.HTTPMessage]:
    """Status, body and headers; without a `body` there is no word of its length either."""
    port = cluster.nodes[name].rest_port
    assert isinstance(cluster, TlsHarness)
    shown = cluster.with_certificate()
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=35, context=shown)
    try:
        connection.putrequest(method, path)
        data = b"" if body is None else json.dumps(body).encode()
        if body is not None:
            connection.putheader("Content-Length", str(len(data)))
        connection.endheaders(data)
        answer = connection.getresponse()
        return answer.status, decoded(answer.read()), answer.headers
    finally:
        connection.close()


def change(
    cluster: ClusterHarness, name: str, what: Callable[[Options], object]
) -> tuple[int, dict[str, Any]]:
    """Change a node's file and have it read; what the node says to it."""
    rewrite(cluster, name, what)
    code, body, _ = call(cluster, name, "POST", "/reload")
    return code, body


def rest(**options: object) -> Callable[[Options], None]:
    return lambda written: written["restapi"].update(options)


def test_what_is_set_for_http_acts_and_what_waits_is_told(new_cluster: NewCluster) -> None:
    cluster = new_cluster(ttl=15.0, profile="lan", kind=Encrypted, nodes=2, witnesses=1)
    cluster.start_all()
    primary = cluster.wait_until_whole(START_S)
    wait_for_sync(cluster)
    standby = next(node.name for node in cluster.members() if node.name != primary)

    check_bodies(cluster, primary)
    check_failsafe(cluster, standby)
    check_events(cluster, primary, standby)
    check_headers(cluster, standby)
    check_ciphers(cluster, standby)
    check_metrics(cluster, standby)
    check_waiting(cluster, standby, of_next_agent=True)
    check_waiting(cluster, "w1", of_next_agent=False)
    check_mistakes(cluster, standby)
    check_keys(cluster, primary)
    check_keys(cluster, "w1")
    assert check_quiet(cluster) == primary, "nobody lost the lead by any of it"
    check_raft_key(cluster, standby)


def check_bodies(cluster: ClusterHarness, primary: str) -> None:
    """No body where none is needed; one in chunks is refused and the connection closed."""
    for path, code in (("/pause", 200), ("/resume", 200), ("/reload", 202), ("/failover", 400)):
        assert call(cluster, primary, "POST", path)[0] == code, path
    assert isinstance(cluster, TlsHarness)
    hidden = b"POST /pause HTTP/1.1\r\nHost: x\r\n\r\n"
    head = b"POST /reload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    address = ("127.0.0.1", cluster.nodes[primary].rest_port)
    with (
        socket.create_connection(address, 5) as bare,
        cluster.with_certificate().wrap_socket(bare, server_hostname="127.0.0.1") as link,
    ):
        link.sendall(head + b"%x\r\n%s\r\n0\r\n\r\n" % (len(hidden), hidden))
        said = b""
        while piece := link.recv(4096):
            said += piece
    assert said.startswith(b"HTTP/1.1 411 ")
    assert (said.count(b"HTTP/1.1 "), b"not in chunks" in said) == (1, True)
    assert not report(cluster)["paused"]


def check_failsafe(cluster: ClusterHarness, name: str) -> None:
    """As Patroni says that the mode is off."""
    for method in ("GET", "POST"):
        code, body, _ = call(cluster, name, method, "/failsafe")
        assert (code, "failsafe_mode is off" in body["reason"]) == (502, True)
    for method in ("HEAD", "OPTIONS"):
        assert call(cluster, name, method, "/failsafe")[:2] == (502, "")


def check_events(cluster: ClusterHarness, primary: str, standby: str) -> None:
    """A dry run and a refused request are told apart from what was done."""
    asked = {"leader": primary, "candidate": standby}
    assert call(cluster, standby, "POST", "/switchover", {**asked, "dry_run": True})[0] == 200
    assert call(cluster, standby, "POST", "/switchover", {**asked, "candidate": "n9"})[0] == 412
    told = json.loads(raftha(cluster, Exit.DONE, "history", "--events", "-o", "json"))["events"]
    lines = [event for event in told if event["node"] == standby and "switchover" in event["words"]]
    dry, real, refused = [line for line in lines if "from 127.0.0.1" in line["words"]]
    assert dry["words"] == "dry run of POST /switchover from 127.0.0.1"
    assert real["words"] == "POST /switchover from 127.0.0.1"
    assert refused["words"] == "refused: POST /switchover from 127.0.0.1"
    assert (refused["facts"]["status"], "n9" in refused["facts"]["why"]) == ("412", True)


def check_headers(cluster: ClusterHarness, name: str) -> None:
    """Of the operator's own, after a reload, and what `Server` tells."""
    assert call(cluster, name, "GET", "/health")[2]["Server"] == f"raftha/{__version__}"
    wanted = {
        "http_extra_headers": {"X-Frame-Options": "SAMEORIGIN", "X-Zone": "plain"},
        "https_extra_headers": {"X-Zone": "tls"},
        "server_tokens": "ProductOnly",
    }
    code, told = change(cluster, name, rest(**wanted))
    assert (code, told["waiting"]) == (202, [])
    assert set(told["changed"]) == {f"restapi.{key}" for key in wanted}
    for path in ("/health", "/cluster", "/metrics", "/nowhere"):
        found = call(cluster, name, "GET", path)[2]
        assert (found["X-Frame-Options"], found["X-Zone"]) == ("SAMEORIGIN", "tls")
        assert found["Server"] == "raftha"


def check_ciphers(cluster: ClusterHarness, name: str) -> None:
    """What a client of TLS 1.2 is given, after a reload."""
    assert change(cluster, name, rest(ciphers="ECDHE+CHACHA20"))[0] == 202
    assert cipher(cluster, name, "ALL") == "ECDHE-ECDSA-CHACHA20-POLY1305"
    assert cipher(cluster, name, "ECDHE+AESGCM") is None
    assert change(cluster, name, lambda o: o["restapi"].pop("ciphers"))[0] == 202
    assert cipher(cluster, name, "ECDHE+AESGCM") is not None


def cipher(cluster: ClusterHarness, name: str, mine: str) -> str | None:
    """What such a client agrees on with a node; None for nothing."""
    context = ssl.create_default_context(cafile=cluster.nodes[name].file.parent / "ca.pem")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(mine)
    address = ("127.0.0.1", cluster.nodes[name].rest_port)
    try:
        with (
            socket.create_connection(address, 5) as bare,
            context.wrap_socket(bare, server_hostname="127.0.0.1") as link,
        ):
            found = link.cipher()
            return None if found is None else found[0]
    except ssl.SSLError:
        return None


def check_metrics(cluster: ClusterHarness, name: str) -> None:
    """Patroni's names can be left out, and come back."""

    def families() -> set[str]:
        page = call(cluster, name, "GET", "/metrics")[1]
        return {line.partition("_")[0] for line in page.splitlines() if line[0] != "#"}

    assert {"raftha", "patroni"} <= families()
    assert change(cluster, name, rest(patroni_metrics=False))[0] == 202
    assert ("raftha" in families(), "patroni" in families()) == (True, False)
    assert change(cluster, name, rest(patroni_metrics=True))[0] == 202
    assert "patroni" in families()


def check_waiting(cluster: ClusterHarness, name: str, *, of_next_agent: bool) -> None:
    """What an agent does not take over while it runs: told everywhere until it is taken back, or
    until the next agent; the name it has is its own until then."""
    before = cluster.nodes[name].file.read_text()
    code, told = change(cluster, name, rest(request_queue_size=32))
    paths = ["restapi.request_queue_size"]
    assert (code, told["changed"], told["waiting"]) == (202, paths, paths)
    assert f"waiting for a restart of the agent: {paths[0]}" in told["reason"]
    rewrite(cluster, name, lambda options: options.update(name="somebody-else"))
    again = call(cluster, name, "POST", "/reload")[1]["reason"]
    if cluster.nodes[name].is_member:
        assert "changed: name; waiting" in again
        again = raftha(cluster, Exit.DONE, "reload", name, "--yes")
        assert f"{name}: the file was read again; nothing changed; waiting" in again
    assert f"waiting for a restart of the agent: name, {paths[0]}" in again
    body = call(cluster, name, "GET", "/patroni")[1]
    assert body["pending_agent_restart"] == ["name", *paths]
    assert body["patroni"]["name"] == name
    wanted = {other: ["name", *paths] if other == name else None for other in cluster.nodes}
    for other in cluster.nodes:
        cluster.wait_for(partial(all_wait, cluster, other, wanted), LIMIT_S, f"{other} tells it")
    screen = screen_of(cluster, f"{paths[0]}: changed in the file")
    assert "docs/runbook.md#agent-restart-pending" in screen
    if of_next_agent:
        rewrite(cluster, name, lambda options: options.update(name=name))
        cluster.kill_agent(name)
        cluster.start(name)
        cluster.wait_for(partial(none_waits, cluster, name), LIMIT_S, "nothing waits any more")
        cluster.nodes[name].file.write_text(before)
        cluster.kill_agent(name)
        cluster.start(name)
        cluster.wait_for(partial(none_waits, cluster, name), LIMIT_S, "nor after the next one")
    cluster.nodes[name].file.write_text(before)
    assert call(cluster, name, "POST", "/reload")[1]["waiting"] == []
    cluster.wait_for(partial(none_waits, cluster, name), LIMIT_S, "nothing waits any more")


def screen_of(cluster: ClusterHarness, words: str) -> str:
    """What `raftha status` prints once every node has answered it in time, as on a machine with
    something else to do not every one does."""
    screens: list[str] = []

    def is_told() -> bool:
        screens.append(raftha(cluster, Exit.DONE, "status"))
        return words in " ".join(screens[-1].split())

    cluster.wait_for(is_told, LIMIT_S, words)
    return screens[-1]


def none_waits(cluster: ClusterHarness, name: str) -> bool:
    """An agent that has just started tells nothing of itself at first."""
    return bool(call(cluster, name, "GET", "/patroni")[1].get("pending_agent_restart") == [])


def all_wait(cluster: ClusterHarness, asked: str, wanted: dict[str, list[str] | None]) -> bool:
    """What waits for a restart of each agent is this, as one node tells it."""
    members = call(cluster, asked, "GET", "/cluster")[1]["members"]
    return {each["name"]: each.get("pending_agent_restart") for each in members} == wanted


def check_mistakes(cluster: ClusterHarness, name: str) -> None:
    """Refused in the answer itself, each with its place, and nothing of the file is taken over."""
    before = cluster.nodes[name].file.read_text()
    other = next(node.file for node in cluster.nodes.values() if node.name != name)
    for options, words in (
        ({"ciphers": "nonsense"}, "restapi.ciphers: names no cipher"),
        ({"http_extra_headers": {"Server": "x"}}, "see restapi.server_tokens"),
        ({"server_tokens": "all"}, "use one of Original, Minimal, ProductOnly"),
        ({"keyfile_password": "wrong"}, f"does not open {before_file(cluster, name)}"),
    ):
        code, told = change(cluster, name, rest(**options, patroni_metrics=False))
        assert (code, words in told["reason"]) == (412, True), told
        assert "the old settings stay" in told["reason"]
        failed = run_alone("reload", name, "--yes", "-c", other)
        while "does not answer" in failed.stdout:  # a busy machine: it has not been asked at all
            failed = run_alone("reload", name, "--yes", "-c", other)
        assert (failed.returncode, words in failed.stdout) == (Exit.REFUSED, True), failed.stdout
        assert "patroni_version" in call(cluster, name, "GET", "/metrics")[1]
        cluster.nodes[name].file.write_text(before)
    assert call(cluster, name, "POST", "/reload")[0] == 202


def before_file(cluster: ClusterHarness, name: str) -> Path:
    return cluster.nodes[name].file.parent / f"{name}-http.key"


def check_keys(cluster: ClusterHarness, name: str) -> None:
    """Another encrypted key is read without a restart; one with another password once that is
    known, which until then costs nothing but that node's own questions to others."""
    folder, first = cluster.nodes[name].file.parent, shown(cluster, name)
    new_pair(folder, name, KEY_PASSWORD)
    cluster.wait_for(lambda: shown(cluster, name) != first, LIMIT_S, "the new certificate")
    second = shown(cluster, name)
    new_pair(folder, name, OTHER_PASSWORD)

    def refused() -> bool:
        same = shown(cluster, name) == second  # a connection is what has it look
        words = "new certificate refused, the old one stays"
        return same and any(words in line for line in said_by(cluster, name).splitlines())

    cluster.wait_for(refused, LIMIT_S, "the old certificate stays")
    assert change(cluster, name, rest(keyfile_password=OTHER_PASSWORD))[0] == 202
    assert shown(cluster, name) not in (first, second)

    def all_answer() -> bool:
        members = call(cluster, name, "GET", "/cluster")[1]["members"]
        return "no answer" not in {member["state"] for member in members}

    cluster.wait_for(all_answer, LIMIT_S, f"{name} can ask all others")


def shown(cluster: ClusterHarness, name: str) -> str:
    """The certificate that a node shows."""
    return ssl.get_server_certificate(("127.0.0.1", cluster.nodes[name].rest_port), timeout=5)


def check_raft_key(cluster: ClusterHarness, name: str) -> None:
    """A node that cannot open the key of its Raft links, or that of HTTP, says so and does not
    start; with the password it does, and another key comes in as that of HTTP does."""
    file, key = cluster.nodes[name].file, before_file(cluster, name)
    pair = {"certfile": str(key.with_suffix(".pem")), "keyfile": str(key)}
    assert cluster.stop(name) == 0
    for password, words in (
        (None, f"{key} is encrypted: write its password in raft.keyfile_password"),
        ("wrong", f"raft.keyfile_password does not open {key}"),
    ):
        rewrite(cluster, name, raft(**pair, keyfile_password=password))
        assert words in refusal(cluster, name)
        assert words in run_alone("check-config", file).stdout
    rewrite(cluster, name, raft(keyfile_password=KEY_PASSWORD))
    rewrite(cluster, name, lambda options: options["restapi"].pop("keyfile_password"))
    words = f"{key} is encrypted and no password is given"
    assert words in refusal(cluster, name)
    assert words in run_alone("check-config", file).stdout
    rewrite(cluster, name, rest(keyfile_password=KEY_PASSWORD))
    cluster.start(name)
    cluster.wait_until_whole()

    new_pair(file.parent, name, OTHER_PASSWORD)
    wait_until_told(cluster, name, "the old ones stay", "does not open", within_s=LIMIT_S)
    rewrite(cluster, name, rest(keyfile_password=OTHER_PASSWORD))
    code, told = change(cluster, name, raft(keyfile_password="wrong"))
    assert (code, f"raft.keyfile_password does not open {key}" in told["reason"]) == (412, True)
    code, told = change(cluster, name, raft(keyfile_password=OTHER_PASSWORD))
    assert (code, told["waiting"]) == (202, [])
    cluster.wait_for(
        lambda: "the old ones stay" not in reason_of(cluster, name), LIMIT_S, "nothing is wrong"
    )
    cluster.kill_agent("w1")
    cluster.start("w1")
    cluster.wait_for(partial(_hears_all, cluster, "w1"), LIMIT_S, f"w1 hears {name} with its key")


def raft(**options: object) -> Callable[[Options], None]:
    return lambda written: written["raft"].update(options)


def _hears_all(cluster: ClusterHarness, name: str) -> bool:
    """An agent that starts answers nobody at first."""
    code, body = cluster.get(name, "/cluster")
    return code == 200 and body["report"]["voters_connected"] == len(cluster.nodes)
