"""What keeps a member from being a standby, and what to do about it. PURE."""

from __future__ import annotations

import re
from typing import Final

from raftha.ha.situation import Situation
from raftha.model.ids import MemberName
from raftha.model.report import Notice
from raftha.model.trouble import Trouble

_REFUSED: Final = re.compile("password|pg_hba|authentication|role .* does not exist")
_UNENCRYPTED: Final = re.compile(
    "certificate|private key|SSL error|SSL SYSCALL|SSL was required|channel binding|GSSAPI"
)
"""What libpq and the server say where two ends do not agree on TLS."""

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
    if s.view.me.tags.nostream:
        return [] if server.restores else [_without_archive(s)]
    lost = s.memory.unstreamed
    if not s.view.last_words or lost is None or s.since(lost.since) < s.config.ttl:
        return []
    what = f"PostgreSQL does not stream from {leader.name}: {s.view.last_words}"
    remedy = _remedy_of_stream(s, leader.name)
    return [Notice(code=Trouble.NO_STREAM, subject=s.me, what=what, remedy=remedy)]


def _without_archive(s: Situation) -> Notice:
    return Notice(
        code=Trouble.NO_RESTORE_COMMAND,
        subject=s.me,
        what="it is tagged nostream, so it gets its WAL by restore_command alone, and none is set: "
        "it gets no WAL at all",
        remedy="set postgresql.parameters.restore_command in its file and reload it, or for all "
        "members by raftha edit-config; or remove the tag",
    )


def of_directory(s: Situation) -> list[Notice]:
    """What lies in the data directory is whole, and not to be touched."""
    found = []
    if s.directory_of_other_cluster and not s.directory_stillborn:
        what, remedy = words_of_other_cluster(s)
        found.append(Notice(code=Trouble.DATA_DIRECTORY, subject=s.me, what=what, remedy=remedy))
    if s.directory_older and not s.running:
        what, remedy = words_of_older(s)
        found.append(Notice(code=Trouble.OLDER_DIRECTORY, subject=s.me, what=what, remedy=remedy))
    return found


def words_of_other_cluster(s: Situation) -> tuple[str, str]:
    """What is to be said of another cluster's directory, and what to do."""
    control, ours = s.view.directory.control, s.cluster.initialize
    what = (
        f"{s.view.directory.path} belongs to another cluster (system id "
        f"{control and control.system_id}, this cluster has {ours and ours.system_id})"
    )
    return what, "it is left alone; move it away or correct postgresql.data_dir"


def words_of_older(s: Situation) -> tuple[str, str]:
    """What is to be said of a directory from before this cluster, and what to do."""
    control, origin = s.view.directory.control, s.cluster.initialize
    what = (
        f"{s.view.directory.path} (timeline {control and control.timeline}, "
        f"{control and control.checkpoint}) was a primary's before this cluster was brought in by "
        f"{origin and origin.by}, and may hold rows that are nowhere else"
    )
    remedy = (
        f"it is left alone; see what it holds, then raftha reinit {s.me} keeps it aside and makes "
        "a copy, as the node does by itself once it is moved away"
    )
    return what, remedy


def _remedy_of_stream(s: Situation, leader: MemberName) -> str:
    words, remedy = s.view.last_words, "correct what it says"
    if _UNENCRYPTED.search(words):
        remedy += (
            " (certificate: the ssl options of postgresql.authentication.replication here, which "
            f"raftha check-config tries; ssl, ssl_ca_file and pg_hba on {leader}; a new file in "
            "the same place is read by itself)"
        )
    elif _REFUSED.search(words):
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
