"""Mutants of changes to the shared settings, and of what a server is given of them."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

_CHANGES: Final = "unit/agent/test_configurations.py::"
_SIZES: Final = "unit/ha/test_sizes.py::"
_WISHES: Final = "unit/ha/test_server_wishes.py::"
_TIMERS: Final = "unit/agent/test_timers.py::"
_CONF: Final = "unit/pg/test_conf.py::"
_WRONG: Final = "unit/cli/test_bad_input.py::test_wrong_words_are_refused_with_what_to_do"

AGENT: Final = (
    Mutant(
        file="cli/settings.py",
        without="an empty file takes every setting away",
        text='("", "---", "...") for line',
        instead='("nothing",) for line',
        caught_by=_WRONG,
    ),
    Mutant(
        file="cli/where.py",
        without="another cluster than the named one is changed",
        text="if cluster is None or found.scope == cluster:",
        instead="if cluster is None or found.scope != cluster:",
        caught_by=_WRONG,
    ),
    Mutant(
        file="api/client.py",
        without="a stop of which nobody knows what became counts as refused",
        text="        if answer.status == HTTPStatus.SERVICE_UNAVAILABLE:\n",
        instead="        if answer.status < HTTPStatus.CONTINUE:\n",
        caught_by="unit/cli/test_schedule_command.py::test_an_answer_that_was_lost_is_no_refusal",
    ),
    Mutant(
        file="agent/configurations.py",
        without="a change is made to other settings than those that were seen",
        text="if asked.revision is not None and asked.revision != entry.mod_revision:",
        instead="if asked.revision is not None and asked.revision < 0:",
        caught_by=_CHANGES + "test_a_change_to_other_settings_than_those_seen_is_refused",
    ),
    Mutant(
        file="agent/configurations.py",
        without="a change that was refused is written nevertheless",
        text="if problems:\n",
        instead="if len(problems) > 1:\n",
        caught_by=_CHANGES + "test_bad_values_are_refused_and_nothing_is_written",
    ),
    Mutant(
        file="config/proposal.py",
        without="R7: the ttl gets too short for the timers by which the agents run",
        text="if timers is config.profile or needed < config.ttl * (1 - RHO):",
        instead="if timers or needed < config.ttl * (1 - RHO):",
        caught_by=_CHANGES + "test_a_short_ttl_waits_until_the_agents_run_with_its_timers",
    ),
    Mutant(
        file="config/load.py",
        without="a setting under its old name is not stored at the birth",
        text="for k, v in stored_document(shared).items()",
        instead="for k, v in shared.items()",
        caught_by="unit/config/test_load.py::test_a_patroni_file_is_accepted_as_it_stands",
    ),
    Mutant(
        file="config/source.py",
        without="a section of a later file takes the place of the whole one before",
        text="return Node({**first.members, **both}, first.place)",
        instead="return Node({**first.members, **second.members}, first.place)",
        caught_by="unit/config/test_directory.py::"
        "test_sections_are_merged_in_the_order_of_the_names",
    ),
    Mutant(
        file="cli/censor.py",
        without="a password of the file is printed",
        text="if key != _NO_SECRET and _SECRET_KEY.fullmatch(key):",
        instead="if key == _NO_SECRET:",
        caught_by="unit/cli/test_check_config.py::"
        "test_a_good_file_is_shown_with_the_environment_and_without_secrets",
    ),
    Mutant(
        file="cli/halt.py",
        without="a start without a leader is waited for as long as one that goes on",
        text="STANDSTILL_S + 2 * report.ttl",
        instead="STANDSTILL_S + 99 * report.ttl",
        caught_by="unit/cli/test_halt_command.py::"
        "test_a_start_that_gets_no_leader_ends_with_the_reason",
    ),
    Mutant(
        file="ha/explain.py",
        without="a failover is proposed to members that their tags bar",
        text="if not barred or barred != there:",
        instead="if barred != there or barred:",
        caught_by="unit/ha/test_refusals.py::"
        "test_no_failover_is_proposed_to_members_that_their_tags_bar",
    ),
    Mutant(
        file="ha/rules/bootstrap.py",
        without="a ttl that was given as the profile's own is moved by another profile",
        text="encode_config(boot, s.view.me.given_timings)",
        instead="encode_config(boot)",
        caught_by="unit/ha/test_bootstrap.py::"
        "test_the_first_settings_are_stored_as_they_were_given",
    ),
    Mutant(
        file="config/reading.py",
        without="of an old name and the one of today, whichever comes last counts",
        text='key=lambda key: _means(prefix + key, schema) != ""',
        instead="key=len",
        caught_by="unit/config/test_dynamic.py::"
        "test_an_old_name_beside_the_one_of_today_is_refused",
    ),
    Mutant(
        file="ha/rules/handover.py",
        without="a primary that hangs in its stop is waited for a minute, whatever is set",
        text="if waited > _patience(s):",
        instead="if waited > STOP_PATIENCE_S:",
        caught_by="unit/ha/test_handover.py::test_a_stop_takes_no_longer_than_is_allowed",
    ),
    Mutant(
        file="ha/rules/handover.py",
        without="a stop is cut short where no standby has what was acknowledged",
        text="is_limited = s.lease is not None and limit > 0 and mode is not SynchronousMode.OFF",
        instead="is_limited = s.lease is not None and limit > 0",
        caught_by="unit/ha/test_handover.py::test_a_stop_takes_no_longer_than_is_allowed",
    ),
    Mutant(
        file="agent/wellness.py",
        without="R7: the doctor forgets the elections by the timers that run",
        text="slowest = max(settings.retry_timeout, election)",
        instead="slowest = settings.retry_timeout",
        caught_by="unit/agent/test_doctor.py::"
        "test_a_ttl_is_too_short_while_the_timers_of_a_slower_profile_run",
    ),
    Mutant(
        file="agent/timers.py",
        without="the Raft timers stay those of the file for good",
        text="        self.profile = config.profile\n",
        instead="",
        caught_by=_TIMERS + "test_the_settings_that_were_stored_last_go_before_the_file",
    ),
    Mutant(
        file="agent/timers.py",
        without="settings that cannot be read keep an agent from starting",
        text="except (WireError, NewerFormat, ValueError) as error:",
        instead="except NewerFormat as error:",
        caught_by=_TIMERS + "test_what_cannot_be_read_costs_the_timers_of_the_file_and_a_warning",
    ),
    Mutant(
        file="config/proposal.py",
        without="R18, R20: an operator sets a parameter that raftha owns",
        text="if name in MANAGED_PARAMETERS and name not in known",
        instead="if name in MANAGED_PARAMETERS and name in known",
        caught_by=_CHANGES + "test_bad_values_are_refused_and_nothing_is_written",
    ),
)

DECISIONS: Final = (
    Mutant(
        file="ha/plans.py",
        without="R26: a primary that crashes comes back with sizes that its standbys do not have",
        text="if wanted[name] > limit}",
        instead="if wanted[name] > limit + 1000}",
        caught_by=_SIZES
        + "test_a_raised_value_stays_out_of_the_primarys_files_until_all_standbys_have_it",
    ),
    Mutant(
        file="ha/plans.py",
        without="R26: what is set no more, and then larger, is raised on the primary first",
        text="wanted = {**DEFAULT_SIZES, **sizes_in(parameters)}",
        instead="wanted = {**dict.fromkeys(DEFAULT_SIZES, 0), **sizes_in(parameters)}",
        caught_by=_SIZES + "test_a_default_above_what_was_set_is_raised_on_the_standbys_first",
    ),
    Mutant(
        file="ha/sizes.py",
        without="R26: the largest of the standbys' sizes counts, not the least",
        text="name: min(sizes[name] for sizes in told if name in sizes)",
        instead="name: max(sizes[name] for sizes in told if name in sizes)",
        caught_by=_SIZES
        + "test_a_raised_value_stays_out_of_the_primarys_files_until_all_standbys_have_it",
    ),
    Mutant(
        file="ha/sizes.py",
        without="R26: a standby whose replay stands still waits for ever",
        text="return any(getattr(control, name) > size for name, size in server.sizes.items())",
        instead="return False",
        caught_by=_SIZES + "test_a_standby_that_cannot_replay_any_more_is_restarted",
    ),
    Mutant(
        file="ha/rules/replay.py",
        without="R26: without a leader a standby whose replay stands still waits for ever",
        text="if s.lease is not None or s.cluster.paused",
        instead="if s.cluster.leader is None or s.cluster.paused",
        caught_by=_SIZES
        + "test_a_standby_that_cannot_replay_any_more_is_restarted_before_it_races",
    ),
    Mutant(
        file="agent/lookout.py",
        without="R26: for which size replay stands still is read at the start of the server alone",
        text="return self._stuck_at is not None and self._stuck_at != before",
        instead="return False",
        caught_by="unit/agent/test_lookout.py::"
        "test_a_directory_is_looked_into_again_where_replay_stands_still",
    ),
    Mutant(
        file="ha/rules/wishes.py",
        without="a standby is restarted while nobody leads",
        text="if s.lease is None and (s.is_primary or s.other_leader is None):",
        instead="if s.lease is None and s.is_primary:",
        caught_by=_WISHES + "test_a_standby_that_nobody_leads_is_not_stopped",
    ),
    Mutant(
        file="ha/rules/wishes.py",
        without="a leader is made anew",
        text="if s.lease is not None or leader is None or not s.leader_is_ready:",
        instead="if False:",
        caught_by=_WISHES + "test_a_leader_is_never_made_anew",
    ),
    Mutant(
        file="model/view.py",
        without="a wish restarts the next server too, and the next",
        text="return self.guardian.running and self.guardian.process == wish.process",
        instead="return self.guardian.running",
        caught_by=_WISHES + "test_another_server_than_the_one_meant_is_left_alone",
    ),
)

POSTGRESQL: Final = (
    Mutant(
        file="pg/sizes.py",
        without="R26: a primary goes above its standbys",
        text="elif given > limit:",
        instead="elif given > limit + 1000:",
        caught_by=_CONF + "test_a_primary_does_not_go_above_its_standbys",
    ),
)
