"""The certificates that users of PostgreSQL show are looked at before anybody relies on them."""

from __future__ import annotations

from pathlib import Path

import pytest

from raftha.clock import SystemClock
from raftha.errors import Problem
from raftha.model.postgres import Binaries
from raftha.model.settings import Authentication, Credentials, Secret
from raftha.pg.login_files import refused
from tests.certificates import make_certificates

BUILT_WITHOUT = 'sslmode value "require" invalid when SSL support is not compiled in'
NO_SERVER = "connection to server on socket failed: Not a directory"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("certificates")
    make_certificates(made, "repl", "other")
    make_certificates(made, "closed", authority=made, password="geheim")
    return made


def libpq(folder: Path, words: str) -> Binaries:
    """One that refuses every connection with these words."""
    program = folder / "pg_basebackup"
    program.write_text(f"#!/bin/sh\necho 'pg_basebackup: error: {words}' >&2\nexit 1\n")
    program.chmod(0o755)
    return Binaries(bin_dir=folder, major=15, version="15.1", origin="configured")


def found(
    tmp_path: Path, options: dict[str, str], words: str = NO_SERVER, password: str = ""
) -> list[Problem]:
    who = Credentials(
        username="repl", options=options, key_password=Secret(password) if password else None
    )
    plain = Credentials(username="postgres")
    logins = Authentication(superuser=plain, replication=who, rewind=who)
    return [*refused(logins, libpq(tmp_path, words), SystemClock())]


def shown(folder: Path, name: str = "repl", **more: str) -> dict[str, str]:
    files = {"sslcert": f"{folder}/{name}.pem", "sslkey": f"{folder}/{name}.key"}
    return {"sslmode": "verify-full", "sslrootcert": f"{folder}/ca.pem", **files, **more}


def test_what_can_be_used_is_no_problem(folder: Path, tmp_path: Path) -> None:
    assert found(tmp_path, shown(folder)) == []
    assert found(tmp_path, shown(folder, "closed"), password="geheim") == []
    assert found(tmp_path, {"sslmode": "verify-full", "sslrootcert": "system"}) == []


@pytest.mark.parametrize(
    ("spoilt", "option", "words"),
    [
        ({"sslcert": "/nowhere.pem"}, "sslcert", "/nowhere.pem cannot be read by user"),
        ({"sslkey": "/nowhere.key"}, "sslkey", "No such file"),
        ({"sslrootcert": "/nowhere"}, "sslrootcert", "No such file"),
        ({"sslcrldir": "/nowhere"}, "sslcrldir", "No such file"),
        ({"sslkey": "{}/other.key"}, "sslcert", "are no certificate with its key"),
        ({"sslrootcert": "{}/repl.key"}, "sslrootcert", "holds no certificate"),
        ({"sslcert": "{}/closed.pem", "sslkey": "{}/closed.key"}, "sslpassword", "is missing"),
    ],
)
def test_a_bad_file_is_told_once_with_its_place(
    folder: Path, tmp_path: Path, spoilt: dict[str, str], option: str, words: str
) -> None:
    more = {name: value.format(folder) for name, value in spoilt.items()}
    (problem,) = found(tmp_path, shown(folder, **more))
    assert problem.where == f"postgresql.authentication.replication.{option}"
    assert words in problem.what
    assert problem.remedy


def test_a_wrong_password_of_a_key_is_told_and_not_shown(folder: Path, tmp_path: Path) -> None:
    (problem,) = found(tmp_path, shown(folder, "closed"), password="gehehm")
    assert "sslpassword: does not open" in str(problem)
    assert "gehehm" not in str(problem)


def test_a_key_that_others_may_read_is_told(tmp_path: Path) -> None:
    make_certificates(tmp_path, "repl")
    (tmp_path / "repl.key").chmod(0o644)
    (problem,) = found(tmp_path, shown(tmp_path))
    assert "can be read or written by others" in problem.what
    assert "chmod 600" in problem.remedy


def test_what_this_libpq_does_not_know_is_told(tmp_path: Path) -> None:
    (problem,) = found(tmp_path, {"sslmode": "require"}, BUILT_WITHOUT)
    assert problem.where == "postgresql.authentication.replication.sslmode"
    assert BUILT_WITHOUT in problem.what
