"""postgresql.conf as text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import psycopg2.extensions
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from raftha.model.ids import Lsn, SystemId, Timeline
from raftha.model.postgres import ControlData, ControlState, ServerPlan, ServerRole, Upstream
from raftha.model.settings import Address, Authentication, Credentials, PostgresConfig
from raftha.pg import conf
from raftha.pg.conf import NOTHING

NAMES = st.from_regex(r"[a-z_][a-z0-9_$]{0,20}(\.[a-z_][a-z0-9_$]{0,20})?", fullmatch=True).filter(
    lambda name: not name.startswith("include")
)
VALUES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
CONFIG = PostgresConfig(
    listen_hosts=("127.0.0.1", "::1"),
    connect_address=Address("10.0.0.1", 5432),
    data_dir=Path("/data/pg"),
    authentication=Authentication(
        superuser=Credentials(username="postgres"),
        replication=Credentials(username="re pl'"),
        rewind=Credentials(username="rewind"),
    ),
    port=5432,
)
CONTROL = ControlData(
    system_id=SystemId("1"),
    state=ControlState.SHUT_DOWN,
    checkpoint=Lsn(1),
    redo=Lsn(1),
    timeline=Timeline(1),
    minimum_recovery_end=Lsn(0),
    minimum_recovery_timeline=Timeline(0),
    checksums=True,
    wal_log_hints=True,
    max_connections=500,
    max_worker_processes=4,
    max_wal_senders=10,
    max_prepared_transactions=7,
    max_locks_per_transaction=64,
)
UPSTREAM = Upstream(address=Address("fe80::1", 5433), slot="n2", application_name="n2-ab'\\c")


def settings_for(
    plan: ServerPlan,
    config: PostgresConfig = CONFIG,
    major: int = 16,
    original: Mapping[str, str] = NOTHING,
) -> dict[str, str]:
    return conf.settings(
        config=config,
        plan=plan,
        scope="demo",
        run_dir=Path("/run/raftha"),
        passfile=Path("/run/raftha/pgpass"),
        control=CONTROL,
        volume_bytes=100 << 30,
        major=major,
        original=original,
    )


@given(st.dictionaries(NAMES, VALUES))
def test_what_is_rendered_is_parsed_back(values: dict[str, str]) -> None:
    assert conf.parse(conf.render(values)) == values


@given(st.text())
def test_any_text_can_be_parsed(text: str) -> None:
    conf.parse(text)


def test_the_forms_that_people_write_are_parsed() -> None:
    text = """
    # a comment
    Max_Connections 100   # no equals sign
    work_mem = '4MB'
    work_mem='8MB'
    a.b = 'it''s \\'q\\' \\101\\n'
    include 'other.conf'
    include_dir = 'conf.d'
    broken = 'no end
    """
    assert conf.parse(text) == {"max_connections": "100", "work_mem": "8MB", "a.b": "it's 'q' A\n"}


@pytest.mark.parametrize("name", ["", "a b", "1a", "a=b", "a\nb", "a.b.c"])
def test_a_name_that_is_none_is_not_rendered(name: str) -> None:
    with pytest.raises(ValueError, match="name of a parameter"):
        conf.render({name: "x"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("primary_conninfo", ""),
        ("PORT", "1"),
        ("synchronous_standby_names", "*"),
        ("restart_after_crash", "on"),
        ("wal_log_hints", "off"),
        ("wal_level", "minimal"),
        ("fsync", "off"),
        ("fsync", "FALSE"),
        ("full_page_writes", "n"),
        ("full_page_writes", "0"),
        ("max_wal_senders", "2"),
        ("max_connections", "many"),
        ("include_if_exists", "x"),
        ("bad name", "x"),
        ("work_mem", "\0"),
    ],
)
def test_a_forbidden_parameter_is_named(name: str, value: str) -> None:
    (problem,) = conf.forbidden({name: value})
    assert problem.where == f"postgresql.parameters.{name}"


def test_ordinary_parameters_are_allowed() -> None:
    allowed = {
        "work_mem": "4MB",
        "fsync": "on",
        "full_page_writes": "true",
        "wal_level": "logical",
        "restart_after_crash": "off",
        "max_connections": "25",
        "pg_stat_statements.max": "1",
    }
    assert conf.forbidden(allowed) == ()


def test_a_standby_never_has_less_shared_memory_than_pg_control_demands() -> None:
    found = settings_for(ServerPlan(role=ServerRole.STANDBY, parameters={"max_connections": "600"}))
    assert found["max_connections"] == "600"
    assert found["max_prepared_transactions"] == "7"
    lower = ServerPlan(role=ServerRole.STANDBY, parameters={"max_connections": "100"})
    assert settings_for(lower)["max_connections"] == "500"
    as_primary = replace(lower, role=ServerRole.PRIMARY)
    assert settings_for(as_primary)["max_connections"] == "100"


def test_a_size_that_is_set_no_more_gets_its_default_on_the_primary_first() -> None:
    found = settings_for(ServerPlan(role=ServerRole.PRIMARY))
    assert (found["max_prepared_transactions"], found["max_connections"]) == ("0", "100")
    found = settings_for(ServerPlan(role=ServerRole.STANDBY))
    assert (found["max_prepared_transactions"], found["max_connections"]) == ("7", "500")


def test_a_directory_that_was_taken_over_keeps_what_it_was_used_with() -> None:
    """The transactions that are prepared in it, and its slots, or it would not even start."""
    original = {
        "max_connections": "300",
        "max_prepared_transactions": "900",
        "max_replication_slots": "40",
        "max_wal_senders": "3",
        "wal_level": "logical",
    }
    found = settings_for(ServerPlan(role=ServerRole.PRIMARY), original=original)
    assert {name: found[name] for name in original} == {
        "max_connections": "300",
        "max_prepared_transactions": "7",  # as it last ran: it was never in force
        "max_replication_slots": "40",
        "max_wal_senders": "16",
        "wal_level": "logical",
    }
    set_here = ServerPlan(
        role=ServerRole.PRIMARY, parameters={"max_connections": "50", "wal_level": "replica"}
    )
    found = settings_for(set_here, original=original)
    assert (found["max_connections"], found["wal_level"]) == ("50", "replica")


def test_a_primary_does_not_go_above_its_standbys() -> None:
    """R26: a primary that came back from a crash with more would stop the replay of them all."""
    parameters = {"max_connections": "700"}
    held = ServerPlan(
        role=ServerRole.PRIMARY, parameters=parameters, limits={"max_connections": 500}
    )
    assert settings_for(held)["max_connections"] == "500"
    halfway = replace(held, limits={"max_connections": 600})
    assert settings_for(halfway)["max_connections"] == "600"
    below_what_runs = replace(held, limits={"max_connections": 90})
    assert settings_for(below_what_runs)["max_connections"] == "500"
    assert settings_for(replace(held, limits={}))["max_connections"] == "700"
    lower = replace(held, parameters={"max_connections": "90"})
    assert settings_for(lower)["max_connections"] == "90"


def test_an_archive_is_not_looked_into_five_times_a_second() -> None:
    """A follower of a new primary has to be attached soon; nobody waits for the archive's."""
    for alone, interval in ((False, "200ms"), (True, "5s")):
        found = settings_for(ServerPlan(role=ServerRole.STANDBY, archive_only=alone))
        assert found["wal_retrieve_retry_interval"] == interval


