"""PostgreSQL whose members know one another by certificates alone, over TLS alone: they are copied,
stream, fail over and are rewound by them; one that has a bad certificate waits and says why."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any, Final

import psycopg2
import pytest
from psycopg2.extensions import parse_dsn

from raftha.clock import SystemClock
from raftha.errors import CommandFailed
from raftha.model.postgres import Binaries
from raftha.pg import argv
from raftha.pg.run import run
from tests.certificates import make_certificates
from tests.integration.fixtures import installations
from tests.integration.harness import PASSWORD, ClusterHarness, Node
from tests.integration.node_support import (
    fingerprint,
    hang_up,
    raftha,
    refusal,
    rewrite,
    said_by,
    wait_until_said,
    wait_until_told,
)
from tests.integration.scene import (
    TTL_S,
    NewCluster,
    await_line,
    check_quiet,
    server_log,
    wait_for_sync,
)
from tests.integration.test_rejoin import beside, check_joined, diverged_primary

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

LIMIT_S: Final = 30.0
KEY_PASSWORD: Final = "of the k3y = 'geheim'"
USERS: Final = ("replicator", "rewinder")
STREAMS: Final = (
    "SELECT r.application_name, s.ssl, s.client_dn FROM pg_stat_replication AS r"
    " JOIN pg_stat_ssl AS s USING (pid)"
)


@cache
def installation_with_tls() -> Binaries:
    """The embedded ones are built without OpenSSL. Skips where there is no other."""
    for found in reversed(installations()):
        try:
            command = argv.try_connection(found, {"sslmode": "require"})
            run(command, clock=SystemClock(), timeout=10)
        except CommandFailed as error:
            if "not compiled in" not in str(error):
                return found
    pytest.skip("no PostgreSQL with OpenSSL is installed here")


class CertifiedHarness(ClusterHarness):
    """Replication and rewind have no password, and keys that have one; nobody comes in over TCP
    without TLS."""

    def __init__(self, folder: Path, _binaries: Binaries, **options: Any) -> None:
        super().__init__(folder, installation_with_tls(), **options)

    def write_files(self) -> None:
        make_certificates(self._folder, "server")
        for name in self._names:
            self.issue(name)
        super().write_files()

    def keys(self, name: str) -> Path:
        """Where a node has its certificates."""
        return self._folder / f"{name}.tls"

    def issue(self, name: str, **dates: timedelta) -> None:
        """Give a node new certificates of its users."""
        self.keys(name).mkdir(exist_ok=True)
        make_certificates(
            self.keys(name), *USERS, authority=self._folder, password=KEY_PASSWORD, **dates
        )

    def _postgres_options(self, node: Node) -> dict[str, Any]:
        options = super()._postgres_options(node)
        for role, user in zip(("replication", "rewind"), USERS, strict=True):
            options["authentication"][role] = {
                "username": user,
                "sslmode": "verify-full",
                "sslrootcert": str(self._folder / "ca.pem"),
                "sslcert": str(self.keys(node.name) / f"{user}.pem"),
                "sslkey": str(self.keys(node.name) / f"{user}.key"),
                "sslpassword": KEY_PASSWORD,
            }
        options["parameters"] |= {
            "ssl": "on",
            "ssl_cert_file": str(self._folder / "server.pem"),
            "ssl_key_file": str(self._folder / "server.key"),
            "ssl_ca_file": str(self._folder / "ca.pem"),
        }
        options["pg_hba"] = ["hostssl all all all scram-sha-256"]
        return options


def check_encrypted(cluster: ClusterHarness, primary: str) -> None:
    """Every stream is, and comes from who has a certificate of the replication user."""
    streams = cluster.query(primary, STREAMS)
    others = {node.name for node in cluster.members()} - {primary}
    assert {name.partition("@")[0] for name, _, _ in streams} == others
    assert all(ssl and dn == "/CN=replicator" for _, ssl, dn in streams), streams


def refused(cluster: ClusterHarness, name: str, **login: str) -> str:
    """What a server says to a client that it does not let in."""
    where = {"host": "127.0.0.1", "port": cluster.nodes[name].postgres_port, "dbname": "postgres"}
    with pytest.raises(psycopg2.OperationalError) as caught:
        psycopg2.connect(**where, **login)  # type: ignore[call-overload]
    return str(caught.value)


def check_kept_out(cluster: CertifiedHarness, name: str) -> None:
    """A good password does not help without TLS, nor TLS without the certificate."""
    plain = refused(cluster, name, user="postgres", password=PASSWORD, sslmode="disable")
    assert "no encryption" in plain
    streams = {"user": "replicator", "replication": "true"}
    for login in (streams, {"user": "rewinder"}):
        assert "pg_hba.conf" in refused(cluster, name, sslmode="disable", **login)
        assert "valid client certificate" in refused(cluster, name, sslmode="require", **login)
    folder = cluster.keys(name)
    other = {"sslcert": f"{folder}/rewinder.pem", "sslkey": f"{folder}/rewinder.key"}
    login = {**streams, "sslpassword": KEY_PASSWORD, **other}
    assert "authentication failed" in refused(cluster, name, **login)


def check_no_secret(cluster: ClusterHarness) -> None:
    """The password of the keys is in the nodes' files and where libpq reads it, and nowhere else
    but in memory."""
    for node in cluster.members():
        for file in (path for path in node.folder.rglob("*") if path.is_file()):
            if file.name != "pg_service.conf":
                assert KEY_PASSWORD.encode() not in file.read_bytes(), file
        assert (node.folder / "raft" / "run" / "pg_service.conf").stat().st_mode & 0o077 == 0
        assert KEY_PASSWORD not in said_by(cluster, node.name)
        assert "passw" not in server_log(cluster, node.name).replace("password authentication", "")
        assert KEY_PASSWORD not in str(cluster.get(node.name, "/patroni"))


def test_members_with_certificates_alone_are_copied_stream_and_are_rewound_over_tls(
    new_cluster: NewCluster,
) -> None:
    def certified(**options: Any) -> ClusterHarness:
        return new_cluster(kind=CertifiedHarness, **options)

    cluster, old, new = diverged_primary(certified)
    assert isinstance(cluster, CertifiedHarness)
    check_kept_out(cluster, new)

    cluster.start(old)
    await_line(cluster, old, "rewound", 60)
    check_joined(cluster, old, new)

    check_encrypted(cluster, new)
    check_no_secret(cluster)
    (conninfo,) = cluster.query(
        old, "SELECT setting FROM pg_settings WHERE name='primary_conninfo'"
    )
    assert parse_dsn(conninfo[0])["sslmode"] == "verify-full"


def test_a_member_with_a_bad_certificate_says_so_and_streams_once_it_has_a_good_one(
    new_cluster: NewCluster,
) -> None:
    cluster = new_cluster(kind=CertifiedHarness, ttl=TTL_S)
    assert isinstance(cluster, CertifiedHarness)
    cluster.start_all()
    primary = cluster.wait_until_whole(120)
    wait_for_sync(cluster)
    check_encrypted(cluster, primary)
    name = next(node.name for node in cluster.members() if node.name != primary)
    inode = cluster.nodes[name].pgdata.stat().st_ino

    cluster.issue(name, begin=timedelta(hours=-2), end=timedelta(hours=-1))
    end_stream(cluster, primary, name)
    wait_until_told(cluster, name, "does not stream", "certificate expired", within_s=LIMIT_S)
    screen = raftha("status", "-c", cluster.nodes[primary].file).stdout
    assert "postgresql.authentication.replication" in " ".join(screen.split())
    cluster.issue(name)
    cluster.wait_until_whole(LIMIT_S)

    check_refusals(cluster, name)
    check_reloads(cluster, primary, name)
    assert cluster.nodes[name].pgdata.stat().st_ino == inode, "it was copied anew"
    assert beside(cluster, name, "pgdata.*") == []
    assert check_quiet(cluster) == primary
    check_no_secret(cluster)


def end_stream(cluster: ClusterHarness, primary: str, name: str) -> None:
    ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_replication WHERE application_name LIKE "
    assert cluster.query(primary, f"{ended}'{name}@%'") == [(True,)]


def check_refusals(cluster: CertifiedHarness, name: str) -> None:
    """A file that is not there keeps a reload from being taken, and a node from starting."""
    key = cluster.keys(name) / "replicator.key"
    away = key.rename(key.with_suffix(".away"))
    hang_up(cluster, name)
    place = "postgresql.authentication.replication.sslkey"
    wait_until_said(cluster, name, "configuration refused", place, "cannot be read by user")
    assert "cannot be read by user" in raftha("check-config", cluster.nodes[name].file).stdout
    cluster.stop(name)
    before = fingerprint(cluster.nodes[name].pgdata)
    assert f"{place}: {key} cannot be read" in refusal(cluster, name)
    assert fingerprint(cluster.nodes[name].pgdata) == before
    away.rename(key)
    cluster.start(name)
    cluster.wait_until_whole(LIMIT_S)


def check_reloads(cluster: CertifiedHarness, primary: str, name: str) -> None:
    """Another way to log in is taken by a reload, and the stream begins anew by it."""
    options: Callable[[Any], Any] = lambda file: file["postgresql"]["authentication"]  # noqa: E731
    setting = "SELECT setting FROM pg_settings WHERE name = 'primary_conninfo'"
    rewrite(cluster, name, lambda file: options(file)["replication"].update(sslmode="verify-ca"))
    hang_up(cluster, name)
    cluster.wait_for(
        lambda: parse_dsn(cluster.query(name, setting)[0][0])["sslmode"] == "verify-ca",
        LIMIT_S,
        "the server has the new sslmode",
    )
    cluster.wait_until_whole(LIMIT_S)
    check_encrypted(cluster, primary)
    rewrite(cluster, name, lambda file: options(file)["replication"].update(sslmode="verify"))
    hang_up(cluster, name)
    wait_until_said(cluster, name, "configuration refused", "sslmode: cannot be 'verify'")
