"""What a member does while another one leads. PURE."""

from __future__ import annotations

from msgspec.structs import replace

from raftha.ha import logical
from raftha.ha.actions import Action, Clone, Configure, FillHistories, Rejoin, StopMode
from raftha.ha.candidates import diverged
from raftha.ha.complaints import words_of_older
from raftha.ha.plans import standby_plan
from raftha.ha.rules.server import start_standby, stop, take_over
from raftha.ha.situation import Situation
from raftha.ha.slots import slot_steps, words_of
from raftha.ha.table import Rule, Verdict
from raftha.ha.upstreams import copy_source, own_upstream
from raftha.model.cluster import Member, MemberState
from raftha.model.postgres import ControlData, ServerStatus

WAL_REMOVED = "has already been removed"
"""PostgreSQL's words when a standby asks for WAL that its primary no longer has."""

LET_OUT_TTLS = 4
"""For how many ttls a member that was made anew waits to be let out of the synchronous set, which
takes a checkpoint of the leader at most."""


def _follows(s: Situation) -> bool:
    return s.other_leader is not None and s.lease is None


def _unknown_leader(s: Situation) -> Verdict | None:
    leader = s.other_leader
    if not _follows(s) or leader is None or s.leader_member is not None:
        return None
    return Verdict(f"{leader.name} leads but has not announced itself yet")


def _slot_missing(s: Situation) -> bool:
    me = s.view.me
    is_needed = s.config.postgresql.use_slots and not me.tags.nostream
    return is_needed and me.slot not in s.cluster.slots


def _wait_for_slot(s: Situation, leader: Member) -> Verdict:
    return Verdict(f"waiting for {leader.name} to make the slot {s.view.me.slot}")


def _clone(s: Situation) -> Verdict | None:
    leader = s.leader_member
    if not _follows(s) or leader is None or s.running:
        return None
    is_needed = s.directory_empty or s.directory_interrupted or s.directory_stillborn
    if not is_needed and not s.memory.wal_gone:
        return None
    if not s.leader_is_ready:
        return Verdict(f"waiting for {leader.name} to be the primary before cloning from it")
    if _slot_missing(s):
        return _wait_for_slot(s, leader)
    if s.backing_off():
        return _pause(s)
    source = copy_source(s, leader)
    return Verdict(f"cloning from {source.name}", (Clone(source),))


def _older(s: Situation) -> Verdict | None:
    if not _follows(s) or s.running or not s.directory_older:
        return None
    what, remedy = words_of_older(s)
    return Verdict(f"{what}: {remedy}")


def _pause(s: Situation) -> Verdict:
    return Verdict(f"trying again later ({s.memory.failures} in a row failed): {s.memory.failed}")


def _start(s: Situation) -> Verdict | None:
    leader = s.leader_member
    if not _follows(s) or leader is None or s.running:
        return None
    control = s.view.directory.control
    if control is None:
        return None
    stranger = s.view.directory.stranger
    if stranger is not None and s.leader_is_ready and not _slot_missing(s):
        return take_over(s, stranger, f"{leader.name} leads")
    if stranger is not None:
        return Verdict(f"waiting for {leader.name} to be ready before pid {stranger} is taken over")
    if _may_be_let_out(s):
        return Verdict(f"waiting for {leader.name} to take {s.me} out of the synchronous set")
    if _needs_rejoin(s, control):
        return _rejoin(s, leader)
    if _slot_missing(s):
        return _wait_for_slot(s, leader)
    if s.backing_off():
        return _pause(s)
    source = own_upstream(s, leader)
    return start_standby(s, source, f"starting as a standby of {source.name}")


def _may_be_let_out(s: Situation) -> bool:
    """It has just been made anew by a program, and the leader is about to take it out of the set.
    Where the others of the set are gone as well, it cannot: whoever is left has to follow then."""
    done = s.view.finished
    is_new = done is not None and s.since(done.ended) < LET_OUT_TTLS * s.config.ttl
    return is_new and s.counts_as_remade


