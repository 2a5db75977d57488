"""Whether a standby of a quorum has heard enough of the others to know that it holds every
acknowledged commit. PURE.

Each acknowledged commit is held by one of any `quorum + 1` of the standbys that `sync` names. So
one that has heard `quorum` others, of which none holds more than it, holds it too. What counts is
what they said after the leader key was gone and the old stream was cut (`pledge.py`): by then
nothing was acknowledged any more, and nothing could be.
"""

from __future__ import annotations

from typing import Final

from raftha.ha import pledge
from raftha.ha.candidates import loss_is_accepted, switch_point
from raftha.ha.situation import Situation
from raftha.instants import longest
from raftha.model.ids import Lsn, MemberName
from raftha.model.postgres import ServerStatus
from raftha.model.report import PeerReport

RULE_OF_HEARING: Final = "elect-68"
"""The rule of the election that tells of it."""


_NOT_ASKED: Final = "was not asked yet"
_NO_POSITION: Final = "does not know its WAL position"
_NOT_CUT: Final = "has not cut its old stream yet"
_COMING: Final = frozenset({_NOT_ASKED, _NO_POSITION, _NOT_CUT})
"""What a member that is there says in the first moments of a race."""


def unheard(s: Situation) -> str | None:
    """Why it is not known yet that this node holds every acknowledged commit; None if it is, as far
    as that depends on others: a node that `sync` does not name is no candidate to begin with."""
    return _missing(s, frozenset())


def never_heard(s: Situation) -> str | None:
    """The same, unless the members that are there may be about to say enough; None with a leader,
    for then nobody was asked since one was lost."""
    return _missing(s, _COMING)


def _missing(s: Situation, passing: frozenset[str]) -> str | None:
    sync, server = s.cluster.sync, s.server
    if sync is None or sync.quorum == 0 or s.me == sync.leader or loss_is_accepted(s):
        return None
    if server is None or server.position is None:
        return "its own WAL position is unknown"
    others = [name for name in sync.standbys if name != s.me]
    found = {name: _against(s, server, server.position, name) for name in others}
    against = [f"{name} {why}" for name, why in found.items() if why is not None]
    silent = [name for name, why in found.items() if why is not None and why not in passing]
    if len(others) - len(silent) >= sync.quorum:
        return None
    names = ", ".join(others)
    return (
        f"{sync.quorum} of {names} must have told that they hold no more, "
        f"{len(others) - len(against)} have: " + ", ".join(against)
    )


def _against(s: Situation, server: ServerStatus, position: Lsn, name: MemberName) -> str | None:
    """Why what a standby said does not count; None if it counts."""
    answer, lost = s.view.peers.get(name), s.memory.lost_since
    if answer is None or lost is None or longest(lost, answer.asked) < 0:
        return _NOT_ASKED
    report = answer.report
    if report is None:
        return "does not answer"
    if report.timeline is None or report.position is None:
        return _NO_POSITION
    if report.from_backup:
        return "has a data directory that a program made, maybe from an older backup"
    if not pledge.counts(s.cluster, report):
        return _NOT_CUT
    return _holds_more(s, server, position, report, report.position)


def _holds_more(
    s: Situation, server: ServerStatus, position: Lsn, report: PeerReport, told: Lsn
) -> str | None:
    if report.timeline == server.timeline:
        return f"is {position.behind(told)} bytes ahead" if told > position else None
    timeline = report.timeline
    switch = None
    if timeline is not None and timeline < server.timeline:
        switch = switch_point(s.cluster.history, server.timeline, timeline)
    if switch is not None and told <= switch:
        return None
    return f"is at {told} on timeline {timeline}, which this node does not hold"