def test_what_is_included_ends_no_recovery() -> None:
    """R11: at a target that is left there a standby would promote itself past the guardian."""
    for major, has_trigger in ((15, True), (16, False)):
        found = settings_for(ServerPlan(role=ServerRole.STANDBY), major=major)
        targets = {name: value for name, value in found.items() if "recovery_target" in name}
        assert targets.pop("recovery_target_timeline") == "latest"
        assert len(targets) == 5
        assert set(targets.values()) == {""}
        assert ("promote_trigger_file" in found) is has_trigger


def test_values_that_exclude_one_another_are_told() -> None:
    assert conf.contradictions({"max_connections": "100"}) == ()
    (problem,) = conf.contradictions(
        {"Max_Connections": "30", "superuser_reserved_connections": "30"}
    )
    assert "nobody else would get in" in problem.what


def test_a_slot_may_keep_a_fifth_of_the_volume_unless_somebody_says_otherwise() -> None:
    plan = ServerPlan(role=ServerRole.PRIMARY)
    assert settings_for(plan)["max_slot_wal_keep_size"] == "20480MB"
    assert conf.slot_limit(1 << 30) == "1024MB"
    unlimited = replace(plan, parameters={"max_slot_wal_keep_size": "-1"})
    assert settings_for(unlimited)["max_slot_wal_keep_size"] == "-1"


