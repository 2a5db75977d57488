"""Mutants of how the users of PostgreSQL log in: TLS, certificates, what stays secret."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

_FILES: Final = "unit/pg/test_login_files.py::"
_HBA: Final = "unit/pg/test_hba_lines.py::"
_LIBPQ: Final = "unit/pg/test_libpq.py::"
_LISTENING: Final = "unit/agent/test_listening.py::"
_LOOKS: Final = "unit/agent/test_login_looks.py::"
_LOGINS: Final = "unit/config/test_logins.py::"

MUTANTS: Final = (
    Mutant(
        file="pg/libpq.py",
        without="the password of a key is in arguments of programs and in the server's log",
        text="for name, value in parameters.items() if name != KEY_PASSWORD}",
        instead="for name, value in parameters.items()}",
        caught_by=_LIBPQ + "test_what_others_may_see_names_the_place_of_a_keys_password",
    ),
    Mutant(
        file="pg/libpq.py",
        without="the TLS options of a user are not used",
        text="        **who.options,\n",
        instead="",
        caught_by=_LIBPQ + "test_the_options_of_a_user_win_over_what_is_usual",
    ),
    Mutant(
        file="pg/hba.py",
        without="a user that never connects without TLS is let in without",
        text='"hostssl" if who.needs_tls or who.has_only_certificate else "host"',
        instead='"host"',
        caught_by=_HBA + "test_who_never_connects_without_tls_is_let_in_with_tls_alone",
    ),
    Mutant(
        file="pg/hba.py",
        without="a user that never connects without TLS is let in without by the next line",
        text="*rewind, *plain, *(lines",
        instead="*rewind, *(lines",
        caught_by=_HBA + "test_who_never_connects_without_tls_is_let_in_by_no_other_line",
    ),
    Mutant(
        file="pg/hba.py",
        without="a ticket of Kerberos is refused, for it is not TLS",
        text="return wants_tls and not who.uses_gss and",
        instead="return wants_tls and",
        caught_by=_HBA + "test_who_may_come_without_tls_is_not_kept_out",
    ),
    Mutant(
        file="pg/hba.py",
        without="R20: a closed server keeps out standbys that have a certificate alone",
        text='f"cert map={CERTIFICATES}" if who.has_only_certificate else',
        instead='"reject" if who.has_only_certificate else',
        caught_by=_HBA + "test_who_has_a_certificate_alone_is_known_by_it",
    ),
    Mutant(
        file="pg/hba.py",
        without="a line for whom a password is asked takes the place of raftha's own",
        text="if who.password is None and named:",
        instead="if named:",
        caught_by=_HBA + "test_without_a_password_a_users_own_line_for_the_streams_stands_first",
    ),
    Mutant(
        file="pg/login_files.py",
        without="a key that libpq refuses is found out by the stream that never comes",
        text="if found.st_mode & shared:",
        instead="if False:",
        caught_by=_FILES + "test_a_key_that_others_may_read_is_told",
    ),
    Mutant(
        file="agent/logins.py",
        without="a lost certificate has the agent of a good primary refuse to start",
        text="if running_pid(instance.config.data_dir) is None:",
        instead="if True:",
        caught_by=_LOOKS
        + "test_a_lost_certificate_keeps_a_node_from_starting_but_not_beside_its_server",
    ),
    Mutant(
        file="agent/listening.py",
        without="an agent looks for its server at a port where that one is not yet",
        text="if is_stranger or port is None or port == postgres.port:",
        instead="if True:",
        caught_by=_LISTENING + "test_the_agent_goes_on_where_the_server_is_and_says_what_waits",
    ),
    Mutant(
        file="config/logins.py",
        without="a server is to be verified by nobody",
        text='if mode.startswith("verify-") and root is None',
        instead="if False",
        caught_by=_LOGINS + "test_a_mistake_is_told",
    ),
)
