"""Mutants of the receipt: what a guardian tells when it has nothing left to guard (R14)."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

_WILL: Final = "unit/guardian/test_will.py::"
_TAKEN: Final = "unit/agent/test_receipts.py::"
_VISIT: Final = "unit/consensus/test_visiting.py::"
_MET: Final = "unit/agent/test_meeting.py::"
_NO_FIT: Final = _TAKEN + "test_what_does_not_fit_the_present_leader_frees_nothing"

MUTANTS: Final = (
    Mutant(
        file="guardian/switch.py",
        without="R14: the others are told before the epoch is burned on the disk",
        text="self.machine.burn(self._files.ledger, self._proof.burned)\n\n    def set_apart",
        instead="self._proof = self._proof\n\n    def set_apart",
        caught_by=_WILL
        + "test_once_agent_and_primary_are_gone_the_others_are_told_of_what_is_burned",
    ),
    Mutant(
        file="guardian/switch.py",
        without="R14: a buried epoch may be used again by this guardian",
        text="self._proof, self._gone = protocol.fenced(self._proof), None",
        instead="self._gone = None",
        caught_by=_WILL
        + "test_nothing_is_ever_started_under_an_epoch_of_which_the_others_were_told",
    ),
    Mutant(
        file="guardian/service.py",
        without="R14: the others are told though the agent is there",
        text="if death is None or self._links.has_agent or not self._will.is_made:",
        instead="if death is None or not self._will.is_made:",
        caught_by=_WILL + "test_an_agent_that_is_there_looks_after_its_primary_itself",
    ),
    Mutant(
        file="guardian/switch.py",
        without="R14: the others are told after a fence too",
        text="return None if is_over else Death(gone, proof.renewal)",
        instead="return Death(gone, proof.renewal)",
        caught_by=_WILL + "test_where_no_lease_can_be_in_force_nobody_is_told",
    ),
    Mutant(
        file="guardian/switch.py",
        without="R14: an epoch that was armed since is burned for the one before",
        text="if gone is None or gone != proof.epoch or not self.is_idle:",
        instead="if gone is None or not self.is_idle:",
        caught_by=_WILL + "test_an_epoch_that_was_armed_since_is_left_alone",
    ),
    Mutant(
        file="guardian/procs.py",
        without="R14: whoever tells the others counts as part of the server",
        text="        and process.pid != instance.apart\n",
        instead="",
        caught_by=_WILL + "test_who_tells_is_no_part_of_the_server_and_holds_nothing_up",
    ),
    Mutant(
        file="agent/receipts.py",
        without="R14: one node's word frees another's key",
        text="if leader.name != name:",
        instead="if not name:",
        caught_by=_NO_FIT,
    ),
    Mutant(
        file="agent/receipts.py",
        without="R14: the word of another guardian counts",
        text="if leader.guardian != word.guardian:",
        instead="if not word.guardian:",
        caught_by=_NO_FIT,
    ),
    Mutant(
        file="agent/receipts.py",
        without="R14: a word about another epoch counts",
        text="if leader.epoch != epoch:",
        instead="if epoch is None:",
        caught_by=_NO_FIT,
    ),
    Mutant(
        file="agent/receipts.py",
        without="R14: a lease that was renewed meanwhile is ended",
        text="self._store.execute(Revoke(leader.lease.id, renewal), timeout=TIMEOUT)",
        instead="renewal = self._store.peek().leases[leader.lease.id].revision\n"
        "        self._store.execute(Revoke(leader.lease.id, renewal), timeout=TIMEOUT)",
        caught_by=_TAKEN + "test_a_renewal_that_comes_between_keeps_the_key",
    ),
    Mutant(
        file="agent/receipts.py",
        without="R16: what died before it was disarmed keeps everybody from a promotion",
        text="if entry is not None and entry.guardian == leader.guardian:",
        instead="if entry is None and not leader.guardian:",
        caught_by=_TAKEN
        + "test_a_server_that_died_before_it_was_disarmed_keeps_nobody_from_a_promotion",
    ),
    Mutant(
        file="agent/receipts.py",
        without="R16: a guardian vouches for a server of another one",
        text="if entry is not None and entry.guardian == leader.guardian:",
        instead="if entry is not None:",
        caught_by=_TAKEN + "test_a_guardian_vouches_for_no_server_of_another_one",
    ),
    Mutant(
        file="consensus/handshake.py",
        without="R14: a visitor shows no certificate of the node it speaks for",
        text="self.security.check_identity(secured, visitor)",
        instead="pass",
        caught_by=_VISIT + "test_a_certificate_speaks_for_its_own_node_alone",
    ),
    Mutant(
        file="consensus/handshake.py",
        without="R14: a visitor need not know the key",
        text="self.security.check_proof(proof, DIALER, transcript)\n"
        "            self.security.check_identity(secured, visitor)",
        instead="self.security.check_identity(secured, visitor)",
        caught_by=_VISIT + "test_what_was_said_to_one_cannot_be_repeated_to_the_same",
    ),
    Mutant(
        file="consensus/handshake.py",
        without="R14: a word for another voter or cluster is heard",
        text="if (visitor.scope, visitor.to) != (here.scope, here.address):",
        instead="if not visitor.scope:",
        caught_by=_VISIT + "test_a_word_for_another_is_not_heard",
    ),
    Mutant(
        file="consensus/handshake.py",
        without="a doctor is taken for an incarnation of its node",
        text="        if not is_visit(theirs):\n"
        '            raise WireError("it came to join a Raft group, and none runs here")\n',
        instead="        if not is_visit(theirs):\n"
        "            _send(secured, encode_hello(self.registry.hello(to='')))\n",
        caught_by=_VISIT + "test_who_is_no_voter_yet_answers_no_hello",
    ),
    Mutant(
        file="agent/meeting.py",
        without="a doctor takes another node of its own name for a partner",
        text="if name.casefold() == self._config.name.casefold():",
        instead="if name == word.address:",
        caught_by=_MET + "test_a_word_is_taken_of_partners_alone",
    ),
    Mutant(
        file="agent/meeting.py",
        without="a node goes home before the others know that it has seen all",
        text="return all(p.runs or (p.sees_all and p.knows) for p in self._partners.values())",
        instead="return all(p.runs or p.sees_all for p in self._partners.values())",
        caught_by=_MET + "test_nobody_goes_before_all_others_know_that_all_is_seen",
    ),
)