def _needs_rejoin(s: Situation, control: ControlData) -> bool:
    """The directory was a primary's, or holds WAL that the cluster's line does not; or that is not
    known, for the store does not tell of what was before the cluster."""
    if control.was_primary and not s.view.directory.standby_signal:
        return True
    if _has_rejoined(s):
        return False
    if s.directory_strange:
        return True
    end = max(control.checkpoint, control.minimum_recovery_end)
    timeline = max(control.timeline, control.minimum_recovery_timeline)
    return diverged(s, timeline, end)


def _has_rejoined(s: Situation) -> bool:
    """PostgreSQL itself compared the two lines under this leader, and found or made them one. The
    store keeps only the newest switches, so its judgement of an older directory would not do."""
    leader = s.cluster.leader
    return leader is not None and s.memory.rejoined == leader.epoch


def _rejoin(s: Situation, leader: Member) -> Verdict:
    if not s.leader_is_ready:
        return Verdict(f"waiting for {leader.name} to be the primary before joining it again")
    if _slot_missing(s):
        return _wait_for_slot(s, leader)
    if not s.cluster.checkpointed:
        return Verdict(f"waiting for the checkpoint of {leader.name} after its promotion")
    if s.backing_off():
        return _pause(s)
    control = s.view.directory.control
    forced = control is not None and _numbers_collide(s, control)
    rejoin = Rejoin(leader, forced, spares=s.directory_strange)
    return Verdict(f"comparing the WAL here with that of {leader.name}", (rejoin,))


def _numbers_collide(s: Situation, control: ControlData) -> bool:
    """A primary ran here on a timeline that the store promised to somebody else: PostgreSQL could
    not tell the two apart, because their history files are the same."""
    for record in s.cluster.history:
        if record.timeline == control.timeline and record.leader != s.me and control.was_primary:
            return not s.view.directory.standby_signal and s.cluster.timeline == control.timeline
    return False


def _starting(s: Situation) -> Verdict | None:
    if not _follows(s) or not s.running or s.server is not None:
        return None
    return Verdict(f"PostgreSQL does not answer yet: {s.view.server_problem or 'starting'}")


def _diverged(s: Situation) -> Verdict | None:
    leader, server = s.leader_member, s.server
    if not _follows(s) or leader is None or server is None or server.position is None:
        return None
    if _has_rejoined(s) or not diverged(s, server.timeline, server.position):
        return None
    if s.cluster.paused:
        return Verdict(f"not on the line of {leader.name}, and left as it is in a pause")
    reason = (
        f"timeline {server.timeline} at {server.position} is not on the line of {leader.name}: "
        "stopping to join it again"
    )
    return stop(s, StopMode.FAST, reason)


def _wal_gone(s: Situation) -> Verdict | None:
    leader, server = s.leader_member, s.server
    if not _follows(s) or leader is None or server is None or not s.leader_is_ready:
        return None
    if s.cluster.paused:
        return None
    if s.since(s.memory.starved_since) < 2 * s.config.ttl:
        return None
    verdict = stop(s, StopMode.FAST, f"{leader.name} no longer has the WAL needed: cloning anew")
    return replace(verdict, memory=replace(verdict.memory or s.memory, wal_gone=True))


def _copy_slots(s: Situation) -> Verdict | None:
    leader, server = s.leader_member, s.server
    if not _follows(s) or leader is None or server is None:
        return None
    return logical.copying(s, leader, server)


def _follow(s: Situation) -> Verdict | None:
    leader, server = s.leader_member, s.server
    if not _follows(s) or leader is None or server is None:
        return None
    source = own_upstream(s, leader)
    if source is leader and _slot_missing(s):
        return _wait_for_slot(s, leader)
    plan = standby_plan(s.cluster, s.view.me, source)
    if plan != s.memory.plan:
        memory = replace(s.memory, plan=plan)
        return Verdict(f"following {source.name}", (Configure(plan),), memory)
    steps = (
        *slot_steps(s, server),
        *logical.steps_of_standby(s, server),
        *_over_burned_numbers(s, server),
    )
    state = _state_of_stream(s, server)
    if leader.state is MemberState.STOPPING:
        state += f", {leader.name} is stopping"
    acts = ", ".join(filter(None, map(words_of, steps))) or "no action"
    return Verdict(f"{acts}: I am {s.me}, a standby of {source.name}, {state}", steps)


