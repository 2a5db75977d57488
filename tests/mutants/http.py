"""Mutants of the HTTP interface, and of what a reload puts in force."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

_ANEW: Final = "unit/api/test_taken_anew.py::"
_AUTH: Final = "unit/api/test_auth.py::"
_CTL: Final = "unit/cli/test_ctl_section.py::"
_READINGS: Final = "unit/agent/test_readings.py::"
_BODIES: Final = "unit/api/test_bodies.py::"
_KEYS: Final = "unit/api/test_encrypted_keys.py::"
_RELOADS: Final = "unit/agent/test_reloading.py::"

MUTANTS: Final = (
    Mutant(
        file="api/server.py",
        without="what is behind a body in chunks is taken for a request",
        text='if b"Transfer-Encoding" in self.inheaders or not length.isdigit():',
        instead="if not length.isdigit():",
        caught_by=_BODIES + "test_nothing_behind_a_body_of_unknown_length_is_taken_for_a_request",
    ),
    Mutant(
        file="api/server.py",
        without="a body in chunks is read, however long",
        text='if "HTTP_TRANSFER_ENCODING" in environ or not length.isdecimal():',
        instead="if not length.isdecimal():",
        caught_by=_BODIES + "test_nothing_behind_a_body_of_unknown_length_is_taken_for_a_request",
    ),
    Mutant(
        file="api/application.py",
        without="a refused request is kept as one that was done",
        text="if reply.status >= 400:",
        instead="if reply.status >= 500:",
        caught_by=_BODIES + "test_a_dry_run_and_a_refusal_are_kept_as_such",
    ),
    Mutant(
        file="api/tls.py",
        without="a reload asks for no client certificates any more",
        text="_marks(files)\n            self._context = server_context(files, verify, ciphers)",
        instead="_marks(files)\n            "
        "self._context = server_context(files, VerifyClient.NONE, ciphers)",
        caught_by=_KEYS
        + "test_after_a_reload_that_does_not_say_otherwise_a_certificate_is_asked_for",
    ),
    Mutant(
        file="model/settings.py",
        without="a password goes before the certificates that are to take its place",
        text="if (self.tls is None) is (other.tls is None):",
        instead="if other.tls is not None:",
        caught_by=_RELOADS + "test_who_may_ask_over_https_waits_with_it",
    ),
    Mutant(
        file="model/settings.py",
        without="an agent announces an address that it does not listen on",
        text="listen=self.listen,\n            connect_address=self.connect_address,",
        instead="",
        caught_by=_RELOADS
        + "test_an_agent_keeps_its_name_and_its_addresses_until_it_is_started_anew",
    ),
    Mutant(
        file="api/auth.py",
        without="the password alone opens what asks for a certificate besides",
        text="if wants_certificate and not caller.verified:",
        instead="if False:",
        caught_by=_AUTH + "test_a_certificate_and_a_password_are_both_asked_of_a_change"
        "_and_either_of_a_reading",
    ),
    Mutant(
        file="api/auth.py",
        without="a wrong password is let in with a certificate",
        text="if is_known and caller.authorization is None:",
        instead="if is_known:",
        caught_by=_AUTH + "test_a_certificate_and_a_password_are_both_asked_of_a_change"
        "_and_either_of_a_reading",
    ),
    Mutant(
        file="api/server.py",
        without="a connection goes on for ever on the terms it was let in by",
        text="if self.conn.terms != self.server.terms:",
        instead="if False:",
        caught_by=_ANEW + "test_a_connection_that_was_let_in_on_other_terms_has_one_more_answer",
    ),
    Mutant(
        file="api/server.py",
        without="a certificate of an authority that was taken out counts once more",
        text="bool(wrapped.getpeercert()) and self._fresh.trust == trust",
        instead="bool(wrapped.getpeercert())",
        caught_by=_ANEW
        + "test_a_certificate_of_the_old_authority_opens_nothing_by_the_new_password",
    ),
    Mutant(
        file="api/server.py",
        without="the old password opens the door until the agent restarts",
        text="replace(application, config=config, allowlist=allowlist)",
        instead="replace(application, allowlist=allowlist)",
        caught_by=_ANEW + "test_another_password_counts_from_the_next_request_on",
    ),
    Mutant(
        file="api/server.py",
        without="the old allowlist counts until the agent restarts",
        text="replace(application, config=config, allowlist=allowlist)",
        instead="replace(application, config=config)",
        caught_by=_ANEW
        + "test_another_allowlist_and_closed_reading_count_from_the_next_request_on",
    ),
    Mutant(
        file="config/changes.py",
        without="an agent announces another name by a reload",
        text="name=started.name,",
        instead="name=read.name,",
        caught_by=_RELOADS
        + "test_an_agent_keeps_its_name_and_its_addresses_until_it_is_started_anew",
    ),
    Mutant(
        file="config/changes.py",
        without="an address is announced at which nobody listens yet",
        text="connect_address=read.connect_address if listens else started.connect_address,",
        instead="connect_address=read.connect_address,",
        caught_by=_RELOADS
        + "test_an_agent_keeps_its_name_and_its_addresses_until_it_is_started_anew",
    ),
    Mutant(
        file="agent/reloading.py",
        without="a file whose key cannot be opened is in force",
        text="                self.take(config)\n",
        instead="",
        caught_by=_RELOADS + "test_a_file_that_cannot_be_used_changes_nothing",
    ),
    Mutant(
        file="config/ctl_options.py",
        without="the command line shows the node's certificate in place of the person's",
        text="if self.certfile is None:",
        instead="if own is not None:",
        caught_by=_CTL + "test_the_section_wins_and_an_address_wins_over_it",
    ),
    Mutant(
        file="cli/discover.py",
        without="the command line shows the node's password in place of the person's",
        text="_given(urls) or ctl.authentication or rest.authentication",
        instead="_given(urls) or rest.authentication or ctl.authentication",
        caught_by=_CTL + "test_the_section_wins_and_an_address_wins_over_it",
    ),
    Mutant(
        file="metrics.py",
        without="a counter of Patroni's is a gauge here",
        text='page.replace(b"# TYPE %s gauge\\n" % name.encode(), _type_of(name))',
        instead="page",
        caught_by=_READINGS + "test_patronis_names_have_its_types_and_labels",
    ),
)
