"""A cluster whose every link has certificates, and changes asked for from off the loopback
interface: no credentials, no change."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.certificates import make_certificates
from tests.integration.asking import ask
from tests.integration.harness import ClusterHarness, Node
from tests.integration.node_support import Options, raftha, rewrite, said_by
from tests.integration.scene import (
    TTL_S,
    WRITABLE_LIMIT_S,
    NewCluster,
    Probe,
    report,
    under_load,
    wait_for_sync,
)

pytestmark = pytest.mark.integration

OPERATOR = "operator:s3cret"


class TlsHarness(ClusterHarness):
    """Mutual TLS between the voters; HTTPS with client certificates and a password to the REST
    interfaces, which listen on `host`."""

    scheme = "https"

    def write_files(self) -> None:
        names = (*self._names, *self._witnesses, "client")
        make_certificates(self._folder, *names, address=self.host)
        # Of a client that knows the authority and has no certificate to show.
        self.context = ssl.create_default_context(cafile=self._folder / "ca.pem")
        super().write_files()

    def options(self, node: Node) -> dict[str, Any]:
        options = super().options(node)
        files = {
            "cafile": str(self._folder / "ca.pem"),
            "certfile": str(self._folder / f"{node.name}.pem"),
            "keyfile": str(self._folder / f"{node.name}.key"),
        }
        del options["raft"]["key_file"]
        options["raft"].update(files)
        username, password = OPERATOR.split(":")
        options["restapi"].update(
            **files,
            verify_client="optional",
            authentication={"username": username, "password": password},
        )
        return options

    def with_certificate(self) -> ssl.SSLContext:
        """Of a client that shows a certificate of the authority."""
        context = ssl.create_default_context(cafile=self._folder / "ca.pem")
        context.load_cert_chain(self._folder / "client.pem", self._folder / "client.key")
        return context


def of_a_stranger(folder: Path) -> ssl.SSLContext:
    """Of a client whose certificate is of an authority of its own."""
    make_certificates(folder, "stranger")
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.load_cert_chain(folder / "stranger.pem", folder / "stranger.key")
    return context


def outer_address() -> str:
    """An address of this machine that is not on the loopback interface; skips without one."""
    for addresses in psutil.net_if_addrs().values():
        for found in addresses:
            if found.family is socket.AF_INET and not found.address.startswith("127."):
                return found.address
    pytest.skip("this machine has no address but the loopback interface's")


def test_three_members_with_certificates_alone_live_through_the_loss_of_the_primary(
    new_cluster: NewCluster, probe: Probe, tmp_path: Path
) -> None:
    """The guardian too has only the certificate to show when it frees the leader key."""
    scene = under_load(partial(new_cluster, kind=TlsHarness), probe, ttl=20.0)
    cluster = scene.cluster
    for node in cluster.members():
        assert_mutual(cluster, node, of_a_stranger(tmp_path))
        assert ask(f"http://127.0.0.1:{node.rest_port}/primary") == (0, None), "it spoke plainly"

    cluster.kill_agent(scene.primary)
    cluster.kill_postgres(scene.primary)
    new = scene.await_successor()
    assert scene.ledger.longest_gap_s() <= WRITABLE_LIMIT_S, "somebody waited for the lease"
    cluster.start(scene.primary)
    scene.finish(at_least=50)

    assert cluster.wait_for_primary() == new
    screen = raftha("status", "-c", cluster.nodes[new].file)
    assert screen.returncode == 0, screen.stdout
    assert "no answer" not in screen.stdout, "a member could not be asked over HTTPS"


def assert_mutual(cluster: ClusterHarness, node: Node, stranger: ssl.SSLContext) -> None:
    """The Raft port shows its certificate, and refuses a client without a good one."""
    assert cluster.context is not None
    address = ("127.0.0.1", node.raft_port)
    with (
        socket.create_connection(address, 5) as bare,
        cluster.context.wrap_socket(bare, server_hostname="127.0.0.1") as link,
    ):
        shown: Any = link.getpeercert()
        assert ("commonName", node.name) in [pair for part in shown["subject"] for pair in part]
        assert is_refused(link), "it takes a client without a good certificate"
    with socket.create_connection(address, 5) as bare, stranger.wrap_socket(bare) as link:
        assert is_refused(link), "it takes a client without a good certificate"


def is_refused(link: ssl.SSLSocket) -> bool:
    """Its certificate, or that it showed none: with TLS 1.3 it learns that with its first read."""
    try:
        link.recv(1)
    except ssl.SSLError as error:
        return "ALERT" in str(error).upper()
    return False


def test_off_loopback_a_change_needs_a_certificate_and_the_password(
    new_cluster: NewCluster,
) -> None:
    class Exposed(TlsHarness):
        host = outer_address()

    cluster = new_cluster(kind=Exposed, nodes=2, witnesses=1, ttl=TTL_S)
    assert isinstance(cluster, Exposed)
    rewrite(cluster, "w1", without_credentials)
    cluster.start_all()
    primary = cluster.wait_until_whole()
    wait_for_sync(cluster)
    heir = "n1" if primary == "n2" else "n2"
    asked = {"leader": primary, "candidate": heir}
    before = report(cluster)
    shown, bare = cluster.with_certificate(), cluster.context

    for path in ("/switchover", "/failover"):
        for name in (primary, heir):
            post: Callable[..., tuple[int, Any]] = partial(ask, cluster.url(name) + path, asked)
            code, refused = post(user=OPERATOR, context=bare)
            assert (code, "needs a client certificate" in refused["reason"]) == (403, True)
            assert post(context=shown)[0] == 401
            for user in ("operator:wrong", "operator:", ":s3cret", "somebody:s3cret"):
                assert post(user=user, context=shown)[0] == 401, user
        code, refused = ask(cluster.url("w1") + path, asked, context=bare)
        assert (code, "set restapi.authentication" in refused["reason"]) == (403, True), refused
    assert "add restapi.authentication" in said_by(cluster, "w1"), "its start warned of nothing"
    checks = {cluster.get(primary, path)[0] for path in ("/primary", "/health", "/cluster")}
    assert checks == {200}, "questions are free"
    after = report(cluster)
    assert (after["leader"], after["request"]) == (primary, None)
    assert after["history"] == before["history"], "a refused request changed something"

    post = partial(ask, cluster.url(primary) + "/switchover", asked, timeout_s=35)
    code, done = post(user=OPERATOR, context=shown)
    assert (code, done["state"]) == (200, "done"), done
    assert cluster.wait_until_whole() == heir
    wait_for_sync(cluster)
    back = {"leader": heir, "candidate": primary}
    url = cluster.url(heir) + "/switchover"
    code, done = ask(url, back, timeout_s=35, user=OPERATOR, context=shown)
    assert (code, done["state"]) == (200, "done"), done
    assert cluster.wait_for_primary(other_than=heir) == primary


def without_credentials(options: Options) -> None:
    """Neither a password nor client certificates in the REST interface of a node."""
    del options["restapi"]["authentication"]
    options["restapi"]["verify_client"] = "none"
