"""What the agent makes of its guardian's words, and what it leaves with it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from raftha.agent.guarding import Guarding
from raftha.errors import GuardianGone, GuardianRefused
from raftha.guardian.events import Fenced, GuardianStatus, ServerProcess, Ticks
from raftha.instants import Instant, Seconds
from raftha.model.ids import Epoch, Revision

EPOCH = Epoch(0, Revision(7))
BUDGET = Seconds(0.5)


class FakeClient:
    """A guardian that takes or refuses a will."""

    def __init__(self, *, refuses: bool = False) -> None:
        self.armed = 0
        self.margins: list[float] = []
        self.wills: list[tuple[str, ...]] = []
        self._refuses = refuses
        self.answer: GuardianStatus | None = None

    def status(self, *_: object) -> GuardianStatus | None:
        return self.answer

    def arm(self, *_: object, dead_man_seconds: float) -> None:
        self.armed += 1
        self.margins.append(dead_man_seconds)

    def entrust(self, argv: Sequence[str], _env: Mapping[str, str], *_: object) -> None:
        self.wills.append(tuple(argv))
        if self._refuses:
            raise GuardianRefused("unknown request")


class Answering:
    """A guardian that is there, and then gone."""

    def connect(self) -> None: ...

    def kill(self, _timeout: Seconds) -> None: ...

    def status(self, _timeout: Seconds) -> Any:
        self.status = self.gone  # type: ignore[method-assign]
        return SimpleNamespace(server=None)

    def gone(self, _timeout: Seconds) -> Any:
        raise GuardianGone("it is gone")


def guarding(will: Sequence[str] = (), **more: Any) -> Guarding:
    given: dict[str, Any] = {
        "socket_path": Path("none"),
        "data_dir": Path("none"),
        "log_path": Path("none"),
        "fence_budget": lambda: BUDGET,
        "changed": lambda: None,
        "lost": pytest.fail,
        "will": lambda: will,
    }
    return Guarding(**{**given, **more})


def test_why_no_guardian_can_be_had_is_known_until_there_is_one() -> None:
    problems = ["it is of another release"]

    def spawn(*_: object, **__: object) -> None:
        if problems:
            raise GuardianRefused(problems[0])

    held = guarding(spawn=spawn, client=lambda *_, **__: Answering())
    with pytest.raises(GuardianRefused):
        held.restore()
    assert held.view().problem == "it is of another release"
    problems.clear()
    held.restore()
    assert held.view().problem == ""


def arm(held: Guarding, client: FakeClient) -> None:
    held._connection = cast(Any, client)
    held.arm(EPOCH, Revision(8), Instant(1.0, 1.0))


@pytest.mark.parametrize(("seconds", "is_warned"), [(0.39, False), (0.41, True), (0.7, True)])
def test_a_fence_that_takes_most_of_its_budget_is_warned_of(
    seconds: float, is_warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    fenced = Fenced(
        reason="deadline",
        seconds=Seconds(seconds),
        killed=3,
        epoch=EPOCH,
        renewal=Revision(8),
    )
    with caplog.at_level(logging.WARNING):
        guarding()._heard(fenced)
    assert "guardian killed the server" in caplog.text
    assert ("most of its budget" in caplog.text) == is_warned


def test_the_will_is_left_once_and_again_when_it_or_the_guardian_has_changed() -> None:
    will = ["tell", "n2"]
    held, first, second = guarding(will), FakeClient(), FakeClient()
    for _ in range(3):
        arm(held, first)
    assert (first.armed, first.wills) == (3, [("tell", "n2")])
    will.append("n3")
    arm(held, first)
    assert first.wills == [("tell", "n2"), ("tell", "n2", "n3")]
    arm(held, second)
    assert second.wills == [("tell", "n2", "n3")]


def test_each_deadline_comes_with_the_margin_of_the_budget_at_that_time() -> None:
    budgets, client = [Seconds(1.0)], FakeClient()
    held = guarding(fence_budget=lambda: budgets[-1])
    arm(held, client)
    for budget in (0.4, 0.1):
        budgets.append(Seconds(budget))
        arm(held, client)
    assert client.margins == [0.5, 0.2, 0.1]


def test_a_guardian_that_takes_no_will_guards_all_the_same(
    caplog: pytest.LogCaptureFixture,
) -> None:
    held, client = guarding(["tell"]), FakeClient(refuses=True)
    for _ in range(3):
        arm(held, client)
    assert client.armed == 3
    assert caplog.text.count("takes no will") == 1


@pytest.mark.parametrize(
    ("is_primary", "kill_at", "fencing", "expected"),
    [
        (True, None, None, True),
        (True, Instant(9.0, 9.0), None, False),
        (True, None, "deadline", False),
        (False, None, None, False),
    ],
    ids=["paused", "armed", "being killed", "a standby"],
)
def test_a_primary_without_a_deadline_is_disarmed_unless_it_is_being_killed(
    is_primary: bool, kill_at: Instant | None, fencing: str | None, expected: bool
) -> None:
    status = GuardianStatus(
        nonce="n",
        guardian_pid=1,
        pgdata="/data",
        server=ServerProcess(pid=7, started=Ticks(8)),
        is_primary=is_primary,
        server_epoch=EPOCH,
        epoch=EPOCH,
        renewal=Revision(8),
        kill_at=kill_at,
        burned=(),
        fencing=fencing,
        remaining=1,
        last_exit=None,
        last_fence_s=None,
    )
    client = FakeClient()
    client.answer = status
    held = guarding()
    held._connection = cast(Any, client)

    assert held.view().disarmed is expected


@pytest.mark.parametrize("is_spared", [False, True])
def test_what_runs_without_a_guardian_is_ended_unless_it_is_to_be_taken_over(
    is_spared: bool,
) -> None:
    killed: list[object] = []

    class Fresh(Answering):
        def kill(self, timeout: Seconds) -> None:
            killed.append(timeout)

    held = guarding(
        spawn=lambda *_, **__: None, client=lambda *_, **__: Fresh(), spares=lambda: is_spared
    )
    held.restore()
    assert bool(killed) != is_spared
