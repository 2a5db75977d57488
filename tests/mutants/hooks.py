"""Mutants of the operator's programs: what is asked of them, what they may not touch."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

_CONSENT: Final = "unit/ha/test_consent.py::"
_COURSE: Final = "unit/ha/test_course.py::"
_PROGRAMS: Final = "unit/agent/test_programs.py::"

DECISIONS: Final = (
    Mutant(
        file="ha/rules/leader.py",
        without="a promotion is recorded before `pre_promote` has agreed",
        text="        if waits is not None:\n",
        instead="        if waits is not None and s.view.job is not None:\n",
        caught_by=_CONSENT + "test_it_is_asked_before_the_promotion_is_recorded_and_once",
    ),
    Mutant(
        file="ha/consent.py",
        without="what `pre_promote` said under an earlier epoch counts",
        text="    if asked is not None and asked.epoch == lease.epoch:\n",
        instead="    if asked is not None:\n",
        caught_by=_CONSENT + "test_what_it_said_about_an_earlier_epoch_or_question_is_no_answer",
    ),
    Mutant(
        file="ha/consent.py",
        without="S6: who lacks commits may lead after a promotion that was forbidden",
        text="            and report.position >= position\n",
        instead="",
        caught_by=_CONSENT + "test_who_may_lack_something_is_asked_again_for_a_moment",
    ),
    Mutant(
        file="ha/candidates.py",
        without="who was forbidden the promotion races again at once",
        text="    if refused is not None and s.since(refused) < s.config.ttl:\n",
        instead="    if refused is not None and s.since(refused) < 0:\n",
        caught_by=_CONSENT + "test_who_was_refused_stands_back_for_a_ttl",
    ),
    Mutant(
        file="ha/course.py",
        without="a guardian that is gone proves that the server is",
        text="    if not guardian.alive:\n",
        instead="    if not guardian.alive and guardian.running:\n",
        caught_by=_COURSE + "test_a_server_that_hangs_and_a_guardian_that_is_gone_prove_nothing",
    ),
)

AGENT: Final = (
    Mutant(
        file="agent/graceful.py",
        without="a late `before_stop` stops the server that was started meanwhile",
        text="            if self._guarding.view().process == process:\n",
        instead="            if self._guarding.view().process:\n",
        caught_by="unit/agent/test_graceful.py::"
        "test_a_server_that_was_started_meanwhile_is_left_alone",
    ),
    Mutant(
        file="agent/programs.py",
        without="what a killed program has started lives on",
        text="    os.killpg(process.pid, signal.SIGKILL)\n",
        instead="    process.kill()\n",
        caught_by=_PROGRAMS + "test_one_that_does_not_end_in_time_is_killed_with_its_children",
    ),
    Mutant(
        file="agent/callbacks.py",
        without="a reload kills the callback of a change of role",
        text="        lane = callback is Callback.ON_RELOAD\n",
        instead="        lane = callback is None\n",
        caught_by=_PROGRAMS + "test_a_reload_kills_no_callback_and_newer_news_does",
    ),
)
