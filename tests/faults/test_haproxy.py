"""HAProxy before a real cluster: connections follow a failover, with the file that Patroni's users
have and with ours (`examples/haproxy`). Nothing in either is changed but addresses and ports."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg2
import pytest

from tests.integration.harness import PASSWORD, ClusterHarness
from tests.integration.ports import PortLeases
from tests.integration.scene import wait_for_sync

pytestmark = [pytest.mark.integration, pytest.mark.timeout(150)]

NewCluster = Callable[..., ClusterHarness]
TTL_S = 2.0
OURS = Path(__file__).parents[2] / "examples" / "haproxy" / "haproxy.cfg"
SAMPLE = """
global
\tmaxconn 100

defaults
\tlog\tglobal
\tmode\ttcp
\tretries 2
\ttimeout client 30m
\ttimeout connect 4s
\ttimeout server 30m
\ttimeout check 5s

listen stats
    mode http
    bind *:7000
    stats enable
    stats uri /

listen batman
    bind *:5000
    option httpchk
    http-check expect status 200
    default-server inter 3s fall 3 rise 2 on-marked-down shutdown-sessions
    server postgresql_127.0.0.1_5432 127.0.0.1:5432 maxconn 100 check port 8008
    server postgresql_127.0.0.1_5433 127.0.0.1:5433 maxconn 100 check port 8009
    server postgresql_127.0.0.1_5434 127.0.0.1:5434 maxconn 100 check port 8010
"""
"""The sample of Patroni's repository, with a third server as its users write it."""

NOTICED_S = {"sample": 15.0, "ours": 3.0}
"""After the new primary takes writes: Patroni's file checks each 3 s, and wants two that are good.
Ours checks each 0.25 s; the rest is for a busy machine."""


@contextmanager
def haproxy(cluster: ClusterHarness, text: str, folder: Path) -> Iterator[list[int]]:
    """HAProxy with this file; the ports that it listens on, in the order of the file."""
    program = shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin:/usr/bin")
    if program is None:
        pytest.skip("HAProxy is not installed (Debian: apt-get install haproxy)")
    with closing(PortLeases()) as leases:
        ports = [leases.take() for _ in re.findall(r"bind \*:", text)]
        file = folder / "haproxy.cfg"
        file.write_text(_for(cluster, text, ports))
        process = subprocess.Popen([program, "-db", "-f", str(file)])
        try:
            yield ports
        finally:
            process.terminate()
            process.wait(10)


def _for(cluster: ClusterHarness, text: str, ports: list[int]) -> str:
    """The file with the addresses of this cluster; every `server` line names the next member."""
    members, left = cluster.members(), iter(ports)
    text = re.sub(r"bind \*:\d+", lambda _: f"bind 127.0.0.1:{next(left)}", text)
    lines, seen = [], 0
    for line in text.splitlines():
        if re.match(r"\s+server ", line):
            node = members[seen % len(members)]
            seen += 1
            line = re.sub(r"[\d.]+:\d+", f"127.0.0.1:{node.postgres_port}", line, count=1)
            line = re.sub(r"check port \d+", f"check port {node.rest_port}", line)
        lines.append(line)
    return "\n".join(lines) + "\n"


def through(port: int) -> psycopg2.extensions.connection:
    session = psycopg2.connect(
        host="127.0.0.1", port=port, user="postgres", password=PASSWORD, connect_timeout=2
    )
    session.autocommit = True
    return session


def server_behind(port: int) -> int:
    with closing(through(port)) as session, session.cursor() as cursor:
        cursor.execute("SELECT inet_server_port()")
        (found,) = cursor.fetchone() or (0,)
        return int(found)


def test_what_is_tried_is_the_file_as_it_stands() -> None:
    assert SAMPLE.count("check port") == 3
    assert OURS.read_text().count("check port 8008") == 6


@pytest.mark.parametrize("which", ["sample", "ours"])
def test_connections_follow_a_failover(
    new_cluster: NewCluster,
    tmp_path: Path,
    which: str,
    record_property: Callable[[str, object], None],
) -> None:
    cluster = new_cluster(ttl=TTL_S)
    cluster.start_all()
    old = cluster.wait_until_whole()
    wait_for_sync(cluster)
    text = SAMPLE if which == "sample" else OURS.read_text()
    with haproxy(cluster, text, tmp_path) as ports:
        writing, primary = ports[which == "sample"], cluster.nodes[old].postgres_port
        cluster.wait_for(  # without a check yet, all servers are taken to be well
            lambda: {server_behind(writing) for _ in range(6)} == {primary},
            30,
            "HAProxy leads to the primary alone",
        )
        with closing(through(writing)) as session, session.cursor() as cursor:
            cursor.execute("CREATE TABLE followed (id int)")
            cluster.kill(old)
            with pytest.raises(psycopg2.Error):
                cursor.execute("INSERT INTO followed VALUES (1)")
        new = cluster.wait_for_primary(other_than=old)
        began = time.monotonic()

        def writes_there() -> bool:
            with closing(through(writing)) as again, again.cursor() as cursor:
                cursor.execute("INSERT INTO followed VALUES (2) RETURNING inet_server_port()")
                return cursor.fetchone() == (cluster.nodes[new].postgres_port,)

        cluster.wait_for(writes_there, NOTICED_S[which], "HAProxy leads to the new primary")
        record_property("figures", f"{which}: {time.monotonic() - began:.2f} s behind the primary")
        if which == "ours":
            standby = next(n for n in cluster.nodes if n not in (old, new))
            cluster.wait_for(
                lambda: server_behind(ports[1]) == cluster.nodes[standby].postgres_port,
                10,
                "reads go to the standby that is left",
            )
