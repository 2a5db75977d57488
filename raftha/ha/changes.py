"""What is told of two views of the cluster that follow one another: what changed between. PURE."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct, field
from msgspec.structs import asdict

from raftha.instants import longest
from raftha.model.cluster import Cluster, SyncSet
from raftha.model.happening import Kind
from raftha.model.store import RaftStatus
from raftha.model.view import View


class Change(Struct, frozen=True, kw_only=True):
    """Something that is worth a line."""

    kind: Kind
    words: str
    facts: Mapping[str, str] = field(default_factory=dict)


def changes(before: View, after: View) -> Iterator[Change]:
    """What happened since the view before, in no order."""
    was, now = before.cluster, after.cluster
    yield from _of_leader(was, now)
    yield from _of_settings(was, now)
    yield from _of_group(before.raft, after.raft)
    yield from _of_request(was, now)
    yield from _of_job(before, after)
    if _sync_words(was.sync) != _sync_words(now.sync):
        yield Change(kind=Kind.SYNC, words=_sync_words(now.sync))
    gone, come = set(was.members) - set(now.members), set(now.members) - set(was.members)
    for name in sorted(come):
        yield Change(kind=Kind.VOTERS, words=f"{name} announced itself")
    for name in sorted(gone):
        yield Change(kind=Kind.VOTERS, words=f"{name} is no member any more")


def _of_leader(was: Cluster, now: Cluster) -> Iterator[Change]:
    old, new = was.leader, now.leader
    if old is not None and (new is None or new.epoch != old.epoch):
        yield Change(
            kind=Kind.LEADER,
            words=f"{old.name} is not the leader any more",
            facts={"epoch": str(old.epoch)},
        )
    if new is not None and (old is None or new.epoch != old.epoch):
        facts = {"epoch": str(new.epoch), "revision": str(now.revision)}
        yield Change(kind=Kind.LEADER, words=f"{new.name} has the leader key", facts=facts)


def _of_settings(was: Cluster, now: Cluster) -> Iterator[Change]:
    """Names alone: a value may hold what is nobody's business."""
    if was.paused != now.paused:
        words = "a maintenance pause begins" if now.paused else "the maintenance pause ends"
        yield Change(kind=Kind.PAUSE, words=words)
    if was.config_revision == now.config_revision or was.config_revision is None:
        return
    old, new = asdict(was.config), asdict(now.config)
    names = [name for name in new if old[name] != new[name] and name != "pause"]
    if "postgresql" in names:
        names.remove("postgresql")
        shared = asdict(was.config.postgresql), asdict(now.config.postgresql)
        names += [f"postgresql.{key}" for key in shared[1] if shared[0][key] != shared[1][key]]
    if names:
        words = f"settings changed: {', '.join(sorted(names))}"
        yield Change(kind=Kind.CONFIG, words=words)


def _of_group(was: RaftStatus, now: RaftStatus) -> Iterator[Change]:
    if was.majority and not now.majority:
        silent = [v.name or v.address for v in now.voters if not (v.connected or v.is_self)]
        words = f"no majority is in touch; silent: {', '.join(silent)}"
        yield Change(kind=Kind.RAFT, words=words)
    elif now.majority and not was.majority:
        yield Change(kind=Kind.RAFT, words="a majority is in touch")
    if now.leader is not None and (was.leader, was.term) != (now.leader, now.term):
        name = next((v.name for v in now.voters if v.address == now.leader), None)
        yield Change(
            kind=Kind.RAFT,
            words=f"{name or now.leader} leads the Raft group",
            facts={"term": str(now.term)},
        )
    old, new = ({v.name or v.address for v in raft.voters} for raft in (was, now))
    if old and old != new:
        yield Change(kind=Kind.VOTERS, words=f"voters are {', '.join(sorted(new))}")


def _of_request(was: Cluster, now: Cluster) -> Iterator[Change]:
    asked, before = now.request, was.request
    if asked is not None and (before is None or before.revision != asked.revision):
        parts = (f"{asked.leader or ''} to {asked.candidate or 'whoever is best'}").strip()
        yield Change(kind=Kind.ASKED, words=f"{asked.kind} under way: {parts}")
    done = now.operation
    old = was.operation
    if done is not None and (old is None or (old.id, old.state) != (done.id, done.state)):
        message = f": {done.message}" if done.message else ""
        yield Change(kind=Kind.ASKED, words=f"{done.kind} {done.state}{message}")


def _of_job(before: View, after: View) -> Iterator[Change]:
    job, ended = after.job, after.finished
    if job is not None and (before.job is None or before.job.started != job.started):
        source = f" from {job.source}" if job.source else ""
        yield Change(kind=Kind.JOB, words=f"{job.kind}{source} began")
    if ended is not None and ended != before.finished:
        begun = before.job.started if before.job is not None else None
        facts = {} if begun is None else {"seconds": f"{longest(begun, ended.ended):.1f}"}
        if ended.diverged is not None and ended.diverged.kept:
            facts["undone_wal_kept_in"] = ended.diverged.kept
        if ended.diverged is not None and ended.diverged.fetched:
            facts["segments_fetched"] = str(ended.diverged.fetched)
        failed = f" failed: {ended.error}" if ended.error else " is done"
        yield Change(kind=Kind.JOB, words=f"{ended.kind}{failed}", facts=facts)


def _sync_words(sync: SyncSet | None) -> str:
    if sync is None or not sync.standbys:
        return "no synchronous standby"
    words = f"synchronous standbys of {sync.leader}: {', '.join(sync.standbys)}"
    return words + (f"; {sync.quorum + 1} of them are to be heard" if sync.quorum else "")
