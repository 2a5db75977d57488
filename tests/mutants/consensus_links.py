"""Mutants of the links of the consensus, of its library, and of its disk."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

_CERTIFICATES: Final = "unit/consensus/test_certificates.py::"
_MEMBERS: Final = "unit/consensus/test_members.py::"
_RECOGNITION: Final = "unit/consensus/test_recognition.py::"
_RUNTIME: Final = "unit/consensus/test_hazards_runtime.py::"
_RECEPTION: Final = "unit/consensus/test_reception.py::"

MUTANTS: Final = (
    Mutant(
        file="consensus/commands.py",
        without="H20: nesting without end raises what nobody expects",
        text="UNDECODABLE: Final = (msgspec.MsgspecError, ValueError, RecursionError)",
        instead="UNDECODABLE: Final = (msgspec.MsgspecError, ValueError)",
        caught_by="properties/test_fuzz.py::test_reading_costs_little_more_than_what_is_read",
    ),
    Mutant(
        file="consensus/wire.py",
        without="H20: a message of any size is read",
        text="if len(data) > MAX_FRAME_BYTES:",
        instead="if not isinstance(data, bytes):",
        caught_by="properties/test_fuzz.py::test_a_frame_above_the_limit_is_not_read_at_all",
    ),
    Mutant(
        file="consensus/handshake.py",
        without="H20: a guest may drip its greeting for ever",
        text='raise WireError("it dripped its greeting")',
        instead="return bytes(received) + _receive_exactly(connection, count - len(received))",
        caught_by="unit/consensus/test_security.py::test_a_dripped_greeting_is_refused",
    ),
    Mutant(
        file="consensus/handshake.py",
        without="H20: a greeting may be of any length",
        text="if length > _MAX_BYTES:",
        instead="if length < 0:",
        caught_by="unit/consensus/test_security.py::test_a_dripped_greeting_is_refused",
    ),
    Mutant(
        file="consensus/core.py",
        without="H19: a stranger is listened to",
        text="if not self.membership.knows(peer):",
        instead="if not peer:",
        caught_by=_RUNTIME + "test_h19_nobody_but_a_voter_is_listened_to",
    ),
    Mutant(
        file="consensus/security.py",
        without="H20: a frame may be of any size",
        text="if length > MAX_FRAME_BYTES:",
        instead="if length < 0:",
        caught_by=_RUNTIME + "test_h20_a_giant_frame_is_refused_by_its_first_bytes",
    ),
    Mutant(
        file="consensus/transport.py",
        without="H21: a quiet link is not pinged",
        text="elif now - link.spoke >= self._timings.ping_period:",
        instead="elif now - link.spoke < 0:",
        caught_by=_RUNTIME + "test_h21_a_quiet_link_is_pinged_and_a_silent_one_is_cut",
    ),
    Mutant(
        file="consensus/transport.py",
        without="H21: a silent link is kept",
        text="if now - link.heard > self._timings.dead_after:",
        instead="if now - link.heard < 0:",
        caught_by=_RUNTIME + "test_h21_a_quiet_link_is_pinged_and_a_silent_one_is_cut",
    ),
    Mutant(
        file="consensus/transport.py",
        without="H20: one round reads a link to its end",
        text="while taken < _READ_AT_ONCE:",
        instead="while True:",
        caught_by="unit/consensus/test_flow.py::test_one_round_takes_only_so_much_of_a_link",
    ),
    Mutant(
        file="consensus/transport.py",
        without="H20: a peer may send frames without end",
        text="self._frames.spend(len(frames), now)",
        instead="self._frames.spend(0, now)",
        caught_by="unit/consensus/test_flow.py::"
        "test_a_peer_that_sends_too_many_frames_rests_until_it_may_go_on",
    ),
    Mutant(
        file="consensus/transport.py",
        without="a newer connection leaves the older one as it is",
        text="            self._cut(old, redial=False)",
        instead="            pass",
        caught_by=_RUNTIME + "test_a_newer_connection_takes_the_place_of_the_older_one",
    ),
    Mutant(
        file="consensus/reception.py",
        without="H20: guests that are being greeted keep others out",
        text="                shut(eldest)\n            self",
        instead="            self",
        caught_by="unit/consensus/test_flow.py::test_whoever_is_greeted_longest_makes_room",
    ),
    Mutant(
        file="consensus/reception.py",
        without="H20: guests that say nothing keep others out",
        text="            self._dismiss(next(iter(self._silent)))",
        instead="            return connection.close()",
        caught_by=_RECEPTION + "test_of_those_who_say_nothing_the_eldest_makes_room_for_the_next",
    ),
    Mutant(
        file="consensus/reception.py",
        without="H20: who says nothing stays for ever",
        text="if longest(since, now) < self._patience:",
        instead="if longest(since, now) < 1e9:",
        caught_by=_RECEPTION + "test_who_says_nothing_for_too_long_is_sent_away",
    ),
    Mutant(
        file="consensus/storage.py",
        without="H26: a disk is filled to its end",
        text="if free is not None and free < medium.STOP_FLOOR_BYTES:",
        instead="if free is not None and free < 0:",
        caught_by="unit/consensus/test_hazards_host.py::"
        "test_h26_a_full_disk_is_an_error_that_says_so_and_costs_nothing_that_was_synced",
    ),
    Mutant(
        file="consensus/dialing.py",
        without="H29: a name server is waited for on the thread of the ticks",
        text="self._spawn(self._dial, peer, known[peer], wanted)",
        instead="self._dial(peer, known[peer], wanted)",
        caught_by="unit/consensus/test_sockets.py::"
        "test_a_name_server_that_hangs_holds_up_no_tick_no_other_peer_and_no_stop",
        limit_s=15,
    ),
    Mutant(
        file="consensus/dialing.py",
        without="H29: the kernel says how long a dial may take",
        text="                connection.settimeout(self._timings.connect_timeout)\n"
        "                connection.connect",
        instead="                connection.connect",
        caught_by="unit/consensus/test_dialing.py::"
        "test_a_host_that_never_answers_a_dial_is_given_up_in_time",
    ),
    Mutant(
        file="consensus/reception.py",
        without="H36: a taken port is waited for",
        text="        listener.close()\n        raise _not_bound(address, error) from error",
        instead="        while True:\n            pass",
        caught_by="unit/consensus/test_sockets.py::test_a_taken_port_is_an_error_at_once",
        limit_s=15,
    ),
    Mutant(
        file="consensus/security.py",
        without="a certificate of another node is let in",
        text="if speaker.name.casefold() not in names:",
        instead="if not names:",
        caught_by="unit/consensus/test_security.py::"
        "test_a_peer_is_who_its_certificate_names_not_where_it_is",
    ),
    Mutant(
        file="consensus/renewal.py",
        without="certificates that cannot be used take the place of good ones",
        text="            self._broken = str(error)\n            return\n",
        instead="            self._broken = None\n            return\n",
        caught_by="unit/consensus/test_certificates.py::"
        "test_files_that_cannot_be_used_change_nothing_and_are_told",
    ),
    Mutant(
        file="consensus/security.py",
        without="a frame needs no MAC",
        text="if not hmac.compare_digest(expected, sealed[:_MAC_BYTES]):",
        instead="if not expected:",
        caught_by="unit/consensus/test_security.py::test_a_meddled_stream_is_refused",
    ),
    Mutant(
        file="consensus/security.py",
        without="a frame may be replayed",
        text="expected = _mac(self._receive_key, _NUMBER.pack(self._received) + frame)",
        instead="expected = _mac(self._receive_key, _NUMBER.pack(0) + frame)",
        caught_by="unit/consensus/test_security.py::"
        "test_frames_arrive_whole_in_whatever_pieces_they_come",
    ),
    Mutant(
        file="consensus/security.py",
        without="a proof fits both roles",
        text='return hmac.digest(self._key, b"proof of " + role + transcript, "sha256")',
        instead='return hmac.digest(self._key, b"proof of " + transcript, "sha256")',
        caught_by="unit/consensus/test_security.py::"
        "test_a_proof_fits_one_role_one_transcript_and_one_key",
    ),
    Mutant(
        file="consensus/members.py",
        without="a voter of another cluster is let in",
        text="if hello.scope != own.scope:",
        instead="if not hello.scope:",
        caught_by="unit/consensus/test_members.py::test_before_a_birth_a_refusal_says_why",
    ),
    Mutant(
        file="consensus/members.py",
        without="two agents of one name are let in",
        text="if hello.name.casefold() == own.name.casefold():",
        instead="if hello.name is own:",
        caught_by="unit/consensus/test_members.py::test_before_a_birth_a_refusal_says_why",
    ),
    Mutant(
        file="consensus/audit.py",
        without="another text of the library is taken for the audited one",
        text="if version != AUDITED_VERSION or changed:",
        instead="if version != AUDITED_VERSION:",
        caught_by="unit/consensus/test_security.py::test_another_text_of_the_library_is_refused",
    ),
    Mutant(
        file="consensus/watch.py",
        without="a gap in the events is not told",
        text="if after < self._begin:",
        instead="if after < 0:",
        caught_by="unit/consensus/test_watch.py::test_a_gap_is_an_error_and_never_silent",
    ),
    Mutant(
        file="consensus/wire.py",
        without="H18: what a stranger sends is run",
        text="message: Message = _DECODER.decode(data)",
        instead='message: Message = __import__("pickle").loads(data)',
        caught_by="unit/consensus/test_hazards_runtime.py::"
        "test_h18_what_a_stranger_sends_is_only_ever_read",
    ),
    Mutant(
        file="consensus/syncobj.py",
        without="H27: a dump is written by a forked child",
        text="useFork=False",
        instead="useFork=True",
        caught_by="unit/consensus/test_hazards_host.py::test_h26_h27_nothing_is_mapped_or_forked",
    ),
    Mutant(
        file="consensus/syncobj.py",
        without="H30: a thread of the library ticks",
        text="autoTick=False",
        instead="autoTick=True",
        caught_by="unit/consensus/test_hazards_host.py::test_h26_h27_nothing_is_mapped_or_forked",
        limit_s=20,
    ),
    Mutant(
        file="consensus/transport.py",
        without="H32: who wakes a node that is held up is told of an error",
        text="os.eventfd_write(self._waker, 1)",
        instead="os.eventfd_write(self._waker, 2**64 - 2)",
        caught_by="unit/consensus/test_hazards_runtime.py::"
        "test_h32_any_number_of_calls_may_wake_a_node_that_is_held_up",
        limit_s=15,
    ),
    Mutant(
        file="consensus/latency.py",
        without="R8: the longest sync of a minute is not shown",
        text="slot.longest = max(slot.longest, seconds)",
        instead="slot.longest = seconds",
        caught_by="unit/consensus/test_latency.py::"
        "test_one_slow_sync_in_fifty_shows_in_the_99th_percentile_and_one_in_a_thousand_does_not",
    ),
    Mutant(
        file="consensus/snapshots.py",
        without="H28: a snapshot that is not there is offered again and again",
        text="        return self._sealed[start:end], start == 0, last",
        instead="        return None",
        caught_by="unit/consensus/test_hazards_log.py::"
        "test_h28_a_follower_that_needs_a_snapshot_gets_it_once_a_heartbeat",
        limit_s=20,
    ),
    Mutant(
        file="consensus/recognition.py",
        without="a long greeting is taken for TLS",
        text="first[1] != _TLS_MAJOR or first[2] > _LATEST_MINOR:",
        instead="first[1] != _TLS_MAJOR:",
        caught_by=_RECOGNITION + "test_a_greeting_of_any_length_is_no_tls",
    ),
    Mutant(
        file="consensus/recognition.py",
        without="a node with certificates lets one without see a broken connection",
        text="connection.sendall(_REFUSAL_IN_TLS)",
        instead="",
        caught_by=_RECOGNITION + "test_both_ends_say_what_the_other_side_uses",
    ),
    Mutant(
        file="consensus/recognition.py",
        without="a node without certificates lets one with them see a broken connection",
        text="connection.sendall(_REFUSAL_OF_OURS)",
        instead="pass",
        caught_by=_RECOGNITION + "test_both_ends_say_what_the_other_side_uses",
    ),
    Mutant(
        file="consensus/renewal.py",
        without="a password that opens nothing costs the certificate in use",
        text="seen, credentials = signature_of(files), load_credentials(files, self._name)",
        instead="self._files = files\n            "
        "seen, credentials = signature_of(files), load_credentials(files, self._name)",
        caught_by=_CERTIFICATES
        + "test_another_password_is_taken_with_its_key_and_a_wrong_one_changes_nothing",
    ),
    Mutant(
        file="consensus/verdicts.py",
        without="a node is told that it is refused, and not by whom",
        text="Accusation(address=address, why=said.why)",
        instead='Accusation(address="", why=said.why)',
        caught_by=_MEMBERS + "test_a_verdict_is_over_once_the_peer_that_gave_it_lets_this_node_in",
    ),
    Mutant(
        file="ha/voting.py",
        without="what a peer says of this node hides what is wrong with its own certificate",
        text="found += _of_accusation(raft)\n",
        instead="found = _of_accusation(raft) or found\n",
        caught_by="unit/ha/test_explain.py::"
        "test_what_a_peer_says_of_this_node_is_told_under_the_name_of_the_peer",
    ),
)
