"""Mutants of the HTTP interface, and of what a reload puts in force."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

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
        text="self._context = server_context(files, self._verify, ciphers)",
        instead="self._context = server_context(files, VerifyClient.NONE, ciphers)",
        caught_by=_KEYS + "test_after_a_reload_a_certificate_is_asked_for_as_before",
    ),
    Mutant(
        file="model/settings.py",
        without="the password of a key that waits is tried on the one in use",
        text="other.tls is not None and tls.keyfile == other.tls.keyfile:",
        instead="other.tls is not None:",
        caught_by=_RELOADS + "test_the_password_of_another_key_waits_with_it",
    ),
    Mutant(
        file="model/settings.py",
        without="a reload opens what a password was asked for",
        text="return replace(\n            self,\n            tls=tls,",
        instead="return replace(\n            other,\n            tls=tls,",
        caught_by=_RELOADS
        + "test_an_agent_keeps_its_name_and_its_addresses_until_it_is_started_anew",
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
)
