"""A Raft group of real processes under real faults: killed, frozen, flapping and one-way links.

What was acknowledged is found on every node at the end, and a fault of one link or of a minority
moves neither the raft leader nor the term.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.integration.proxy import LinkProxy, by_pid
from tests.integration.voters import Voters

pytestmark = pytest.mark.slow

TAKEOVER_S = 5.0
FLAP_S = 0.5


@pytest.fixture
def group(tmp_path: Path) -> Iterator[Voters]:
    with Voters(tmp_path) as made:
        yield made


@pytest.fixture
def proxied(tmp_path: Path) -> Iterator[tuple[Voters, LinkProxy]]:
    """Three nodes, each behind its own advertised address."""
    with ExitStack() as stack:
        made = stack.enter_context(Voters(tmp_path, proxied=True))
        proxy = stack.enter_context(LinkProxy(by_pid(made.pids)))
        for node in made.nodes.values():
            proxy.stand_before(node.name, node.advertised_port, node.raft_port)
        yield made, proxy


class Writing:
    """Keys put by the test, and which of them were acknowledged."""

    def __init__(self, group: Voters) -> None:
        self._group = group
        self._count = 0
        self.acknowledged: set[str] = set()

    def put(self, name: str, times: int = 1) -> None:
        """Put fresh keys through a node; at least one of them must be acknowledged."""
        before = len(self.acknowledged)
        for _ in range(times):
            self._count += 1
            key = f"put/{self._count}"
            if self._group.ask(name, "put", key=key, timeout=3.0) == "committed":
                self.acknowledged.add(key)
        assert len(self.acknowledged) > before, self._group.describe()

    def check(self) -> None:
        """Every node holds what was acknowledged."""
        for name in self._group.running():
            missing = self.acknowledged - self._group.ask(name, "read").keys()
            assert not missing, (name, sorted(missing)[:5])


def test_nodes_killed_one_after_the_other_lose_nothing(group: Voters) -> None:
    leader = group.start_all()
    writing = Writing(group)
    for number in range(6):
        victim = leader if number % 3 == 0 else f"n{number % 3 + 1}"
        writing.put(victim, 3)
        group.kill(victim)
        writing.put(next(group.running()), 5)
        group.start(victim)
        leader = group.wait_until_whole()
    writing.check()
    assert len(writing.acknowledged) >= 40


def test_all_nodes_killed_at_once_come_back_with_everything(group: Voters) -> None:
    leader = group.start_all()
    writing = Writing(group)
    writing.put(leader, 20)
    for name in group.nodes:
        group.kill(name)
    group.start_all()
    writing.check()
    assert len(writing.acknowledged) == 20


def test_a_frozen_raft_leader_is_replaced_and_follows_when_it_wakes(group: Voters) -> None:
    leader = group.start_all()
    term = group.status(leader)["term"]
    others = [name for name in group.nodes if name != leader]
    writing = Writing(group)
    writing.put(leader)

    group.pause(leader)
    begun = time.monotonic()
    writing.put(others[0])
    assert time.monotonic() - begun < TAKEOVER_S
    group.resume(leader)

    after = group.wait_until_whole()
    assert after != leader
    assert group.status(leader)["role"] == "follower"
    assert group.status(leader)["term"] == group.status(after)["term"] == term + 1
    writing.put(leader)
    writing.check()


def test_a_frozen_follower_costs_no_term(group: Voters) -> None:
    leader = group.start_all()
    term = group.status(leader)["term"]
    follower = next(name for name in group.nodes if name != leader)
    writing = Writing(group)

    group.pause(follower)
    for _ in range(4):
        writing.put(leader, 5)
        time.sleep(FLAP_S)
    group.resume(follower)

    assert group.wait_until_whole() == leader
    assert group.status(follower)["term"] == term
    writing.check()


def unmoved(group: Voters, leader: str, fault: Callable[[Writing], None]) -> Writing:
    """Under the fault the group serves, and neither the raft leader nor the term changes."""
    term = group.status(leader)["term"]
    writing = Writing(group)
    fault(writing)
    assert {name: group.status(name)["term"] for name in group.nodes} == dict.fromkeys(
        group.nodes, term
    )
    assert group.leader() == leader
    writing.put(leader, 3)
    return writing


@pytest.mark.timeout(3000)
def test_a_flapping_link_to_a_follower_causes_no_change_of_term(
    proxied: tuple[Voters, LinkProxy], pytestconfig: pytest.Config
) -> None:
    """Twenty times; `--flaps 580` takes ten minutes."""
    group, proxy = proxied
    flaps = pytestconfig.getoption("--flaps")
    leader = group.start_all()
    follower = next(name for name in group.nodes if name != leader)

    def flap(writing: Writing) -> None:
        seen = set()
        for _ in range(flaps):
            proxy.cut(leader, follower)
            proxy.cut(follower, leader)
            writing.put(leader)
            time.sleep(FLAP_S)
            seen.add(connected(group, leader, follower))
            proxy.heal()
            writing.put(leader)
            time.sleep(FLAP_S)
            seen.add(connected(group, leader, follower))
        assert seen == {True, False}, "the link did not flap"

    writing = unmoved(group, leader, flap)
    assert group.wait_until_whole() == leader
    writing.check()


def connected(group: Voters, here: str, there: str) -> bool:
    address = group.nodes[there].address
    voters = group.status(here)["voters"]
    return next(bool(voter["connected"]) for voter in voters if voter["address"] == address)


@pytest.mark.parametrize("direction", ["to the follower", "to the raft leader"])
def test_a_link_that_is_silent_one_way_is_dropped_and_costs_no_term(
    proxied: tuple[Voters, LinkProxy], direction: str
) -> None:
    group, proxy = proxied
    leader = group.start_all()
    follower = next(name for name in group.nodes if name != leader)
    way = (leader, follower) if direction == "to the follower" else (follower, leader)

    def stall(_writing: Writing) -> None:
        proxy.stall(*way)
        group.wait_for(lambda: not connected(group, leader, follower), TAKEOVER_S, "dropped")
        time.sleep(2 * FLAP_S)

    writing = unmoved(group, leader, stall)
    proxy.heal()
    assert group.wait_until_whole() == leader
    writing.check()


def test_a_slow_link_delays_one_follower_and_nobody_else(
    proxied: tuple[Voters, LinkProxy],
) -> None:
    group, proxy = proxied
    leader = group.start_all()
    follower = next(name for name in group.nodes if name != leader)
    proxy.slow(leader, follower, 0.15)
    proxy.slow(follower, leader, 0.15)

    def write(_writing: Writing) -> None:
        quick = sorted(group.ask(leader, "sequential", count=100, size=100))
        assert quick[len(quick) // 2] < 0.1
        late = group.ask(follower, "sequential", count=3, size=100)
        assert min(late) > 0.25, "the link was not slow"

    unmoved(group, leader, write).check()


def test_a_raft_leader_cut_off_from_all_is_replaced_and_commits_nothing(
    proxied: tuple[Voters, LinkProxy],
) -> None:
    group, proxy = proxied
    leader = group.start_all()
    others = [name for name in group.nodes if name != leader]
    writing = Writing(group)
    for other in others:
        proxy.cut(leader, other)
        proxy.cut(other, leader)

    said = group.ask(leader, "put", key="alone", timeout=1.5)
    assert said.startswith(("OutcomeUnknown", "StoreUnavailable")), said
    writing.put(others[0], 3)
    assert not group.status(leader)["majority"]

    proxy.heal()
    group.wait_until_whole()
    writing.check()
    found = [set(group.ask(name, "read")) for name in group.nodes]
    assert found[0] == found[1] == found[2]
