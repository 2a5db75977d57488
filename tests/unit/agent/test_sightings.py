"""What is said of nodes that do not run yet, by what each has seen of the others."""

from __future__ import annotations

import pytest

from raftha.agent.sightings import Partner, judge, table
from raftha.model.finding import Grade, Link

OWN = {"raft": "10.0.0.1:1", "http": "10.0.0.1:2", "postgres": "10.0.0.1:3"}
THEIRS = {"raft": "10.0.0.2:1", "http": "10.0.0.2:2", "postgres": "10.0.0.2:3"}
ALL = dict.fromkeys(OWN, "")
CUT = "timed out"


def partner(**more: object) -> Partner:
    """n2, seen both ways at every port."""
    given: dict[str, object] = {
        "address": "10.0.0.2:1",
        "name": "n2",
        "ports": THEIRS,
        "found": dict(ALL),
        "told": {"10.0.0.1:1": ALL},
        "was_here": True,
    }
    return Partner(**{**given, **more})


def test_who_is_seen_both_ways_at_every_port_is_well() -> None:
    (finding,) = judge(OWN, partner(), 9.0)
    assert finding.grade is Grade.OK
    assert "n2 (10.0.0.2:1) and this node reach each other at every port" in finding.what
    assert partner().sees(OWN)


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        ({"found": {**ALL, "raft": CUT}}, "its raft port 10.0.0.2:1 is not reached from here"),
        ({"found": {**ALL, "postgres": CUT}}, "its postgres port 10.0.0.2:3 is not reached"),
        ({"found": {"raft": ""}}, "its http port 10.0.0.2:2 is not reached from here: not tried"),
        ({"told": {"10.0.0.1:1": {**ALL, "http": CUT}}}, "does not reach the http port of this"),
        (
            {"was_here": False, "told": {}, "ports": {}, "found": {"raft": ""}},
            "is reached, and did not come to 10.0.0.1:1 within 9 s",
        ),
        (
            {"was_here": False, "told": {}, "ports": {}, "found": {"raft": CUT}},
            "is not seen either way: timed out",
        ),
    ],
)
def test_each_direction_that_fails_is_told_with_what_to_do(
    seen: dict[str, object], said: str
) -> None:
    cut = partner(**seen)
    found = list(judge(OWN, cut, 9.0))

    assert not cut.sees(OWN)
    assert [each.grade for each in found] == [Grade.PROBLEM] * len(found)
    assert said in found[0].what
    assert all(each.remedy for each in found)


def test_a_witness_has_two_ports() -> None:
    ports = {port: THEIRS[port] for port in ("raft", "http")}
    witness = partner(ports=ports, found=dict.fromkeys(ports, ""))
    assert witness.sees(OWN)
    assert not partner(told={"10.0.0.1:1": dict.fromkeys(ports, "")}).sees(OWN), "it lacks one"


def test_of_one_whose_agent_runs_no_more_is_asked() -> None:
    running = partner(runs=True, was_here=False, told={}, ports={}, found={"raft": ""})
    (finding,) = judge(OWN, running, 9.0)
    assert running.sees(OWN)
    assert (finding.grade, "its agent runs" in finding.what) == (Grade.OK, True)


def test_the_table_has_every_pair_that_anybody_told_of() -> None:
    told = {"10.0.0.1:1": ALL, "10.0.0.3:1": {"raft": CUT}}
    silent = Partner(address="10.0.0.3:1", found={"raft": CUT})
    links = table("n1", OWN, {"10.0.0.2:1": partner(told=told), "10.0.0.3:1": silent})

    assert set(links) == {"n1", "n2"}
    assert Link(to="n2", port="postgres", address="10.0.0.2:3") in links["n1"]
    assert Link(to="10.0.0.3:1", port="raft", address="10.0.0.3:1", problem=CUT) in links["n1"]
    assert Link(to="n1", port="http", address="10.0.0.1:2") in links["n2"]
    assert Link(to="10.0.0.3:1", port="raft", address="10.0.0.3:1", problem=CUT) in links["n2"]
