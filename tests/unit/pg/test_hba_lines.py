"""Lines of pg_hba.conf and pg_ident.conf that no PostgreSQL would read are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from raftha.model.settings import Authentication, Credentials, Secret
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
    users = (Credentials(username="postgres"),)
    text = hba.render_map("me", users, "old a b\n", ("m sys role",))

    assert "m sys role" in text.splitlines()
    assert "old a b" not in text
    assert "old a b" in hba.render_map("me", users, "old a b\n")


def by(**replication: object) -> Authentication:
    return Authentication(
        superuser=Credentials(username="postgres", password=Secret("geheim")),
        replication=Credentials(username="repl", **replication),  # type: ignore[arg-type]
        rewind=Credentials(username="postgres", password=Secret("geheim")),
    )


def streams(who: Authentication, *lines: str, closed: bool = False) -> list[str]:
    """Who may replicate, in the order that PostgreSQL goes by; up to where the lines of users begin
    or everybody is kept out."""
    text = hba.render(who, lines or hba.DEFAULT_LINES, closed=closed).splitlines()
    return text[3 : text.index("local all all reject" if closed else OURS_END)]


OURS_END = 'host all "postgres" all scram-sha-256'
VERIFIED = {"sslmode": "verify-full", "sslrootcert": "/ca"}
SHOWN = {**VERIFIED, "sslcert": "/c", "sslkey": "/k"}


@pytest.mark.parametrize("closed", [False, True])
def test_who_never_connects_without_tls_is_let_in_with_tls_alone(closed: bool) -> None:
    for mode in ("disable", "allow", "prefer"):
        who = by(password=Secret("geheim"), options={"sslmode": mode})
        assert streams(who, closed=closed) == ['host replication "repl" all scram-sha-256']
    for mode in ("require", "verify-ca", "verify-full"):
        who = by(password=Secret("geheim"), options={"sslmode": mode})
        assert streams(who, closed=closed) == ['hostssl replication "repl" all scram-sha-256']


@pytest.mark.parametrize("closed", [False, True])
def test_who_has_a_certificate_alone_is_known_by_it(closed: bool) -> None:
    who = by(options=SHOWN)
    ours = 'hostssl replication "repl" all cert map=raftha-tls'
    assert streams(who, closed=closed) == [ours]
    assert 'raftha-tls "repl" "repl"' in hba.render_map("me", who.users).splitlines()
    assert "raftha-tls" not in hba.render_map("me", by(password=Secret("x")).users)
    logical = hba.render(who, (), closed=False, logical=True)
    assert 'hostssl postgres "repl" all cert map=raftha-tls' in logical.splitlines()


PLAIN = 'hostnossl all,replication "repl" all reject'
"""Nobody comes in its name without TLS, whatever the lines behind this one ask for."""


@pytest.mark.parametrize(
    ("password", "lines"),
    [
        (None, ()),
        (None, ("host all all all md5",)),
        (Secret("geheim"), ()),
        (Secret("geheim"), ("host all,replication all all scram-sha-256",)),
    ],
)
def test_who_never_connects_without_tls_is_let_in_by_no_other_line(
    password: Secret | None, lines: tuple[str, ...]
) -> None:
    """A certificate may have taken the place of a password that the role still has."""
    text = hba.render(by(password=password, options=SHOWN), lines, closed=False).splitlines()
    assert text.index(PLAIN) < text.index((lines or hba.DEFAULT_LINES)[0])
    assert not any(line.startswith("hostnossl") and "postgres" in line for line in text)


@pytest.mark.parametrize(
    ("who", "lines"),
    [
        (by(password=Secret("x"), options={"sslmode": "prefer"}), ()),
        (by(options={"sslmode": "require", "gssencmode": "prefer"}), ()),
        (by(options=SHOWN), ("hostgssenc replication all all gss",)),
        (by(options=SHOWN), ("host all repl 10.0.0.1/32 scram-sha-256",)),
    ],
)
def test_who_may_come_without_tls_is_not_kept_out(
    who: Authentication, lines: tuple[str, ...]
) -> None:
    assert "hostnossl" not in hba.render(who, lines, closed=False)
    same = replace(who, rewind=Credentials(username="repl", password=Secret("x")))
    assert "hostnossl" not in hba.render(same, lines, closed=False)


def test_one_name_of_two_users_is_kept_out_only_where_both_never_come_without_tls() -> None:
    who = by(password=Secret("x"), options=VERIFIED)
    same = replace(who, rewind=Credentials(username="repl", password=Secret("x")))
    assert PLAIN in hba.render(who, (), closed=False)
    assert PLAIN not in hba.render(same, (), closed=False)


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize(
    "line",
    [
        "hostssl replication repl 10.0.0.0/8 cert map=nodes",
        'hostssl replication "repl" all cert map=nodes',
        "hostssl postgres,replication a,repl all cert map=nodes",
        "hostgssenc replication all all gss include_realm=1",
    ],
)
def test_without_a_password_a_users_own_line_for_the_streams_stands_first(
    line: str, closed: bool
) -> None:
    assert streams(by(options=SHOWN), line, "host all all all md5", closed=closed) == [line]
    kerberos = by(options={"krbsrvname": "pg"})
    assert streams(kerberos, line, closed=closed) == [line]
    assert streams(by(password=Secret("x")), line, closed=closed) != [line]


def test_who_has_a_ticket_alone_is_let_in_by_the_users_lines() -> None:
    assert streams(by(options={"gssencmode": "require"})) == []
    assert streams(by(options={"gssencmode": "disable"})) != []


@pytest.mark.parametrize(
    "line",
    [
        "hostssl all repl all cert map=nodes",
        "hostssl replication other all cert map=nodes",
        "local replication repl trust",
        "# hostssl replication repl all cert",
    ],
)
def test_lines_about_something_else_do_not_stand_for_the_streams(line: str) -> None:
    assert streams(by(options=SHOWN), line) == [
        'hostssl replication "repl" all cert map=raftha-tls'
    ]
