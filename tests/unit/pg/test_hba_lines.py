"""Lines of pg_hba.conf and pg_ident.conf that no PostgreSQL would read are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftha.pg import hba


@pytest.mark.parametrize(
    "line",
    [
        "host all all all scram-sha-256",
        "host all all 0.0.0.0/0 md5  # everybody",
        "host all all 10.0.0.1 255.255.255.255 reject",
        "hostssl all,postgres +admins 2001:db8::/32 cert map=x clientcert=verify-full",
        'local "my db" all peer',
        "local all all trust",
        "hostssl app app .example.org ldap ldapserver=a ldapbasedn=b",
        'host all all samenet ldap ldapurl="ldap://a/b?c"',
        "# nothing",
        "",
        "include_dir more.d",
    ],
)
def test_what_postgresql_reads_is_taken(line: str) -> None:
    assert hba.unreadable((line,)) == ()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("hosts all all all md5", "no type of connection"),
        ("host all all md5", "needs a database"),
        ("host all all all sha-256", "no method"),
        ("host all all 10.0.0.1 md5", "needs a mask"),
        ("host all all 10.0.0.0/40 md5", "no network"),
        ("host all all 10.0.0.1 255.0.0.0", "method is missing"),
        ("host all all all peer", "local connections"),
        ("local all all", "method is missing"),
        ("local all all gss", "over a network"),
        ("host all all all md5 yes", "no option"),
    ],
)
def test_what_it_would_not_read_is_refused(line: str, words: str) -> None:
    (problem,) = hba.unreadable(("local all all trust", line))

    assert problem.where == "postgresql.pg_hba[1]"
    assert words in problem.what


@given(st.lists(st.text()))
def test_any_lines_can_be_judged(lines: list[str]) -> None:
    hba.unreadable(tuple(lines))
    hba.unreadable_map(tuple(lines))


def test_a_map_has_three_fields() -> None:
    assert hba.unreadable_map(("m sys role", "# x", "", 'm "a b" role')) == ()
    (problem,) = hba.unreadable_map(("m sys",))
    assert "a map, a system user and a role" in problem.what


def test_the_users_lines_take_the_place_of_what_the_cluster_had() -> None:
    text = hba.render_map("me", "postgres", "old a b\n", ("m sys role",))

    assert "m sys role" in text.splitlines()
    assert "old a b" not in text
    assert "old a b" in hba.render_map("me", "postgres", "old a b\n")
