"""The operator's program that may forbid a promotion: asked under each epoch, before anything of
the promotion is written down."""

from __future__ import annotations

from typing import Any

import pytest

from raftha.ha.actions import Submit
from raftha.ha.memory import Memory, PrePromoteAsked
from raftha.model.ids import Epoch, Revision, Timeline
from raftha.model.store import KeyCreatedAt, Put
from raftha.model.view import JobKind, JobResult, JobView, View
from tests.unit.ha import builders as b
from tests.unit.ha import servers as pg
from tests.unit.ha.builders import KEYS
from tests.unit.ha.servers import N1, N2, N3

ASKED = Memory(pre_promote_asked=PrePromoteAsked(epoch=pg.EPOCH, at=pg.at(-1.0)))
EARLIER = Memory(pre_promote_asked=PrePromoteAsked(epoch=pg.EPOCH, at=pg.at(-3.0)))
ASKED_BEFORE = Memory(pre_promote_asked=PrePromoteAsked(epoch=Epoch(1, 30), at=pg.at(-1.0)))
RUNNING = JobView(kind=JobKind.PRE_PROMOTE, started=pg.at(-0.9))


def ended(error: str | None = None, ago: float = 0.1) -> JobResult:
    return JobResult(kind=JobKind.PRE_PROMOTE, ended=pg.at(-ago), error=error)


def elected(**more: Any) -> View:
    """n1 has won the key, and has a program to ask."""
    given: dict[str, Any] = {
        "me": b.identity(pre_promote=True),
        "cluster": b.won(),
        "guardian": pg.STANDBY_GUARDIAN,
        "directory": pg.STANDBY_DIRECTORY,
        "server": pg.standby(slots=("n2", "n3")),
        "peers": pg.answers(pg.report(N3), silent=(N2,)),
    }
    return b.view(**{**given, **more})


def test_it_is_asked_before_the_promotion_is_recorded_and_once() -> None:
    decision = b.decided(elected())
    assert (decision.rule, b.acts(decision)) == ("lead-30", ["status", "AskPrePromote"])
    asked = decision.memory.pre_promote_asked
    assert asked == PrePromoteAsked(epoch=pg.EPOCH, at=pg.T0)

    waiting = b.decided(elected(job=RUNNING), decision.memory)
    assert (waiting.rule, b.acts(waiting)) == ("lead-30", ["status"])


def test_its_consent_lets_the_promotion_be_recorded() -> None:
    assert b.acts(b.decided(elected(finished=ended()), ASKED)) == ["history"]


def test_what_it_said_about_an_earlier_epoch_or_question_is_no_answer() -> None:
    assert "AskPrePromote" in b.acts(b.decided(elected(finished=ended()), ASKED_BEFORE))
    assert "AskPrePromote" in b.acts(b.decided(elected(finished=ended(ago=2.0)), ASKED))
    assert "CancelJob" in b.acts(b.decided(elected(job=RUNNING), ASKED_BEFORE))


REFUSED = ended("ended with status 1")


def test_its_refusal_gives_the_key_back() -> None:
    decision = b.decided(elected(finished=REFUSED, cluster=b.won(sync=None)), ASKED)
    assert b.acts(decision) == ["status", "ReleaseLeader"]
    assert "pre_promote ended with status 1" in decision.reason
    assert decision.memory.failures == 0, "it is no job that failed"


def test_who_holds_all_that_is_here_may_lead_instead() -> None:
    """The key was won with an empty synchronous set: nobody else could prove that it lacks
    nothing."""
    decision = b.decided(elected(finished=REFUSED), ASKED)
    submits = [a for a in decision.actions if isinstance(a, Submit) and a.intent == "sync"]
    command = submits[0].command
    assert isinstance(command.writes[0], Put)
    assert b'"n3"' in command.writes[0].value
    assert KeyCreatedAt(KEYS.leader, Revision(pg.EPOCH.revision)) in command.guards

    named = b.won(sync=b.sync(N3, by=N1))
    assert "ReleaseLeader" in b.acts(b.decided(elected(finished=REFUSED, cluster=named), ASKED))


@pytest.mark.parametrize(
    "peers",
    [
        pg.answers(pg.report(N3, 4999), silent=(N2,)),
        pg.answers(pg.report(N3, None), silent=(N2,)),
        pg.answers(pg.report(N3, timeline=Timeline(2)), silent=(N2,)),
        pg.answers(pg.report(N3), ago=0.3, silent=(N2,)),
    ],
    ids=["behind", "unknown", "elsewhere", "before"],
)
def test_who_may_lack_something_is_asked_again_for_a_moment(peers: Any) -> None:
    early = b.decided(elected(finished=REFUSED, peers=peers), ASKED)
    assert "AskPeers" in b.acts(early)
    late = b.decided(elected(finished=ended("no", ago=2.0), peers=peers), EARLIER)
    assert "ReleaseLeader" in b.acts(late)


def test_who_was_refused_stands_back_for_a_ttl() -> None:
    view = b.racing(me=b.identity(pre_promote=True))
    refused = Memory(**{**_fields(b.LOST), "pre_promote_refused": pg.at(-4.9)})
    decision = b.decided(view, refused)
    assert decision.rule == "elect-20"
    assert "pre_promote has forbidden it" in decision.reason

    later = Memory(**{**_fields(b.LOST), "pre_promote_refused": pg.at(-5.0)})
    assert b.decided(view, later).rule == "elect-70"


def test_the_record_of_its_own_epoch_says_that_it_agreed() -> None:
    assert b.acts(b.decided(elected(cluster=b.won(b.MINE)))) == ["status", "Promote"]


def test_the_very_first_promotion_fences_nobody() -> None:
    view = elected(directory=pg.directory(standby_signal=True, unborn=True))
    assert "AskPrePromote" not in b.acts(b.decided(view))


def test_a_question_outlives_no_lease() -> None:
    decision = b.decided(b.racing(job=RUNNING), b.LOST)
    assert (decision.rule, b.acts(decision)) == ("job-10", ["CancelJob"])


def _fields(memory: Memory) -> dict[str, Any]:
    return {name: getattr(memory, name) for name in memory.__struct_fields__}
