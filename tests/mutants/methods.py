"""Mutants of the programs that fill a data directory: under whom what they made may run, what of it
may outlast them, and what may take the place of a data directory."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

_FOUNDING: Final = "unit/ha/test_founding.py::"
_RESTORE: Final = "unit/pg/test_restore.py::"
_JOBS: Final = "unit/agent/test_jobs.py::"
_REMADE: Final = (
    _FOUNDING + "test_what_a_program_made_anew_starts_once_it_counts_as_synchronous_no_more"
)
_BACKUP: Final = _RESTORE + "test_a_copy_of_a_backup_says_so_until_it_follows_or_leads"
_LEFT: Final = _FOUNDING + "test_nobody_goes_on_with_what_another_attempt_left"
_FAILED: Final = _FOUNDING + "test_a_program_that_fails_is_not_asked_again"

DECISIONS: Final = (
    Mutant(
        file="ha/rules/bootstrap.py",
        without="R11: what was restored recovers without a lease that ends it",
        text='return start(s, plan, lease.epoch, "recovering what was restored")',
        instead='return start(s, plan, None, "recovering what was restored")',
        caught_by=_FOUNDING + "test_what_was_restored_is_recovered_under_the_lease_and_closed",
    ),
    Mutant(
        file="ha/plans.py",
        without="clients are let in while what was restored recovers",
        text='None, "", closed=True)\n    return replace(plan, birth',
        instead='None, "", closed=False)\n    return replace(plan, birth',
        caught_by=_FOUNDING + "test_what_was_restored_is_recovered_under_the_lease_and_closed",
    ),
    Mutant(
        file="ha/rules/bootstrap.py",
        without="R11: the first primary serves with the settings of the recovery",
        text="and s.memory.plan.recovers:\n        return _recovering",
        instead="and not server.is_primary:\n        return _recovering",
        caught_by=_FOUNDING + "test_nothing_is_served_with_the_settings_of_the_recovery",
    ),
    Mutant(
        file="ha/situation.py",
        without="R25: the next agent goes on with what one restored that died",
        text="return lease is None or self.memory.making != lease.epoch",
        instead="return lease is None",
        caught_by=_LEFT,
    ),
    Mutant(
        file="ha/situation.py",
        without="R25: what was restored under a lease that is over begins a cluster",
        text="return lease is None or self.memory.making != lease.epoch",
        instead="return lease is not None and self.memory.making != lease.epoch",
        caught_by=_LEFT,
    ),
    *(
        Mutant(
            file="ha/rules/bootstrap.py",
            without=without,
            text='if not s.view.caught_up or "initialize" in s.view.pending:',
            instead=instead,
            caught_by=_FOUNDING + "test_nothing_is_put_aside_that_may_have_been_announced",
        )
        for without, instead in (
            (
                "a new agent puts the only data of a cluster aside that was announced",
                'if "initialize" in s.view.pending:',
            ),
            (
                "who announced a cluster without an answer puts its only data aside",
                "if not s.view.caught_up:",
            ),
        )
    ),
    Mutant(
        file="ha/situation.py",
        without="half a restore serves reads",
        text="is_whole = not (self.directory_stillborn or self.directory_left)",
        instead="is_whole = not self.directory_stillborn",
        caught_by=_FOUNDING + "test_what_was_left_serves_no_reads_either",
    ),
    Mutant(
        file="ha/situation.py",
        without="R25: two that restored one backup are one line to each other",
        text="is_restored = directory.in_one_go and self.directory_strange",
        instead="is_restored = False",
        caught_by=_FOUNDING + "test_who_restored_the_same_backup_in_vain_makes_a_copy",
    ),
    Mutant(
        file="ha/rules/work.py",
        without="a restore goes on when another may have begun one",
        text="_UNDER_LEASE = (JobKind.PRE_PROMOTE, JobKind.RESTORE, JobKind.POST_BOOTSTRAP)",
        instead="_UNDER_LEASE = (JobKind.PRE_PROMOTE, JobKind.POST_BOOTSTRAP)",
        caught_by=_FOUNDING + "test_a_program_is_ended_with_the_lease_that_it_was_begun_under",
    ),
    Mutant(
        file="ha/rules/bootstrap.py",
        without="a cluster begins though `post_bootstrap` failed",
        text="if failed.kind is JobKind.POST_BOOTSTRAP and not s.directory_empty:",
        instead="if False:",
        caught_by=_FAILED,
    ),
    Mutant(
        file="ha/rules/bootstrap.py",
        without="`post_bootstrap` runs on a cluster that was there before",
        text="if s.view.me.post_bootstrap and s.view.directory.in_one_go:",
        instead="if s.view.me.post_bootstrap:",
        caught_by=_FOUNDING + "test_an_existing_cluster_that_is_brought_in_is_not_asked_for",
    ),
    Mutant(
        file="ha/rules/bootstrap.py",
        without="a second attempt gives up before it has begun to recover",
        text="memory = replace(s.memory, making=lease.epoch, plan=None)",
        instead="memory = replace(s.memory, making=lease.epoch)",
        caught_by=_FOUNDING + "test_an_attempt_remembers_its_lease_and_nothing_of_the_one_before",
    ),
    Mutant(
        file="ha/rules/bootstrap.py",
        without="S6: clients are let in before anybody knows of the cluster that they write to",
        text='plan = primary_plan(s.cluster, s.view.me, "", closed=True)\n    actions',
        instead='plan = primary_plan(s.cluster, s.view.me, "")\n    actions',
        caught_by="unit/ha/test_bootstrap.py::test_the_winner_makes_the_cluster_step_by_step",
    ),
    Mutant(
        file="ha/candidates.py",
        without="S6: an older backup leads, for the store names whom it was restored for",
        text="if s.cluster.sync is not None and s.view.directory.from_backup:",
        instead="if False:",
        caught_by="unit/ha/test_candidates.py::"
        "test_who_was_copied_from_a_backup_does_not_lead_before_it_has_followed",
    ),
    Mutant(
        file="ha/rules/follower.py",
        without="S6: an older backup follows as the synchronous standby that was there before",
        text="if _may_be_let_out(s):",
        instead="if False:",
        caught_by=_REMADE,
    ),
    Mutant(
        file="ha/rules/follower.py",
        without="L2: who was made anew waits for ever for a leader that needs it",
        text="is_new = done is not None and s.since(done.ended) < LET_OUT_TTLS * s.config.ttl",
        instead="is_new = True",
        caught_by=_REMADE,
    ),
    Mutant(
        file="ha/announce.py",
        without="strict: who waits to be let out of the set is waited for",
        text="if not s.running and s.counts_as_remade:",
        instead="if False:",
        caught_by=_REMADE,
    ),
    Mutant(
        file="ha/hearing.py",
        without="S6: an older backup bears witness to what was acknowledged before",
        text="if report.from_backup:",
        instead="if False:",
        caught_by="unit/ha/test_hearing.py::test_who_may_hold_more_is_never_overtaken",
    ),
)

FILES: Final = (
    Mutant(
        file="pg/configuration.py",
        without="R11: a recovery target stays in the files of a member",
        text="    if not plan.recovers:\n        changed |= _removed(data_dir / RECOVERY_FILE)\n",
        instead="    if (data_dir / RECOVERY_FILE).exists():\n"
        "        settings = _recovering(settings, data_dir)\n",
        caught_by=_RESTORE + "test_the_settings_of_a_recovery_are_in_force_in_no_other_server",
    ),
    Mutant(
        file="pg/configuration.py",
        without="a recovery has two targets, one of them empty",
        text="if name not in conf.ENDS_OF_RECOVERY}",
        instead="if name}",
        caught_by=_RESTORE + "test_the_settings_of_a_recovery_are_in_force_in_no_other_server",
    ),
    Mutant(
        file="pg/restore.py",
        without="R11: what a program wrote of a recovery outlasts it",
        text="    if rest != altered:\n",
        instead="    if False:\n",
        caught_by=_RESTORE
        + "test_what_a_program_left_of_a_recovery_counts_only_where_it_is_to_be_kept",
    ),
    Mutant(
        file="pg/restore.py",
        without="a directory of a program that was cut short can begin a cluster",
        text="        files.replace(layout.birth_marker, IN_ONE_GO)\n",
        instead="        files.replace(layout.birth_marker, b'')\n",
        caught_by=_RESTORE
        + "test_a_restored_directory_takes_its_place_as_nobody_s_and_for_one_attempt",
    ),
    Mutant(
        file="pg/restore.py",
        without="each of many attempts that fail fills the disk",
        text="if (earlier / GIVEN_UP).exists():",
        instead="if False:",
        caught_by=_RESTORE + "test_of_programs_that_fail_the_last_attempt_is_kept",
    ),
    Mutant(
        file="pg/restore.py",
        without="S10: what somebody else put aside is removed after a failed attempt",
        text="if (earlier / GIVEN_UP).exists():",
        instead="if True:",
        caught_by=_RESTORE + "test_of_programs_that_fail_the_last_attempt_is_kept",
    ),
    *(
        Mutant(
            file="pg/methods.py",
            without=without,
            text=text,
            instead=instead,
            caught_by=_RESTORE + "test_what_is_not_of_this_cluster_or_its_line_is_refused_and_kept",
        )
        for without, text, instead in (
            (
                "S10: the copy of another cluster takes the place of the data directory",
                "if wanted.system_id is not None and copied.system_id != wanted.system_id:",
                "if False:",
            ),
            (
                "S9: a copy that left the line takes the place of the data directory",
                "if not timeline.is_ancestor(line.history, number, end, here):",
                "if False:",
            ),
            (
                "R25: a copy on the same number of another line becomes a standby",
                'if birth not in ("", wanted.birth) and number == here:',
                "if False:",
            ),
            (
                "S9: a copy that is ahead of its source becomes a standby of it",
                "if number == here and end > line.identity.position:",
                "if False:",
            ),
        )
    ),
    Mutant(
        file="pg/methods.py",
        without="R11: a copy by a program could start as a primary",
        text="    configuration.mark_standby(copy)\n",
        instead="",
        caught_by=_RESTORE + "test_a_copy_of_this_cluster_takes_the_place_as_a_standby",
    ),
    Mutant(
        file="pg/methods.py",
        without="S9: a copy replays what an archive has of a line that was left",
        text="    if line is not None:\n        _write_histories(job, copied, line)\n",
        instead="",
        caught_by=_RESTORE + "test_a_copy_of_this_cluster_takes_the_place_as_a_standby",
    ),
    Mutant(
        file="pg/methods.py",
        without="S6: a copy of a backup is taken for what was there before",
        text="    configuration.mark_from_backup(copy)\n",
        instead="",
        caught_by=_BACKUP,
    ),
    *(
        Mutant(
            file="pg/configuration.py",
            without=without,
            text="if plan.upstream is not None or plan.role is ServerRole.PRIMARY:",
            instead=instead,
            caught_by=_BACKUP,
        )
        for without, instead in (
            ("S6: a copy of a backup counts before it has followed anybody", "if True:"),
            (
                "a copy of a backup never counts, however long it has followed",
                "if plan.role is ServerRole.PRIMARY:",
            ),
        )
    ),
    Mutant(
        file="pg/restore.py",
        without="S10: what was confirmed since that was decided is put aside",
        text="if not is_in_one_go(layout):",
        instead="if False:",
        caught_by=_RESTORE + "test_what_no_attempt_made_is_not_given_up",
    ),
)

AGENT: Final = (
    Mutant(
        file="agent/health.py",
        without="a long recovery of a backup loses the lease",
        text="if self._recovers() or waited <=",
        instead="if waited <=",
        caught_by="unit/agent/test_health.py::"
        "test_what_a_bootstrap_restored_may_take_hours_until_it_answers",
    ),
    Mutant(
        file="agent/jobs.py",
        without="a copy that was given up begins again by another method",
        text="if left == 0 or isinstance(error, JobCancelled):",
        instead="if left == 0:",
        caught_by=_JOBS + "test_the_last_method_that_fails_is_told_and_a_job_that_was_cancelled_"
        "tries_no_other",
    ),
    Mutant(
        file="agent/jobs.py",
        without="the next agent goes on after half a `post_bootstrap`",
        text="in_one_go = bool(given.post_bootstrap)",
        instead="in_one_go = False",
        caught_by=_JOBS + "test_whatever_runs_to_its_end_alone_is_marked_so",
    ),
)
