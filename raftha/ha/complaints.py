"""What the server of a standby complains of instead of streaming, and what to do about it. PURE."""

from __future__ import annotations

import re
from typing import Final

from raftha.ha.situation import Situation
from raftha.model.ids import MemberName
from raftha.model.report import Notice
from raftha.model.trouble import Trouble

_REFUSED: Final = re.compile("password|pg_hba|authentication|role .* does not exist")
_UNREACHED: Final = re.compile(
    "could not connect|refused|timed? ?out|No route|closed the connection"
)


def without_stream(s: Situation) -> list[Notice]:
    """A standby that complains instead of streaming, once the time to find the leader is over."""
    leader, server = s.cluster.leader, s.server
    if leader is None or leader.name == s.me or not s.leader_is_ready:
        return []
    if server is None or server.is_primary or server.receiver is not None:
        return []
    lost = s.memory.unstreamed
    if not s.view.last_words or lost is None or s.since(lost.since) < s.config.ttl:
        return []
    what = f"PostgreSQL does not stream from {leader.name}: {s.view.last_words}"
    remedy = _remedy_of_stream(s, leader.name)
    return [Notice(code=Trouble.NO_STREAM, subject=s.me, what=what, remedy=remedy)]


def _remedy_of_stream(s: Situation, leader: MemberName) -> str:
    words, remedy = s.view.last_words, "correct what it says"
    if _REFUSED.search(words):
        remedy += (
            " (password: postgresql.authentication.replication here, then SIGHUP to this agent; "
            f"pg_hba: on {leader})"
        )
    elif s.leader_member is not None and _UNREACHED.search(words):
        remedy = (
            f"see whether {s.leader_member.postgres}, which {leader} announces "
            "(postgresql.connect_address), can be reached from here: network, firewall, listen"
        )
    return f"{remedy}; PostgreSQL tries again by itself"
