"""Mutants of the decisions: safety first, who may lead, the synchronous set, timelines, rejoin."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

_SAFETY: Final = "unit/ha/test_safety.py::"
_TELLING: Final = "unit/ha/test_telling.py::"
_ELECTION: Final = "unit/ha/test_election.py::"
_FORESIGHT: Final = "unit/ha/test_foresight.py::"
_CANDIDATES: Final = "unit/ha/test_candidates.py::"
_RESTART: Final = "unit/ha/test_restart.py::"
_LEADER: Final = "unit/ha/test_leader.py::"
_FOLLOWER: Final = "unit/ha/test_follower.py::"
_HANDOVER: Final = "unit/ha/test_handover.py::"
_STOP: Final = "unit/ha/test_stop.py::"

SAFETY: Final = (
    Mutant(
        file="ha/rules/safety.py",
        without="S1: a primary without a lease is left running",
        text="if not (s.running and s.is_primary) or s.lease is not None:",
        instead="if s.running or s.lease is not None:",
        caught_by=_SAFETY + "test_a_primary_without_a_lease_is_stopped_at_once",
    ),
    Mutant(
        file="ha/rules/safety.py",
        without="S1: an armed guardian excuses a lapsed lease",
        text="if guardian.armed and s.view.lease is None and holder is None:",
        instead="if guardian.armed and holder is None:",
        caught_by=_SAFETY
        + "test_an_armed_guardian_excuses_neither_a_lapsed_lease_nor_another_leader",
    ),
    Mutant(
        file="ha/rules/safety.py",
        without="S1: an armed guardian excuses a primary beside another leader",
        text="if guardian.armed and s.view.lease is None and holder is None:",
        instead="if guardian.armed and s.view.lease is None:",
        caught_by=_SAFETY
        + "test_an_armed_guardian_excuses_neither_a_lapsed_lease_nor_another_leader",
    ),
    Mutant(
        file="ha/situation.py",
        without="S1: a lease counts beyond its end",
        text="if held is None or not held.is_valid(self.now):",
        instead="if held is None:",
        caught_by=_SAFETY + "test_a_primary_without_a_lease_is_stopped_at_once",
    ),
    Mutant(
        file="ha/situation.py",
        without="S1: a lease counts although the store names a later epoch",
        text="if leader is not None and leader.epoch != held.epoch and leader.epoch > held.epoch:",
        instead="if leader is None and held is None:",
        caught_by=_SAFETY + "test_a_primary_is_stopped_when_the_store_names_a_later_epoch",
    ),
    Mutant(
        file="ha/situation.py",
        without="S1: a promotion under way does not count as a primary",
        text="return self.view.guardian.primary or (server is not None and server.is_primary)",
        instead="return server is not None and server.is_primary",
        caught_by=_SAFETY + "test_a_promotion_under_way_counts_as_a_primary",
    ),
    Mutant(
        file="ha/rules/safety.py",
        without="a server runs without a guardian",
        text="if s.view.guardian.alive or s.view.stopping:",
        instead="if s.view.guardian is not None:",
        caught_by=_SAFETY + "test_a_guardian_comes_before_everything",
    ),
    Mutant(
        file="ha/rules/safety.py",
        without="R14: the lease of another guardian is renewed",
        text="is_ours = leader.name == s.me and leader.guardian == guardian.nonce",
        instead="is_ours = leader.name == s.me",
        caught_by=_SAFETY + "test_the_lease_of_another_guardian_is_not_renewed",
    ),
    Mutant(
        file="ha/rules/safety.py",
        without="R14: a burned epoch is renewed",
        text="if not is_ours or leader.epoch in guardian.burned:",
        instead="if not is_ours:",
        caught_by=_SAFETY + "test_a_burned_epoch_is_not_renewed",
    ),
    Mutant(
        file="ha/rules/safety.py",
        without="S10: the directory of another cluster is taken for ours",
        text="if not s.directory_of_other_cluster or _is_ending(s):",
        instead="if s.directory_of_other_cluster or _is_ending(s):",
        caught_by=_SAFETY + "test_the_directory_of_another_cluster_is_left_alone",
    ),
    Mutant(
        file="ha/rules/server.py",
        without="a stop is sent to a process again and again",
        text="if s.stop_was_sent(mode):",
        instead="if mode is None:",
        caught_by=_SAFETY + "test_a_stop_is_not_asked_of_the_same_process_twice",
    ),
)

ELECTION: Final = (
    Mutant(
        file="ha/candidates.py",
        without="a nofailover member may lead",
        text="if forbidden is not None:",
        instead="if forbidden is None and s.view.me is None:",
        caught_by=_CANDIDATES + "test_what_stands_against_a_promotion",
    ),
    Mutant(
        file="ha/candidates.py",
        without="a node without a majority races",
        text='return "it is being stopped"\n    if not s.view.raft.majority:',
        instead='return "it is being stopped"\n    if s.view.raft is None:',
        caught_by=_CANDIDATES + "test_what_stands_against_a_promotion",
    ),
    Mutant(
        file="ha/candidates.py",
        without="R26: a standby whose replay is paused may lead",
        text="if server.replay_pause is not ReplayPause.NOT_PAUSED:",
        instead="if server.replay_pause is None:",
        caught_by=_CANDIDATES + "test_what_stands_against_a_promotion",
    ),
    Mutant(
        file="ha/candidates.py",
        without="R26: an unknown position is no obstacle",
        text='    if server.position is None:\n        return "its WAL position is unknown"\n',
        instead="",
        caught_by=_CANDIDATES + "test_what_stands_against_a_promotion",
    ),
    Mutant(
        file="ha/candidates.py",
        without="S6: a standby outside of the synchronous set may lead",
        text="if sync is None or s.me == sync.leader or s.me in sync.standbys:",
        instead="if sync is None or s.me:",
        caught_by=_ELECTION + "test_who_is_not_in_the_synchronous_set_does_not_race",
    ),
    Mutant(
        file="ha/candidates.py",
        without="S7: the bound of loss is not looked at",
        text='if lag > s.config.maximum_lag_on_failover:\n            return f"it is',
        instead='if lag < 0:\n            return f"it is',
        caught_by=_CANDIDATES + "test_the_bound_of_loss",
    ),
    Mutant(
        file="ha/candidates.py",
        without="S7: a position that cannot be read is none",
        text="if s.keys.position in s.cluster.unreadable:",
        instead="if False:",
        caught_by=_TELLING + "test_what_cannot_be_read_may_be_anything",
    ),
    Mutant(
        file="ha/candidates.py",
        without="S7: the last leader itself may be behind what it told",
        text="return None if is_own else end",
        instead="return end",
        caught_by=_TELLING + "test_who_told_it_holds_it",
    ),
    Mutant(
        file="ha/telling.py",
        without="S7: what was told goes with the lease",
        text="known = [] if kept is None else [(kept.timeline, kept.position)]",
        instead="known: list[tuple[Timeline, Lsn]] = []",
        caught_by=_TELLING + "test_who_saw_no_renewal_is_bounded_by_what_the_leader_told",
    ),
    Mutant(
        file="ha/telling.py",
        without="S7: a synchronous set ends before a position is there",
        text="return (here,), (Put(key, encode_told(s.me, server.timeline, server.written)),)",
        instead="return (here,), ()",
        caught_by=_TELLING + "test_a_synchronous_set_ends_with_a_position_in_its_place",
    ),
    Mutant(
        file="ha/telling.py",
        without="R4: a leader of the past tells how far it is",
        text="return Transact((epoch, here),",
        instead="return Transact((here,),",
        caught_by=_TELLING
        + "test_a_leader_that_waits_for_no_standby_tells_how_far_it_is_under_its_epoch",
    ),
    Mutant(
        file="ha/telling.py",
        without="L4: a leader writes though nobody would ask",
        text="if told is None or keys.sync in store.entries:",
        instead="if told is None:",
        caught_by=_TELLING + "test_nothing_is_told_that_is_known_or_that_nobody_would_ask_for",
    ),
    Mutant(
        file="ha/candidates.py",
        without="S9: WAL beyond the switch is no divergence",
        text="return position > switch",
        instead="return False",
        caught_by=_CANDIDATES + "test_divergence_follows_the_chain_of_switches",
    ),
    Mutant(
        file="ha/candidates.py",
        without="S9: WAL up to the switch is a divergence",
        text="return position > switch",
        instead="return position >= switch",
        caught_by=_CANDIDATES + "test_divergence_follows_the_chain_of_switches",
    ),
    Mutant(
        file="ha/rules/election.py",
        without="R24: a live primary holds the race up for ever",
        text="if waited >= s.config.ttl:\n            return None\n        memory",
        instead="if waited < 0:\n            return None\n        memory",
        caught_by=_ELECTION + "test_a_live_primary_delays_the_race_by_one_ttl_at_most",
    ),
    Mutant(
        file="ha/rules/election.py",
        without="R24: a live primary does not delay the race",
        text="if report is None or not report.primary_alive:",
        instead="if report is None or s.running:",
        caught_by=_ELECTION + "test_a_live_primary_delays_the_race",
    ),
    Mutant(
        file="ha/rules/election.py",
        without="an answer from before the loss counts",
        text="return answer is not None and lost is not None and longest(lost, answer.asked) >= 0",
        instead="return answer is not None and lost is not None",
        caught_by=_ELECTION + "test_an_answer_from_before_the_key_lapsed_does_not_count",
    ),
    Mutant(
        file="ha/foresight.py",
        without="whoever was silent before the key was gone is not waited for, leader or not",
        text="if answer is None or seen is None or seen.name != name:",
        instead="if answer is None or seen is None:",
        caught_by=_FORESIGHT + "test_another_member_is_waited_for_though_it_was_silent",
    ),
    Mutant(
        file="ha/foresight.py",
        without="a leader that has renewed since it was silent is taken for silent",
        text="return answer.report is None and longest(seen.at, answer.asked) >= 0",
        instead="return answer.report is None",
        caught_by=_FORESIGHT
        + "test_a_leader_that_was_silent_before_its_lease_ended_holds_nobody_up",
    ),
    Mutant(
        file="ha/rules/election.py",
        without="whoever holds less does not let the other go first",
        text="if is_ahead(report, server.timeline, server.position):",
        instead="if is_ahead(report, server.timeline, report.position):",
        caught_by=_ELECTION + "test_whoever_holds_more_goes_first",
    ),
    Mutant(
        file="ha/rules/election.py",
        without="R4: the claim is not guarded by the `sync` it was judged by",
        text="        _at(keys.sync, None if sync is None else sync.revision),\n",
        instead="",
        caught_by=_ELECTION + "test_the_claim_is_judged_by_what_eligibility_was_judged_by",
    ),
    Mutant(
        file="ha/rules/election.py",
        without="R4: the claim is not guarded by the `config` it was judged by",
        text="        _at(keys.config, s.cluster.config_revision),\n",
        instead="",
        caught_by=_ELECTION + "test_the_claim_is_judged_by_what_eligibility_was_judged_by",
    ),
    Mutant(
        file="ha/rules/election.py",
        without="the key is claimed while somebody holds it",
        text="return s.cluster.leader is None and s.lease is None and not s.is_primary",
        instead="return s.lease is None and not s.is_primary",
        caught_by=_ELECTION + "test_nobody_races_while_somebody_leads",
    ),
)

LEADING: Final = (
    Mutant(
        file="ha/rules/leader.py",
        without="R25: a promotion is done before its record is committed",
        text="    if record is None:\n        waits =",
        instead="    if record is None and s.running is None:\n        waits =",
        caught_by=_LEADER + "test_the_record_is_committed_before_the_promotion",
    ),
    Mutant(
        file="ha/rules/leader.py",
        without="R25: a timeline number is promised twice",
        text="number = Timeline(max(s.cluster.highest_timeline, server.timeline) + 1)",
        instead="number = Timeline(server.timeline + 1)",
        caught_by=_LEADER + "test_a_timeline_number_is_never_promised_twice",
    ),
    Mutant(
        file="ha/rules/leader.py",
        without="R25: a primary on another timeline than its record goes on",
        text="if record is None or record.timeline == server.timeline:",
        instead="if record is None or server.timeline:",
        caught_by=_LEADER + "test_a_primary_on_another_timeline_than_its_record_is_stopped",
    ),
    Mutant(
        file="ha/rules/leader.py",
        without="R18: the first commits of a promotion wait for nobody",
        text="plan = primary_plan(s.cluster, s.view.me, names_at_promotion(s))",
        instead='plan = primary_plan(s.cluster, s.view.me, "")',
        caught_by=_LEADER + "test_the_promotion_waits_for_whom_it_must_from_its_first_commit",
    ),
    Mutant(
        file="ha/rules/restart.py",
        without="R20: a primary restarts in place with its gate open",
        text="plan = primary_plan(s.cluster, s.view.me, names, closed=bool(names))",
        instead="plan = primary_plan(s.cluster, s.view.me, names, closed=False)",
        caught_by=_RESTART + "test_a_crashed_primary_is_restarted_in_place_behind_the_gate",
    ),
    Mutant(
        file="ha/rules/restart.py",
        without="R11: a promotion cut short is started as a primary",
        text="control is None or s.view.directory.standby_signal or here < record.timeline:",
        instead="control is None or here < record.timeline:",
        caught_by=_RESTART + "test_a_promotion_with_its_standby_signal_left_was_cut_short",
    ),
    Mutant(
        file="ha/rules/leader.py",
        without="R25: an epoch is used for a second promotion",
        text="if server.timeline >= record.timeline:",
        instead="if server.timeline < 0:",
        caught_by=_LEADER + "test_an_epoch_is_good_for_one_promotion",
    ),
    Mutant(
        file="ha/rules/restart.py",
        without="R25: a timeline that was not committed is started again",
        text="if here > record.timeline:",
        instead="if here < 0:",
        caught_by=_RESTART + "test_who_cannot_be_the_primary_gives_the_key_back",
    ),
    Mutant(
        file="ha/rules/leader.py",
        without="R26: a promotion that does not end is waited for without end",
        text="if waited < _promote_timeout(s):",
        instead="if waited >= 0:",
        caught_by=_LEADER + "test_a_promotion_that_does_not_end_is_stopped",
    ),
    Mutant(
        file="ha/rules/restart.py",
        without="a fenced epoch is kept, and nobody else can take over",
        text="if lease.epoch in s.view.guardian.burned:",
        instead="if lease.epoch is None:",
        caught_by=_RESTART + "test_who_cannot_be_the_primary_gives_the_key_back",
    ),
    Mutant(
        file="ha/rules/follower.py",
        without="S9: an old primary starts as a standby without being compared",
        text="if control.was_primary and not s.view.directory.standby_signal:",
        instead="if control is None:",
        caught_by=_FOLLOWER + "test_an_old_primary_rejoins_before_it_starts",
    ),
    Mutant(
        file="ha/rules/follower.py",
        without="R25: equal timeline numbers are taken for one line",
        text="forced = control is not None and _numbers_collide(s, control)",
        instead="forced = False",
        caught_by=_FOLLOWER + "test_two_servers_on_one_timeline_number_are_told_apart_by_the_store",
    ),
    Mutant(
        file="ha/rules/follower.py",
        without="S9: a running standby that diverged goes on",
        text="if _has_rejoined(s) or not diverged(s, server.timeline, server.position):",
        instead="if server.position:",
        caught_by=_FOLLOWER + "test_a_running_standby_that_diverged_is_stopped",
    ),
    Mutant(
        file="ha/rules/follower.py",
        without="R27: a rewind begins before the checkpoint of the new primary",
        text="if not s.cluster.checkpointed:",
        instead="if s.cluster is None:",
        caught_by=_FOLLOWER + "test_a_rejoin_waits_for_all_that_it_needs",
    ),
    Mutant(
        file="ha/candidates.py",
        without="S6: a loss that was accepted for one member lets every member lead",
        text="s.request.may_lose and s.request.candidate == s.me",
        instead="s.request.may_lose",
        caught_by=_CANDIDATES + "test_an_accepted_loss_overrules_what_the_candidate_may_lack",
    ),
    Mutant(
        file="ha/refusals.py",
        without="S6: a loss is accepted while somebody leads",
        text="if request.may_lose and name is not None:",
        instead="if request.may_lose and name == s.me and name is None:",
        caught_by=_CANDIDATES
        + "test_a_loss_is_accepted_only_where_nobody_leads_and_nothing_else_stands_against_it",
    ),
    Mutant(
        file="ha/operations.py",
        without="S6: a loss that was accepted without a leader holds for one who came meanwhile",
        text="if entry is not None or request.may_lose or old is not None:",
        instead="if entry is not None or old is not None:",
        caught_by="unit/ha/test_operations.py::test_a_loss_is_accepted_only_while_nobody_leads",
    ),
    Mutant(
        file="ha/slots.py",
        without="L2: a slot that lost its WAL is not made anew, and its member waits for ever",
        text="sound = set(server.slots) - {",
        instead="sound = set(server.slots) or {",
        caught_by="unit/ha/test_slots.py::test_a_slot_that_lost_its_wal_is_made_anew",
    ),
)

MUTANTS: Final = (*SAFETY, *ELECTION, *LEADING)
