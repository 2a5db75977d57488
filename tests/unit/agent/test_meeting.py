"""Whose word a node takes that does not run yet, and when it has seen enough."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from raftha.agent.meeting import Meeting
from raftha.agent.sightings import Word
from raftha.consensus.security import PlainSecurity
from raftha.model.finding import Grade
from raftha.model.ids import MemberName, Scope
from raftha.model.settings import Address, NodeConfig, RaftConfig, RestConfig
from tests.sim.clocks import FakeClock, TrueTime

OWN, OTHER, HTTP = (Address("127.0.0.1", port) for port in (1, 2, 3))
ALL = {"raft": "", "http": ""}


@pytest.fixture
def meeting() -> Meeting:
    """Of a witness n1 that has one partner."""
    config = NodeConfig(
        scope=Scope("demo"),
        name=MemberName("n1"),
        raft=RaftConfig(
            self_addr=OWN, bind_addr=OWN, partner_addrs=(OWN, OTHER), data_dir=Path("/nonexistent")
        ),
        restapi=RestConfig(listen=HTTP, connect_address=HTTP),
    )
    return Meeting(config, PlainSecurity(), FakeClock(TrueTime()))


def word(**more: object) -> bytes:
    given: dict[str, object] = {
        "doctor": True,
        "address": str(OTHER),
        "ports": {"raft": str(OTHER), "http": "127.0.0.1:4"},
        "found": {str(OWN): ALL},
        "sees_all": False,
    }
    return msgspec.json.encode(Word(**{**given, **more}))  # type: ignore[arg-type]


def test_a_word_is_taken_of_partners_alone(meeting: Meeting) -> None:
    assert meeting.hear("n2", word()) is None
    assert "not in raft.partner_addrs of n1" in str(meeting.hear("n3", word(address="127.0.0.1:9")))
    assert "called n1 too" in str(meeting.hear("N1", word()))
    for rubbish in (b"", b"{}", b'{"epoch": [1, 2], "renewal": 3, "guardian": "x"}', b"\xff"):
        assert meeting.hear("n2", rubbish) is not None


def test_nobody_goes_before_all_others_know_that_all_is_seen(meeting: Meeting) -> None:
    assert meeting.hear("n2", word(sees_all=True)) is None
    (partner,) = meeting._partners.values()
    assert not meeting._is_over(), "it does not know yet"
    partner.knows = True
    assert meeting._is_over()


def test_who_was_reached_once_stays_so(meeting: Meeting) -> None:
    """It may have gone home by now."""
    assert meeting.hear("n2", word()) is None
    (partner,) = meeting._partners.values()
    for problem in ("timed out", "", "Connection refused"):
        meeting._find(partner, "raft", problem)
    meeting._find(partner, "http", "its certificate is not accepted here")
    meeting._find(partner, "http", "Connection refused")
    assert partner.found["http"] == "its certificate is not accepted here"
    meeting._find(partner, "http", "")
    assert partner.found == ALL
    assert meeting._word().sees_all
    met = meeting.result(3.0)
    assert [finding.grade for finding in met.findings] == [Grade.OK]
    assert set(met.links) == {"n1", "n2"}
