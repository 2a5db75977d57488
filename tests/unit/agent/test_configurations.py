"""Changes of the shared settings: what is taken, what is refused, and that a refusal changes
nothing."""

from __future__ import annotations

from typing import Any

import pytest

from raftha.errors import OutcomeUnknown, Problem, StoreUnavailable
from raftha.model.configuring import ConfigAnswer, ConfigChange, ConfigState
from raftha.model.settings import Profile
from tests.unit.api.fake_settings import GIVEN, FakeSettings, configurations


def patch(store: FakeSettings, document: object, revision: int | None = None) -> ConfigAnswer:
    asked = ConfigChange(document=document, replaces=False, revision=revision)
    return configurations(store).change(asked)


def put(store: FakeSettings, document: object, revision: int | None = None) -> ConfigAnswer:
    asked = ConfigChange(document=document, replaces=True, revision=revision)
    return configurations(store).change(asked)


def test_a_patch_is_merged_and_null_removes_a_key() -> None:
    store = FakeSettings()
    change = {"ttl": None, "postgresql": {"parameters": {"work_mem": None, "log_lock_waits": True}}}
    answer = patch(store, change, revision=11)

    assert answer.state is ConfigState.DONE
    assert store.document == {"postgresql": {"parameters": {"log_lock_waits": True}}}
    assert (answer.document, answer.revision) == (store.document, 12)


def test_a_put_replaces_everything() -> None:
    store = FakeSettings()

    assert put(store, {"ttl": 8, "format_version": 1}).document == {"ttl": 8}
    assert store.document == {"ttl": 8}


def test_what_is_there_already_is_not_written_again() -> None:
    store = FakeSettings()

    assert patch(store, {"ttl": 10}).state is ConfigState.DONE
    assert put(store, GIVEN).state is ConfigState.DONE
    assert store.writes == 0


BAD: list[tuple[object, str]] = [
    ({"ttl": "long"}, "settings: ttl: must be a number"),
    ({"ttl": 1}, "2"),
    ({"ttl": 2, "heartbeat": 1}, "heartbeat"),
    ({"loopwait": 5}, "did you mean loop_wait?"),
    ({"postgresql": {"parameter": {"work_mem": "1MB"}}}, "postgresql.parameters"),
    ({"postgresql": {"parameters": {"synchronous_standby_names": "*"}}}, "synchronous_mode"),
    ({"postgresql": {"parameters": {"Restart_After_Crash": "on"}}}, "bypasses the guardian"),
    ({"postgresql": {"parameters": {"port": 5433}}}, "belongs to one machine"),
    ({"postgresql": {"parameters": {"fsync": "off"}}}, "lose acknowledged commits"),
    ({"postgresql": {"parameters": {"max_connections": 3}}}, "25 or more"),
    ({"slots": "all"}, "slots"),
    ([], "mapping"),
    (None, "mapping"),
]


@pytest.mark.parametrize(("document", "words"), BAD)
@pytest.mark.parametrize("change", [patch, put])
def test_bad_values_are_refused_and_nothing_is_written(
    change: Any, document: object, words: str
) -> None:
    store = FakeSettings({})
    answer = change(store, document)

    assert answer.state is ConfigState.INVALID
    assert words in answer.message
    assert store.writes == 0


def test_every_mistake_is_told_at_once() -> None:
    answer = patch(FakeSettings(), {"loopwait": 5, "synchronous_mode": "many"})

    assert len(answer.message.splitlines()) == 2


def test_a_change_to_other_settings_than_those_seen_is_refused() -> None:
    store = FakeSettings()

    assert patch(store, {"ttl": 8}, revision=10).state is ConfigState.CONFLICT
    assert store.writes == 0


def test_whoever_writes_in_between_is_not_overwritten() -> None:
    store = FakeSettings()
    store.between = {"ttl": 20}

    assert patch(store, {"loop_wait": 2}).state is ConfigState.CONFLICT
    assert store.document == {"ttl": 20}


def test_a_server_is_asked_about_new_values_of_parameters_only() -> None:
    store = FakeSettings()
    picky = configurations(store, refused=(Problem("work_mem", "I do not like it"),))
    same = {"work_mem": "8MB"}

    def change(parameters: dict[str, object], **more: object) -> ConfigAnswer:
        document = {"postgresql": {"parameters": parameters}, **more}
        return picky.change(ConfigChange(document=document, replaces=True))

    assert change(same, ttl=8).state is ConfigState.DONE
    assert change({}).state is ConfigState.DONE
    refused = change({"work_mem": "9MB"})
    assert (refused.state, "I do not like it" in refused.message) == (ConfigState.INVALID, True)


def test_settings_that_the_store_cannot_hold_are_refused() -> None:
    store = FakeSettings()
    lines = [f"host all all 10.0.{number}.0/24 scram-sha-256" for number in range(400)]
    answer = patch(store, {"postgresql": {"pg_hba": lines}})

    assert answer.state is ConfigState.TOO_LARGE
    assert store.writes == 0


@pytest.mark.parametrize(
    ("store", "state"),
    [
        (FakeSettings(None), ConfigState.ABSENT),
        (FakeSettings({"format_version": 9}), ConfigState.ABSENT),
    ],
)
def test_settings_that_cannot_be_read_are_not_overwritten(
    store: FakeSettings, state: ConfigState
) -> None:
    assert configurations(store).read().state is state
    assert put(store, {"ttl": 8}).state is state
    assert store.writes == 0


def test_the_end_of_the_write_is_told_as_it_is() -> None:
    store = FakeSettings()
    store.error = OutcomeUnknown("x")
    assert patch(store, {"ttl": 8}).state is ConfigState.UNKNOWN
    store.error = StoreUnavailable("x")
    assert patch(store, {"ttl": 8}).state is ConfigState.UNAVAILABLE
    store.unread = OutcomeUnknown("x")
    assert patch(store, {"ttl": 8}).state is ConfigState.UNAVAILABLE, "nothing was written yet"


def test_a_short_ttl_waits_until_the_agents_run_with_its_timers() -> None:
    """R7: elections stay as long as they are until the agents are restarted."""
    store = FakeSettings({"profile": "slow"})
    slow = configurations(store, timers=Profile.SLOW)
    fast = ConfigChange(document={"profile": "fast"}, replaces=False)
    refused = slow.change(fast)
    assert refused.state is ConfigState.INVALID
    assert "profile slow" in refused.message
    assert store.writes == 0

    kept = ConfigChange(document={"profile": "fast", "ttl": 10}, replaces=False)
    assert slow.change(kept).state is ConfigState.DONE
    shorter = ConfigChange(document={"ttl": 2}, replaces=False)
    assert slow.change(shorter).state is ConfigState.INVALID
    restarted = configurations(store, timers=Profile.FAST)
    assert restarted.change(shorter).state is ConfigState.DONE


def test_settings_that_are_too_tight_already_can_still_be_changed_elsewhere() -> None:
    store = FakeSettings({"profile": "fast"})
    slow = configurations(store, timers=Profile.SLOW)
    other = ConfigChange(document={"maximum_lag_on_failover": 5}, replaces=False)

    assert slow.change(other).state is ConfigState.DONE
