"""The settings of the whole cluster: derivation, rule R7, patches, round trips."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftha.config.dynamic import dump_dynamic, merge, parse_dynamic, patch_dynamic, stored_document
from raftha.config.proposal import propose
from raftha.errors import ConfigError
from raftha.model.settings import (
    TIMINGS,
    DynamicConfig,
    PermanentSlot,
    Profile,
    SlotMatcher,
    SlotType,
    SynchronousMode,
)


def problems(document: object) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse_dynamic(document, "config")
    return [str(problem) for problem in caught.value.problems]


def test_an_empty_document_gives_the_defaults_of_the_model() -> None:
    assert parse_dynamic({}, "config") == DynamicConfig()


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        ("fast", (2.0, 0.4, 1.0, 0.5, 0.3, 1.0)),
        ("lan", (5.0, 1.0, 1.0, 1.25, 0.5, 2.5)),
        ("slow", (10.0, 2.0, 1.0, 2.5, 0.5, 5.0)),
        ("wan", (30.0, 6.0, 10.0, 10.0, 0.5, 15.0)),
    ],
)
def test_a_profile_sets_every_timing_that_is_not_given(
    profile: str, expected: tuple[float, ...]
) -> None:
    config = parse_dynamic({"profile": profile}, "config")
    timings = (config.ttl, config.heartbeat, config.loop_wait, config.retry_timeout)
    assert (*timings, config.fence_budget, config.primary_health_timeout) == expected


@pytest.mark.parametrize(("ttl", "loop", "retry"), [(30, 10, 10), (20, 1, 9), (30, 2, 14)])
def test_patronis_own_rule_is_enough(ttl: int, loop: int, retry: int) -> None:
    """Goal: `loop_wait + 2 * retry_timeout <= ttl` satisfies R7 because the heartbeat gives way."""
    config = parse_dynamic({"ttl": ttl, "loop_wait": loop, "retry_timeout": retry}, "config")
    assert config.heartbeat >= 0.2
    assert config.heartbeat + 2 * retry + config.fence_budget < 0.99 * ttl


def test_a_lease_that_one_lost_operation_outlives_is_refused_with_a_way_out() -> None:
    (told,) = problems({"ttl": 5, "retry_timeout": 2.5})
    assert told == (
        "config: ttl: is too short: heartbeat 1 + 2 * retry_timeout 2.5 + fence_budget 0.5 must be"
        " below 0.99 * ttl 5 = 4.95"
        " (for example ttl 5, heartbeat 1, retry_timeout 1.25, fence_budget 0.5)"
    )


@pytest.mark.parametrize(
    ("fits", "too_long", "part"),
    [
        ({"retry_timeout": 1.7}, {"retry_timeout": 1.75}, "2 * retry_timeout 1.75"),
        ({"heartbeat": 3.2}, {"heartbeat": 3.3}, "2 * its longest election 0.6"),
        ({"fence_budget": 1.4}, {"fence_budget": 1.45}, "fence_budget 1.45"),
    ],
)
def test_every_term_of_rule_r7_counts(
    fits: dict[str, float], too_long: dict[str, float], part: str
) -> None:
    """Method: 0.05 s on either side of 4.95, which is what a ttl of 5 leaves."""
    base = {"ttl": 5, "heartbeat": 1, "fence_budget": 0.5}
    retry = {"retry_timeout": 0.3 if "heartbeat" in fits else 1.25}
    parse_dynamic(base | retry | fits, "config")
    assert any(part in told for told in problems(base | retry | too_long))


def test_profile_slow_forbids_a_ttl_of_two() -> None:
    (told,) = problems({"profile": "slow", "ttl": 2})
    assert "too short for profile slow" in told
    assert "2 * its longest election 1.6" in told
    assert "for example ttl 4" in told


@given(
    ttl=st.floats(2, 60),
    heartbeat=st.none() | st.floats(0.2, 20),
    retry=st.none() | st.floats(0.2, 20),
    fence=st.none() | st.floats(0.2, 10),
    profile=st.sampled_from(list(Profile)),
)
def test_what_is_accepted_keeps_rule_r7_and_what_is_advised_is_accepted(
    ttl: float, heartbeat: float | None, retry: float | None, fence: float | None, profile: Profile
) -> None:
    given_ = {"heartbeat": heartbeat, "retry_timeout": retry, "fence_budget": fence}
    try:
        config = parse_dynamic({"ttl": ttl, "profile": profile.value, **given_}, "config")
    except ConfigError as error:
        advice = error.problems[0].remedy.removeprefix("for example ")
        pairs = [part.split(" ") for part in advice.split(", ")]
        advised = {name: float(value) for name, value in pairs}
        parse_dynamic({"profile": profile.value, **advised}, "config")
        return
    limit = 0.99 * config.ttl
    assert config.heartbeat + 2 * config.retry_timeout + config.fence_budget < limit
    longest = TIMINGS[profile].election_max
    assert config.heartbeat + 2 * longest + config.fence_budget < limit


@pytest.mark.parametrize(
    ("document", "part"),
    [
        (None, "must be a mapping"),
        ([], "must be a mapping"),
        ({"ttl": 1.9}, "config: ttl: must be at least 2, not 1.9"),
        ({"ttl": True}, "must be a number"),
        ({"ttl": "5"}, "must be a number"),
        ({"ttl": float("nan")}, "finite"),
        ({"ttl": 10**5000}, "must be at most 3600, not a very large one"),
        ({"ttl": -(10**400)}, "must be at least 2"),
        ({"postgresql": {"parameters": {"a": 10**5000}}}, "must be one value"),
        ({"tll": 5}, "did you mean ttl?"),
        ({"maximum_lag_on_failover": 1.5}, "must be a whole number"),
        ({"maximum_lag_on_failover": -1}, "must be at least 0"),
        ({"synchronous_mode": 1}, "must be quorum, on or off"),
        ({"synchronous_mode_strict": "perhaps"}, "true or false"),
        ({"synchronous_node_count": 0}, "must be at least 1"),
        ({"maximum_lag_on_syncnode": -2}, "must be at least -1"),
        ({"postgresql": []}, "must be a section"),
        ({"postgresql": {"pg_hba": "x"}}, "a list of lines"),
        ({"member_slots_ttl": "soon"}, "is no length of time: 'soon' (write 1800 or 30min)"),
        ({"member_slots_ttl": -1}, "must be at least 0"),
        ({"slots": ["a"]}, "must be a section of slots by name, not a list"),
        ({"slots": {"A-1": {}}}, "has a slot with an impossible name: 'A-1'"),
        ({"slots": {"a": "physical"}}, "slot a must be a section"),
        ({"slots": {"a": {"type": "logical"}}}, "slot a is logical and has no database"),
        ({"slots": {"a": {"database": "d"}}}, "slot a is logical and has no plugin"),
        ({"slots": {"a": {"type": "both"}}}, "the type 'both' (use physical or logical)"),
        ({"slots": {"a": {"type": "physical", "plugin": "p"}}}, "physical and has a plugin"),
        ({"slots": {"a": {"cluster_type": "standby"}}}, "for a standby cluster"),
        ({"slots": {"a": {"tpye": "physical"}}}, "slot a has an unknown key: 'tpye'"),
        ({"ignore_slots": {"name": "a"}}, "must be a list"),
        ({"ignore_slots": [{}]}, "entry 1 names nothing"),
        ({"ignore_slots": [{"name": "a"}, {"nam": "b"}]}, "entry 2 has an unknown key: 'nam'"),
        ({"ignore_slots": [{"name": 3}]}, "entry 1: name must be text, not a whole number (3)"),
        ({"profile": "moon"}, "use one of fast, lan, slow, wan"),
        ({"format_version": 2}, "must be at most 1"),
    ],
)
def test_a_bad_document_is_refused(document: object, part: str) -> None:
    assert any(part in told for told in problems(document))


@pytest.mark.parametrize(
    ("value", "mode"),
    [
        *[(True, "on"), ("on", "on"), ("ON", "on"), (False, "off"), ("off", "off")],
        *[("false", "off"), ("quorum", "quorum"), ("Quorum", "quorum")],
    ],
)
def test_synchronous_mode_is_written_in_many_ways(value: object, mode: str) -> None:
    config = parse_dynamic({"synchronous_mode": value}, "config")
    assert config.synchronous_mode is SynchronousMode(mode)


def test_the_stored_document_holds_only_what_was_given() -> None:
    given_ = {"ttl": 10, "postgresql": {"parameters": {"a": 1, "b": None}}}
    assert stored_document(given_) == {
        "format_version": 1,
        "ttl": 10,
        "postgresql": {"parameters": {"a": 1}},
    }


def test_what_follows_from_other_settings_is_not_stored_at_the_birth() -> None:
    """Or a shorter ttl would be refused for a heartbeat that nobody has asked for."""
    born = dump_dynamic(parse_dynamic({"ttl": 8, "loop_wait": 2}, "file"))
    assert born["ttl"] == 8
    assert born["loop_wait"] == 2
    assert not {"heartbeat", "retry_timeout", "fence_budget"} & born.keys()
    assert born["synchronous_mode"] == DynamicConfig().synchronous_mode.value

    shorter, config = patch_dynamic(born, {"ttl": 4, "loop_wait": None}, "PATCH")
    assert (config.heartbeat, config.retry_timeout) == (0.8, 1.0)
    given_ = dump_dynamic(parse_dynamic({"heartbeat": 0.5}, "file"))
    assert given_["heartbeat"] == 0.5
    assert shorter["ttl"] == 4


def test_a_timing_that_was_given_is_stored_also_where_it_would_follow() -> None:
    """Or another profile would move it."""
    born = dump_dynamic(parse_dynamic({"ttl": 5}, "file"), {"ttl"})
    assert born["ttl"] == 5
    assert patch_dynamic(born, {"profile": "fast"}, "PATCH")[1].ttl == 5
    assert "ttl" not in dump_dynamic(parse_dynamic({}, "file"))


def test_timings_that_are_written_are_known_from_those_that_follow(
    load_text: Any, good: str
) -> None:
    text = good + "bootstrap:\n  dcs:\n    ttl: 5\n    loop_wait: null\n    pause: false\n"
    written, usual = load_text(text).config.bootstrap, load_text(good).config.bootstrap
    assert written.dynamic == usual.dynamic
    assert (written.given_timings, usual.given_timings) == ({"ttl"}, frozenset())


def test_a_patch_merges_and_null_removes() -> None:
    before = {"ttl": 10, "postgresql": {"parameters": {"a": 1, "b": 2}}}
    after, config = patch_dynamic(
        before, {"ttl": None, "postgresql": {"parameters": {"b": None, "c": True}}}, "PATCH"
    )
    assert after == {"format_version": 1, "postgresql": {"parameters": {"a": 1, "c": True}}}
    assert config.ttl == 5.0
    assert config.postgresql.parameters == {"a": "1", "c": "on"}
    assert before["ttl"] == 10


def test_slots_are_read_as_patroni_writes_them() -> None:
    document = {
        "member_slots_ttl": "30min",
        "slots": {"b": {"database": "d", "plugin": "p"}, "a": {"type": "physical"}},
        "ignore_slots": [{"name": "x", "type": "logical"}],
    }
    config = parse_dynamic(document, "config")
    assert config.member_slots_ttl == 1800
    physical, logical = config.slots
    assert (physical, physical.is_logical) == (PermanentSlot(name="a"), False)
    assert (logical.database, logical.plugin, logical.is_logical) == ("d", "p", True)
    assert config.ignore_slots == (SlotMatcher(name="x", type=SlotType.LOGICAL),)


@pytest.mark.parametrize("change", [None, [], 3, {"ttl": 1}, {"x": 1}])
def test_a_bad_patch_is_refused(change: object) -> None:
    with pytest.raises(ConfigError):
        patch_dynamic({}, change, "PATCH")


trees = st.recursive(
    st.none() | st.booleans() | st.integers(),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
)


@given(
    document=st.dictionaries(st.sampled_from("abc"), trees),
    change=st.dictionaries(st.sampled_from("abc"), trees),
)
def test_the_same_patch_twice_is_the_same_as_once(
    document: dict[str, object], change: dict[str, object]
) -> None:
    once = merge(document, change)
    assert merge(once, change) == once


@given(
    document=st.fixed_dictionaries(
        {},
        optional={
            "profile": st.sampled_from(["fast", "lan", "wan"]),
            "ttl": st.floats(6, 600),
            "loop_wait": st.integers(1, 20),
            "primary_start_timeout": st.floats(0, 9000),
            "maximum_lag_on_failover": st.integers(0, 2**40),
            "synchronous_mode": st.booleans() | st.just("quorum"),
            "synchronous_mode_strict": st.booleans(),
            "synchronous_node_count": st.integers(1, 9),
            "maximum_lag_on_syncnode": st.integers(-1, 2**40),
            "member_slots_ttl": st.integers(0, 9999) | st.sampled_from(["30min", "1.5 h"]),
            "slots": st.dictionaries(
                st.from_regex(r"[a-z0-9_]{1,9}", fullmatch=True),
                st.sampled_from(
                    [
                        None,
                        {},
                        {"type": "physical", "cluster_type": "primary"},
                        {"type": "logical", "database": "d", "plugin": "pgoutput"},
                        {"database": "d", "plugin": "wal2json"},
                    ]
                ),
            ),
            "ignore_slots": st.lists(
                st.sampled_from(
                    [{"name": "a"}, {"type": "logical", "plugin": "p"}, {"database": "d"}]
                )
            ),
            "postgresql": st.fixed_dictionaries(
                {},
                optional={
                    "use_slots": st.booleans(),
                    "parameters": st.dictionaries(
                        st.from_regex(r"[a-z_]{1,9}", fullmatch=True),
                        st.booleans() | st.integers() | st.text(alphabet="aZ9 '\\é"),
                    ),
                    "pg_hba": st.lists(st.text(alphabet='aZ9 /"', min_size=1)),
                },
            ),
        },
    )
)
def test_a_dumped_configuration_parses_to_the_same(document: dict[str, object]) -> None:
    config = parse_dynamic(document, "config")
    dumped = json.loads(json.dumps(dump_dynamic(config)))
    assert parse_dynamic(dumped, "config") == config


def test_settings_of_recovery_are_parameters_wherever_they_stand() -> None:
    before = {"postgresql": {"recovery_conf": {"restore_command": "cp a %p"}}}
    config = parse_dynamic(before, "config")
    assert config.postgresql.parameters == {"restore_command": "cp a %p"}

    both = {"postgresql": {"parameters": {"restore_command": "cp b %p"}}}
    proposal = propose(before, both, replaces=False, timers=Profile.LAN, where="config")
    assert proposal.config.postgresql.parameters == {"restore_command": "cp b %p"}
    assert proposal.parameters == {"restore_command": "cp b %p"}, "PostgreSQL is to judge it"

    moved = {"postgresql": {"parameters": {"restore_command": None}}}
    back = propose(proposal.document, moved, replaces=False, timers=Profile.LAN, where="config")
    assert back.parameters == {"restore_command": "cp a %p"}
    gone = {"postgresql": {"recovery_conf": None}}
    none = propose(before, gone, replaces=False, timers=Profile.LAN, where="config")
    assert none.config.postgresql.parameters == {}


def test_who_is_followed_is_no_setting_of_recovery_conf() -> None:
    change = {"postgresql": {"recovery_conf": {"primary_conninfo": "host=other"}}}
    with pytest.raises(ConfigError, match="primary_conninfo"):
        propose({}, change, replaces=False, timers=Profile.LAN, where="config")


def test_an_old_name_means_the_one_of_today_and_is_stored_by_it() -> None:
    change = {"master_start_timeout": 60, "master_stop_timeout": 5}
    proposal = propose({"ttl": 6}, change, replaces=False, timers=Profile.LAN, where="config")
    assert proposal.config.primary_start_timeout == 60
    assert proposal.config.primary_stop_timeout == 5
    stored = {"format_version": 1, "ttl": 6}
    stored |= {"primary_start_timeout": 60, "primary_stop_timeout": 5}
    assert proposal.document == stored
    assert parse_dynamic(change, "config").primary_stop_timeout == 5


@pytest.mark.parametrize("names", [("master", "primary"), ("primary", "master")])
def test_an_old_name_beside_the_one_of_today_is_refused(names: tuple[str, str]) -> None:
    both = {f"{name}_stop_timeout": 5 for name in names}
    assert problems(both) == [
        "config: master_stop_timeout: is the old name of primary_stop_timeout, which is given too"
        " (remove one of them)"
    ]
    with pytest.raises(ConfigError, match="given too"):
        propose(
            {f"{names[0]}_stop_timeout": 5},
            {f"{names[1]}_stop_timeout": 6},
            replaces=False,
            timers=Profile.LAN,
            where="config",
        )


def test_a_wrong_value_under_an_old_name_is_told() -> None:
    (told,) = problems({"master_stop_timeout": "soon"})
    assert "primary_stop_timeout" in told


@pytest.mark.parametrize("role", ["primary", "replica", "standby_leader"])
@pytest.mark.parametrize("what", ["parameters", "pg_hba", "pg_ident"])
def test_what_is_meant_for_one_role_is_refused_with_the_reason(what: str, role: str) -> None:
    (told,) = problems({"postgresql": {f"{what}_{role}": {"a": 1}}})
    assert f"{what} by role are not supported" in told
    assert f"write postgresql.{what}" in told