def _state_of_stream(s: Situation, server: ServerStatus) -> str:
    if server.receiver is not None:
        return "streaming"
    if s.view.me.tags.nostream:
        return "in archive recovery"
    return "not streaming yet" + (f": {s.view.last_words}" if s.view.last_words else "")


def _over_burned_numbers(s: Situation, server: ServerStatus) -> tuple[Action, ...]:
    """What lets a standby that follows the archive alone find the leader's timeline: PostgreSQL
    looks for one history file after the other, and ends at the first number that has none. A number
    that was burned has none in the archive."""
    newest = s.cluster.timeline
    if not s.view.me.tags.nostream or newest is None or newest <= server.timeline + 1:
        return ()
    return (FillHistories(newest),)


RULES = (
    Rule(
        id="follow-10",
        when="the leader has not announced itself",
        then="wait",
        why="its address is not known yet",
        check=_unknown_leader,
    ),
    Rule(
        id="follow-20",
        when="another member leads, and there is no data directory here or one half rewound",
        then="wait until the leader is the primary and has made the slot, then take a base backup; "
        "of a streaming standby tagged `clonefrom`, if there is one",
        why="with the slot first, the WAL that the copy needs stays, and PostgreSQL never logs "
        "a missing slot",
        check=_clone,
    ),
    Rule(
        id="follow-25",
        when="another member leads, and the data directory here was a primary's before the cluster "
        "was brought in from another one",
        then="touch nothing, until an operator moves it away or asks for a new copy "
        "(`raftha reinit`)",
        why="it may hold rows that are nowhere else, and nothing tells which of the two is the "
        "newer: they are not ours to undo (S10)",
        check=_older,
    ),
    Rule(
        id="follow-30",
        when="another member leads and PostgreSQL does not run here",
        then="stop a server that somebody else started and that is to be taken over; if the "
        "directory was a primary's or left the line, keep what diverged aside and rewind or clone; "
        "if it is from before the cluster, compare, and leave it alone where it has diverged; if a "
        "program made it, wait a moment until it counts as synchronous no more; then start as a "
        "standby",
        why="a diverged directory must never stream from the new line (S9), and what this cluster "
        "has not written is not its to undo (S10); what was acknowledged before may not be in a "
        "backup (S6)",
        check=_start,
    ),
    Rule(
        id="follow-40",
        when="another member leads and PostgreSQL here has not answered yet",
        then="wait",
        why="recovery takes the time it takes",
        check=_starting,
    ),
    Rule(
        id="follow-50",
        when="the standby here holds WAL that the leader's line does not",
        then="stop it, to join again; in a pause leave it",
        why="it can never stream from there, and must not be promoted",
        check=_diverged,
    ),
    Rule(
        id="follow-55",
        when="the standby's log says that the WAL it needs is gone, and for two ttls it got no "
        "further",
        then="stop it and take a new copy; the old directory is kept aside",
        why="it would wait for ever",
        check=_wal_gone,
    ),
    Rule(
        id="follow-57",
        when="`slots` names a logical slot that the primary has and the standby here has not, and "
        "PostgreSQL is older than 17; other standbys stream, it is this one's turn",
        then="fetch the slot's state from the primary, and restart the standby to take it in",
        why="a standby that old cannot make a logical slot; it can only find one as it starts",
        check=_copy_slots,
    ),
    Rule(
        id="follow-60",
        when="another member leads and a standby runs here",
        then="point it at the leader, or at whom `replicatefrom` names, or, tagged `nostream`, at "
        "nobody; keep a slot for each other member, behind what it confirmed",
        why="the healthy state of a standby: nothing is done unless something differs",
        check=_follow,
    ),
)
