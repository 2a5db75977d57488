"""How the three users of PostgreSQL log in: what is taken, how a refusal reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from raftha.config.changes import compare
from raftha.model.settings import Authentication, Secret


def written(good: str, more: dict[str, object] | None = None, **users: object) -> str:
    document = yaml.safe_load(good)
    document["postgresql"] |= {"authentication": users, **(more or {})}
    return yaml.safe_dump(document)


def logins(load_text: Any, good: str, **users: object) -> Authentication:
    found: Authentication = load_text(written(good, **users)).config.postgresql.authentication
    return found


SHOWN = {"sslcert": "repl.pem", "sslkey": "/keys/repl.key"}
VERIFIED = {"sslmode": "verify-full", "sslrootcert": "ca.pem"}


def test_what_patroni_knows_is_taken(load_text: Any, good: str, tmp_path: Path) -> None:
    options = {
        **SHOWN,
        **VERIFIED,
        "sslcrl": "crl.pem",
        "sslcrldir": "crls",
        "sslnegotiation": "direct",
        "gssencmode": "Prefer",
        "channel_binding": "require",
    }
    replication = {"username": "repl", "sslpassword": "geheim", **options}
    found = load_text(written(good, {"krbsrvname": "pg"}, replication=replication)).config
    who = found.postgresql.authentication.replication
    assert who.options == {
        "sslmode": "verify-full",
        "sslcert": str(tmp_path / "repl.pem"),
        "sslkey": "/keys/repl.key",
        "sslrootcert": str(tmp_path / "ca.pem"),
        "sslcrl": str(tmp_path / "crl.pem"),
        "sslcrldir": str(tmp_path / "crls"),
        "sslnegotiation": "direct",
        "gssencmode": "prefer",
        "channel_binding": "require",
        "krbsrvname": "pg",
    }
    assert (who.key_password, who.password) == (Secret("geheim"), None)
    assert who.has_only_certificate
    assert "geheim" not in repr(found)
    assert found.postgresql.authentication.superuser.options == {"krbsrvname": "pg"}


def test_a_user_needs_no_name_but_the_one_of_rewind(load_text: Any, good: str) -> None:
    found = logins(load_text, good, superuser=VERIFIED, replication={**VERIFIED, **SHOWN})
    assert (found.superuser.username, found.replication.username) == ("postgres", "replicator")
    assert found.rewind == found.superuser
    assert found.replication.options["sslmode"] == "verify-full"


def test_the_machines_own_authorities(load_text: Any, good: str) -> None:
    options = {"sslmode": "verify-full", "sslrootcert": "system"}
    assert logins(load_text, good, superuser=options).superuser.options == options


@pytest.mark.parametrize(
    ("user", "options", "words"),
    [
        ("superuser", {"sslmode": "verify"}, "sslmode: cannot be 'verify' (use one of disable"),
        ("replication", {"sslmode": "verify-ca"}, "no authority to verify a server by (add postgr"),
        ("replication", {"sslcert": "c.pem"}, "sslcert: has no effect without sslkey (add"),
        ("replication", {"sslkey": "c.key"}, "sslkey: has no effect without sslcert (add"),
        ("superuser", {"sslpassword": "x"}, "sslpassword: has no effect without sslkey"),
        ("superuser", {**SHOWN, "sslpassword": "x "}, "ends with a blank"),
        ("superuser", {"sslrootcert": "system"}, "not safe with sslmode prefer"),
        ("superuser", {"sslnegotiation": "direct"}, "direct needs TLS, which sslmode prefer may"),
        ("superuser", {"channel_binding": "require", "sslmode": "allow"}, "sslmode allow may do"),
        ("rewind", {"sslmode": "require"}, "sslmode: is given without a username (add postgresql"),
        ("rewind", {"sslcompression": "1"}, "is not an option of raftha"),
    ],
)
def test_a_mistake_is_told(
    refusals: Any, good: str, user: str, options: dict[str, object], words: str
) -> None:
    problem = " ".join(refusals(written(good, **{user: options})))
    assert f"postgresql.authentication.{user}" in problem
    assert words in problem
    assert "node.yml:" in problem


def test_the_environment_has_the_password_of_a_key(load_text: Any, good: str) -> None:
    name = "RAFTHA_POSTGRESQL__AUTHENTICATION__REPLICATION__SSLPASSWORD"
    found = load_text(written(good, replication={**SHOWN, **VERIFIED}), {name: "007"}).config
    assert found.postgresql.authentication.replication.key_password == Secret("007")


def test_each_change_is_told_by_its_option(load_text: Any, good: str) -> None:
    old = load_text(written(good, replication={**VERIFIED, **SHOWN})).config
    changed = {**VERIFIED, **SHOWN, "sslmode": "require", "sslpassword": "new"}
    new = load_text(written(good, {"krbsrvname": "pg"}, replication=changed)).config
    prefix = "postgresql.authentication.replication."
    paths = [change.path for change in compare(old, new)]
    assert paths == [prefix + "sslpassword", prefix + "sslmode", "postgresql.krbsrvname"]
