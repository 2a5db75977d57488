"""Voters reach each other over IPv6, by host names, and behind addresses that they do not have."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.certificates import make_certificates
from tests.integration.proxy import LinkProxy, by_pid
from tests.integration.voters import Voters, certificate_options

pytestmark = pytest.mark.slow


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


def assert_works(group: Voters) -> None:
    leader = group.start_all()
    follower = next(name for name in group.nodes if name != leader)
    assert group.ask(follower, "put", key="k") == "committed"
    group.kill(leader)
    assert group.ask(follower, "put", key="l") == "committed"
    group.start(leader)
    group.wait_until_whole()
    assert {"k", "l"} <= group.ask(leader, "read").keys()


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback")
def test_voters_work_over_ipv6(tmp_path: Path) -> None:
    with Voters(tmp_path, host="[::1]") as group:
        assert_works(group)


def test_voters_work_by_host_name(tmp_path: Path) -> None:
    with Voters(tmp_path, host="localhost") as group:
        assert_works(group)


def test_voters_with_certificates_work_behind_other_addresses(tmp_path: Path) -> None:
    """As behind a NAT: `bind_addr` is not `self_addr`, and the others know only the latter."""
    with ExitStack() as stack:
        group = stack.enter_context(Voters(tmp_path, proxied=True))
        proxy = stack.enter_context(LinkProxy(by_pid(group.pids)))
        make_certificates(tmp_path, *group.nodes, address="192.0.2.1")
        for node in group.nodes.values():
            node.configure(certificate_options(tmp_path, node.name))
            proxy.stand_before(node.name, node.advertised_port, node.raft_port)
        assert_works(group)
        names = sorted(group.nodes)
        assert proxy.carried(names[0], names[1]) > 0


def test_a_taken_port_is_named_and_the_node_starts_once_it_is_free(tmp_path: Path) -> None:
    with Voters(tmp_path) as group:
        group.start_all()
        group.kill("n1")
        with socket.create_server(("127.0.0.1", group.nodes["n1"].raft_port)):
            said = group.refusal("n1")
        assert "raft.bind_addr" in said
        assert "cannot listen" in said
        group.start("n1")
        group.wait_until_whole()