def test_the_nodes_own_parameter_wins_over_the_clusters() -> None:
    plan = ServerPlan(role=ServerRole.PRIMARY, parameters={"Work_Mem": "1MB", "x.y": "1"})
    found = settings_for(plan, replace(CONFIG, parameters={"work_mem": "2MB"}))
    assert (found["work_mem"], found["x.y"]) == ("2MB", "1")


def test_a_standby_streams_through_its_slot_under_its_name() -> None:
    found = settings_for(ServerPlan(role=ServerRole.STANDBY, upstream=UPSTREAM))
    dsn = psycopg2.extensions.parse_dsn(found["primary_conninfo"])
    assert (dsn["host"], dsn["port"], dsn["user"]) == ("fe80::1", "5433", "re pl'")
    assert dsn["application_name"] == UPSTREAM.application_name
    assert dsn["passfile"] == "/run/raftha/pgpass"
    assert "password" not in dsn
    assert found["primary_slot_name"] == "n2"


def test_the_primary_keeps_for_a_standby_what_its_copies_of_logical_slots_need() -> None:
    plan = ServerPlan(
        role=ServerRole.STANDBY,
        upstream=UPSTREAM,
        logical=True,
        parameters={"hot_standby_feedback": "off"},
    )
    old, new = settings_for(plan), settings_for(plan, major=17)
    assert (old["hot_standby_feedback"], new["hot_standby_feedback"]) == ("on", "on")
    assert "sync_replication_slots" not in old
    assert "dbname" not in old["primary_conninfo"]
    assert new["sync_replication_slots"] == "on"
    assert psycopg2.extensions.parse_dsn(new["primary_conninfo"])["dbname"] == "postgres"
    alone = settings_for(replace(plan, upstream=None), major=17)
    assert "sync_replication_slots" not in alone, "PostgreSQL would complain without end"


def test_readers_of_logical_slots_wait_for_those_who_may_be_promoted_unless_told_otherwise() -> (
    None
):
    plan = ServerPlan(role=ServerRole.PRIMARY, logical=True, awaited=("n2", "n3"))
    assert "synchronized_standby_slots" not in settings_for(plan)
    assert settings_for(plan, major=17)["synchronized_standby_slots"] == "n2, n3"
    own = replace(plan, parameters={"synchronized_standby_slots": "n3"})
    assert settings_for(own, major=17)["synchronized_standby_slots"] == "n3"
    assert "synchronized_standby_slots" not in settings_for(replace(plan, logical=False), major=17)


def test_without_an_upstream_nothing_is_followed() -> None:
    found = settings_for(ServerPlan(role=ServerRole.STANDBY))
    assert (found["primary_conninfo"], found["primary_slot_name"]) == ("", "")
    assert found["restart_after_crash"] == "off"
    assert found["wal_retrieve_retry_interval"] == "200ms"


def test_alter_system_keeps_what_is_not_ours() -> None:
    text = (
        "# hand made\nwork_mem = '4MB'\nprimary_conninfo = 'host=x'\nrestart_after_crash = 'on'\n"
    )
    assert conf.parse(conf.without_managed(text)) == {"work_mem": "4MB"}
    harmless = "# hand made\nwork_mem = '4MB'\n"
    assert conf.without_managed(harmless) == harmless


def test_a_socket_path_that_is_too_long_is_a_problem() -> None:
    assert conf.socket_problem(Path("/run"), 5432) is None
    assert conf.socket_problem(Path("/" + "x" * 100), 5432) is not None
    assert conf.socket_problem(Path("/a,b"), 5432) is not None
