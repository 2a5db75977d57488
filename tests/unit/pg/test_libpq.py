"""Connection strings, and the files that keep passwords out of them."""

from __future__ import annotations

from configparser import RawConfigParser
from pathlib import Path

import psycopg2.extensions
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftha.model.postgres import Binaries, ServerPlan, ServerRole, Upstream
from raftha.model.settings import Address, Credentials, Secret
from raftha.pg import argv, libpq
from tests.unit.pg.test_conf import CONFIG, VALUES, settings_for

UPSTREAM = Upstream(address=Address("db2", 5433), slot="n2", application_name="n2")
BINARIES = Binaries(bin_dir=Path("/bin15"), major=15, version="15.1", origin="system")
OPTIONS = {
    "sslmode": "verify-full",
    "sslcert": "/etc/repl.pem",
    "sslkey": "/etc/repl.key",
    "sslrootcert": "/etc/ca.pem",
    "gssencmode": "prefer",
    "krbsrvname": "pg",
}
WHO = Credentials(username="repl", options=OPTIONS, key_password=Secret("geh'eim = 1"))


@given(st.dictionaries(st.sampled_from(["host", "user", "application_name"]), VALUES, min_size=1))
def test_a_connection_string_is_read_back_by_libpq(values: dict[str, str]) -> None:
    assert psycopg2.extensions.parse_dsn(libpq.conninfo(values)) == values


def test_pgpass_escapes_and_refuses_line_breaks() -> None:
    assert libpq.pgpass([("a:b", "c\\d:e"), ("a:b", "c\\d:e")]) == "*:*:*:a\\:b:c\\\\d\\:e\n"
    with pytest.raises(ValueError, match="line break"):
        libpq.pgpass([("a", "b\nc")])


def test_the_options_of_a_user_win_over_what_is_usual() -> None:
    found = libpq.connection(UPSTREAM, WHO, Path("/run/pgpass"))
    assert {name: found[name] for name in OPTIONS} == OPTIONS
    assert (found["sslpassword"], found["host"]) == ("geh'eim = 1", "db2")
    plain = libpq.connection(UPSTREAM, Credentials(username="repl"), Path("/run/pgpass"))
    assert plain["gssencmode"] == "disable"
    assert not {"sslmode", "sslpassword", "service"} & set(plain)


def test_what_others_may_see_names_the_place_of_a_keys_password() -> None:
    """Arguments of programs, and a setting that the server logs when it changes."""
    parameters = libpq.connection(UPSTREAM, WHO, Path("/run/pgpass"))
    config = CONFIG.__class__(
        **{
            **{name: getattr(CONFIG, name) for name in CONFIG.__struct_fields__},
            "authentication": CONFIG.authentication.__class__(
                superuser=WHO, replication=WHO, rewind=WHO
            ),
        }
    )
    plan = ServerPlan(role=ServerRole.STANDBY, upstream=UPSTREAM)
    shown = [
        *argv.basebackup(BINARIES, Path("/d"), parameters, None),
        *argv.rewind(BINARIES, Path("/d"), parameters, restores=False),
        *argv.try_connection(BINARIES, parameters),
        settings_for(plan, config)["primary_conninfo"],
    ]
    assert not any("eim" in word or "sslpassword" in word for word in shown)
    read = psycopg2.extensions.parse_dsn(shown[-1])
    services = RawConfigParser()
    services.read_string(libpq.services((WHO, WHO)))
    assert services[read["service"]] == {"sslpassword": "geh'eim = 1"}
    assert read["sslkey"] == "/etc/repl.key"


def test_without_a_password_of_a_key_there_is_no_service() -> None:
    assert libpq.services((Credentials(username="repl", options=OPTIONS),)) == ""
