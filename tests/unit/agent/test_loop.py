"""The loop rests until something happens, and what happens in the store ends the rest at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from itertools import permutations
from pathlib import Path
from typing import Any, Final, cast

import pytest
from msgspec.structs import replace

from raftha.agent.board import Board
from raftha.agent.build import Member, build_instance, build_member
from raftha.agent.effects import LONGEST_LOG_BYTES, Effects
from raftha.agent.loop import FIRST_PAUSE_S, Loop
from raftha.agent.recorder import Recorder
from raftha.agent.reloading import Reloads
from raftha.consensus.node import RaftNode
from raftha.errors import GuardianRefused
from raftha.ha.keys import LEADER_LEASE, encode_leader
from raftha.ha.memory import Arming, LeaderSeen
from raftha.ha.plans import names_for
from raftha.instants import Seconds
from raftha.metrics import Metrics
from raftha.model.cluster import Member as ClusterMember
from raftha.model.ids import MemberName
from raftha.model.settings import (
    Address,
    Authentication,
    Credentials,
    DynamicConfig,
    NodeConfig,
    PostgresConfig,
    RaftConfig,
    RestConfig,
)
from raftha.model.store import Grant, KeyAbsent, Put, Transact
from raftha.model.view import GuardianView, View
from tests.sim.group import Group
from tests.unit.ha import builders as b
from tests.unit.ha import servers as pg
from tests.unit.ha.builders import KEYS

HOUR: Final = Seconds(3600.0)
TTL: Final = Seconds(5.0)
PATIENCE_S: Final = 10.0
NOTHING: Final = cast(Any, None)


def member_on(node: RaftNode, folder: Path) -> Member:
    """A member at rest, with the wiring of the product, on this voter."""
    here = Address("127.0.0.1", 1)
    role = Credentials(username="postgres", password=None)
    postgres = PostgresConfig(
        listen_hosts=("127.0.0.1",),
        connect_address=here,
        data_dir=folder / "pgdata",
        authentication=Authentication(superuser=role, replication=role, rewind=role),
        port=5432,
    )
    config = NodeConfig(
        scope=b.SCOPE,
        name=pg.N1,
        raft=RaftConfig(self_addr=here, bind_addr=here, partner_addrs=(), data_dir=folder),
        restapi=RestConfig(listen=here, connect_address=here),
        postgresql=postgres,
    )
    metrics = Metrics(scope="demo", name="n1", witness=False)
    clock = pg.FakeClock()
    instance = build_instance(config, postgres, folder, clock)
    reloads = Reloads(config, folder / "n1.yml")
    return build_member(
        config, postgres, node, instance, clock, metrics, pytest.fail, tuple, reloads
    )


class NoGuardian:
    """One that cannot be had."""

    def restore(self) -> None:
        raise GuardianRefused("it is of another release")


class Asked:
    """Peers that do not answer."""

    def __init__(self) -> None:
        self.asked: list[list[MemberName]] = []

    def ask(self, members: Iterable[ClusterMember]) -> None:
        self.asked.append([member.name for member in members])


def resting_loop(
    observe: Callable[[], View],
    board: Board,
    log: Path,
    guarding: object = NOTHING,
    peers: object = NOTHING,
) -> Loop:
    """A loop whose pauses have grown to an hour, for a member that has nothing to do."""
    effects = Effects(
        instance=NOTHING,
        guarding=cast(Any, guarding),
        keeper=NOTHING,
        store=NOTHING,
        peers=cast(Any, peers),
        worker=NOTHING,
        jobs=NOTHING,
        board=board,
        clock=pg.FakeClock(),
        log_path=log,
        graceful=NOTHING,
        reloaded=lambda: None,
    )
    effects.caught_up = True
    return Loop(
        board=board,
        clock=pg.FakeClock(),
        keys=KEYS,
        observe=observe,
        effects=effects,
        recorder=Recorder(),
        publish=lambda _view, _decision: None,
    )


def quiet() -> tuple[Board, View]:
    """A healthy standby's, whose `loop_wait` is an hour."""
    view = b.following(cluster=b.followed(config=DynamicConfig(loop_wait=HOUR)))
    board = Board(config=NOTHING, postgres=NOTHING, last_tick=pg.T0)
    board.memory = b.following_memory(view)
    return board, view


def test_when_the_leader_key_lapses_every_node_is_woken_by_that_very_entry(tmp_path: Path) -> None:
    group = Group()
    boards = {name: member_on(group.node(name), tmp_path / name).board for name in group.names}
    put = Put(KEYS.leader, encode_leader(pg.N1, "nonce"), LEADER_LEASE)
    claim = Transact((KeyAbsent(KEYS.leader),), (Grant(LEADER_LEASE, "n1", TTL), put))
    group.elect("a")
    group.node("c").store.submit(claim, timeout=Seconds(1e5), done=lambda _outcome: None)
    group.settle(rounds=8)
    assert all(KEYS.leader in group.keys(name) for name in group.names)

    for name, board in boards.items():
        assert board.woken.is_set(), "a new leader is news"
        board.woken.clear()
        group.pass_time(name, TTL)
    group.settle()
    assert not any(board.woken.is_set() for board in boards.values()), "nothing has happened yet"

    group.pass_time("a", 0.1)
    group.step("a")
    for source, target in list(permutations(group.names, 2)) * 4:
        if source == "a":
            group.beat("a")
        group.deliver(source, target)
        for name, board in boards.items():
            assert board.woken.is_set() is (KEYS.leader not in group.keys(name)), name
    assert all(board.woken.is_set() for board in boards.values())


