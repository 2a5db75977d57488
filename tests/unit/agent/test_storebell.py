"""What in the store wakes the loop of a member, and what does not."""

from __future__ import annotations

from typing import Final

from raftha.agent.storebell import StoreBell
from raftha.ha.keys import encode_told
from raftha.instants import Seconds
from raftha.model.ids import Lsn, Timeline
from raftha.model.store import KeyAbsent, Put, Remove, Transact, Write
from tests.sim.group import Group
from tests.unit.ha import servers as pg
from tests.unit.ha.builders import KEYS

POSITION: Final = Put(KEYS.position, encode_told(pg.N1, Timeline(1), Lsn(5000)))
MEMBER: Final = Put(KEYS.member(pg.N1), b"{}")


class Scene:
    """A group whose node `b` has a bell; `rung` counts."""

    def __init__(self) -> None:
        self.group = Group()
        self.rung = 0
        StoreBell(self.group.node("b").store, KEYS, self._ring).begin()
        self.group.elect("a")
        self.group.settle()
        self.rung = 0

    def _ring(self) -> None:
        self.rung += 1

    def write(self, *writes: Write) -> None:
        guards = tuple(KeyAbsent(w.key) for w in writes if isinstance(w, Put))
        store = self.group.node("a").store
        store.submit(Transact(guards, writes), timeout=Seconds(1e5), done=lambda _outcome: None)
        self.group.settle()
        assert all(w.key in self.group.keys("b") for w in writes if isinstance(w, Put))


def test_how_far_the_leader_has_written_wakes_nobody() -> None:
    scene = Scene()
    scene.write(POSITION)
    assert scene.rung == 0
    scene.write(MEMBER)
    assert scene.rung == 1, "what came before it is not all that has changed"


def test_what_comes_with_a_position_is_news() -> None:
    scene = Scene()
    scene.write(POSITION, MEMBER)
    assert scene.rung == 1


def test_a_position_that_is_withdrawn_wakes_nobody_either() -> None:
    scene = Scene()
    scene.write(POSITION)
    scene.write(Remove(KEYS.position))
    assert scene.rung == 0


def test_a_change_of_the_group_itself_is_news() -> None:
    scene = Scene()
    scene.group.pass_time("b", 2 * scene.group.timings.fallback)
    scene.group.step("b")
    assert scene.rung == 1, "the leader is not heard any more"


def test_after_a_snapshot_the_next_changes_are_heard() -> None:
    """Which changes led to a snapshot is not known, and what comes after it is."""
    scene = Scene()
    group = scene.group
    group.isolate("b")
    group.create("a", KEYS.member(pg.N2))
    group.settle("ac")
    group.compact("a")
    group.join("a", "b")
    group.settle()
    assert KEYS.member(pg.N2) in group.keys("b")
    assert scene.rung > 0

    scene.rung = 0
    scene.write(POSITION)
    assert scene.rung == 0
    scene.write(MEMBER)
    assert scene.rung == 1