def test_a_majority_gained_or_lost_wakes_the_loop(tmp_path: Path) -> None:
    group = Group()
    board = member_on(group.node("b"), tmp_path).board
    group.step("abc")
    board.woken.clear()
    group.elect("a")
    assert board.woken.is_set(), "the group has a leader now"
    board.woken.clear()
    group.settle()
    assert not board.woken.is_set(), "nothing has changed"
    group.pass_time("b", 2 * group.timings.fallback)
    group.step("b")
    assert board.woken.is_set(), "the leader is not heard any more"


def test_a_loop_that_is_woken_looks_at_once(tmp_path: Path) -> None:
    board, view = quiet()
    looked = threading.Semaphore(0)
    loop = resting_loop(lambda: looked.release() or view, board, tmp_path / "log")
    for _ in range(50):
        loop.tick()
        assert looked.acquire(blocking=False)

    threading.Thread(target=loop.run, daemon=True).start()
    assert looked.acquire(timeout=PATIENCE_S)
    assert not looked.acquire(timeout=0.05), "it does not rest"
    board.wake()
    assert looked.acquire(timeout=PATIENCE_S), "nobody woke it"


def test_a_renewal_is_looked_at_once_and_leaves_the_loop_at_rest(tmp_path: Path) -> None:
    board, view = quiet()
    looked = threading.Semaphore(0)
    loop = resting_loop(lambda: looked.release() or view, board, tmp_path / "log")
    for _ in range(50):
        loop.tick()
        assert looked.acquire(blocking=False)

    threading.Thread(target=loop.run, daemon=True).start()
    assert looked.acquire(timeout=PATIENCE_S)
    board.glance()
    assert looked.acquire(timeout=PATIENCE_S), "what is published grows old"
    assert not looked.acquire(timeout=2 * FIRST_PAUSE_S), "it looks again and again"
    board.wake()
    assert looked.acquire(timeout=PATIENCE_S)
    assert looked.acquire(timeout=PATIENCE_S), "after news it does not look again soon"


def test_while_a_silent_leader_is_asked_the_rests_grow(tmp_path: Path) -> None:
    """The answer wakes the loop, and so does the end of the wait for it."""
    board, view = quiet()
    assert view.cluster.leader is not None
    renewed = view.cluster.leader.lease.revision
    board.memory = replace(
        board.memory, leader_seen=LeaderSeen(revision=renewed, at=pg.T0.plus(-60.0))
    )
    peers = Asked()
    loop = resting_loop(lambda: view, board, tmp_path / "log", peers=peers)

    rests = [loop.rest(loop.tick()) for _ in range(30)]
    assert peers.asked == [[pg.N2]] * 30
    assert rests[-1] > 10.0


def test_while_wal_is_awaited_the_loop_does_not_rest(tmp_path: Path) -> None:
    board, view = quiet()
    arming = Arming(names=names_for(pg.N2), since=pg.T0)
    board.memory = replace(board.memory, arming=arming)
    looked = threading.Semaphore(0)
    loop = resting_loop(lambda: looked.release() or view, board, tmp_path / "log")
    for _ in range(50):
        loop.tick()
        assert looked.acquire(blocking=False)

    threading.Thread(target=loop.run, daemon=True).start()
    for _ in range(3):
        assert looked.acquire(timeout=PATIENCE_S)


def test_what_fails_again_and_again_is_tried_ever_more_seldom(tmp_path: Path) -> None:
    """Such as a guardian of another release, which refuses at once whoever asks."""
    board, view = quiet()
    written = frozenset({"member"})
    views = [replace(view, guardian=GuardianView(alive=False), pending=written)]
    loop = resting_loop(lambda: views[-1], board, tmp_path / "log", guarding=NoGuardian())

    rests = [loop.rest(loop.tick()) for _ in range(40)]
    assert rests[0] == FIRST_PAUSE_S, "it may go well the next time"
    assert rests[-1] > 100 * FIRST_PAUSE_S
    views.append(replace(views[0], stopping=True))
    loop.tick()
    views.append(views[0])
    assert loop.rest(loop.tick()) == FIRST_PAUSE_S, "it did not fail the last time"


def test_a_loop_is_awake_when_its_lease_ends(tmp_path: Path) -> None:
    """Whoever holds it has to stop its server then, and nobody else may be there to wake it."""
    board, view = quiet()
    ends = replace(view, lease=b.lease(valid_until=b.at(0.7)))
    loop = resting_loop(lambda: view, board, tmp_path / "log")
    for _ in range(50):
        loop.tick()

    assert loop.rest(view) > 100.0
    assert loop.rest(ends) == pytest.approx(0.7)
    over = replace(view, lease=b.lease(valid_until=b.at(-0.1)))
    assert loop.rest(over) > 100.0, "what has ended is no news"


def test_each_tick_keeps_the_servers_log_within_its_bound(tmp_path: Path) -> None:
    log = tmp_path / "postgresql.log"
    log.touch()
    with log.open("r+b") as file:
        file.truncate(LONGEST_LOG_BYTES + 1)
    board, view = quiet()

    resting_loop(lambda: view, board, log).tick()

    assert log.stat().st_size == 0
    assert log.with_suffix(".log.1").stat().st_size == LONGEST_LOG_BYTES + 1
