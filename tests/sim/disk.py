"""A disk that forgets: what was not synced is lost with the process, whole transactions in order.

It fills up, fails to sync, is slow, and notices at the next start that an entry was damaged.
`test_storage_contract` runs the same assertions against this store and the real one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random

from msgspec import Struct, field

from raftha.consensus.configuration import decode
from raftha.consensus.marks import Mark
from raftha.consensus.stable import Origin, Persisted, Standing, Voter
from raftha.consensus.state import LogEntry
from raftha.errors import StorageFailed
from raftha.instants import Seconds
from raftha.model.store import FsyncTimes
from tests.sim.clocks import TrueTime


class Records(Struct):
    """What the platter holds."""

    boot: int = 0
    term: int = 0
    vote: str | None = None
    entries: list[LogEntry] = field(default_factory=list)
    snapshot: bytes | None = None
    staged: dict[Origin, list[bytes]] = field(default_factory=dict)
    voters: dict[str, Voter] = field(default_factory=dict)
    standing: Standing = Standing()
    marks: dict[str, Mark] = field(default_factory=dict)

    @property
    def names_voters(self) -> bool:
        """Whether a set of voters stands in the log or in the snapshot."""
        in_log = any(decode(entry.command) is not None for entry in self.entries)
        return in_log or self.snapshot is not None


Change = Callable[[Records], None]


class _Batch(Struct):
    """A sync from `begun` to `ended` of the true time: a power cut between may lose it, and one
    before does."""

    begun: float
    ended: float
    changes: list[Change]


class Disk:
    """What a voter's directory holds, and how the device under it behaves.

    `latency` seconds pass in every sync, `stall` once more in the next one.
    """

    def __init__(self, incarnation: str, time: TrueTime | None = None) -> None:
        self.incarnation = incarnation
        self.time = time or TrueTime()
        self.full = False
        self.sync_fails = False
        self.damaged = False
        self.condemned: str | None = None
        self.lives = 1
        self.latency = 0.0
        self.stall = 0.0
        self.records = Records()
        self._uncertain: list[_Batch] = []

    @property
    def is_void(self) -> bool:
        """The next start will put what lies here aside, and begin with nothing."""
        return self.damaged or self.condemned is not None

    def write(self, changes: list[Change]) -> float:
        """Sync these changes; they are certain when the time that it takes has passed. Returns
        that time in seconds."""
        took = self.latency + self.stall
        self.stall = 0.0
        begun = self.time.now
        assert all(batch.ended <= begun for batch in self._uncertain), "syncs overlap"
        self.time.now += took
        self._uncertain.append(_Batch(begun, self.time.now, changes))
        if took == 0.0 and len(self._uncertain) == 1:
            self.read()
        return took

    def read(self) -> Records:
        """What is on disk; only after every sync has ended or the power was cut."""
        self._settle(self._uncertain)
        self._uncertain = []
        return self.records

    def settle(self, now: float) -> None:
        """Take note of the syncs that have ended by this true time: nothing undoes them."""
        self._settle([batch for batch in self._uncertain if batch.ended <= now])
        self._uncertain = [batch for batch in self._uncertain if batch.ended > now]

    def empty(self) -> None:
        """Another directory, of another incarnation, lies there; what was is aside."""
        self.records = Records()
        self._uncertain = []
        self.damaged, self.condemned = False, None
        self.lives += 1
        self.incarnation = f"{self.incarnation.partition(',')[0]}, {self.lives}"

    def cut_power(self, now: float, random: Random) -> None:
        """A sync under way at that true time is done or undone. A later one of the same round never
        began: its process is gone."""
        done = [batch for batch in self._uncertain if batch.ended <= now]
        under_way = [batch for batch in self._uncertain if batch.begun <= now < batch.ended]
        survived = under_way[: random.randint(0, len(under_way))] if under_way else []
        self._settle(done + survived)
        self._uncertain = []

    def _settle(self, batches: list[_Batch]) -> None:
        for batch in batches:
            for change in batch.changes:
                change(self.records)


class FakeStore:
    """`StableStore` over a `Disk`."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._pending: list[Change] = []
        self._last_index: int | None = None
        self._is_open = False
        self._sync_seconds = Seconds(0.0)

    def load(self) -> Persisted:
        if self._disk.damaged:
            self.condemn("an entry of the log is damaged: wrong checksum")
        put_aside = self._disk.condemned
        if put_aside is not None:
            self._disk.empty()
        records = self._disk.read()
        records.staged.clear()
        boot = records.boot + 1
        self._is_open = True
        self._last_index = records.entries[-1].index if records.entries else None
        self._change(lambda on_disk: setattr(on_disk, "boot", boot))
        self.sync()
        return Persisted(
            incarnation=self._disk.incarnation,
            boot=boot,
            term=records.term,
            vote=records.vote,
            entries=tuple(records.entries),
            snapshot=records.snapshot,
            voters=dict(records.voters),
            standing=records.standing,
            marks=dict(records.marks),
            put_aside=put_aside,
        )

    def append(self, entry: LogEntry) -> None:
        if self._last_index is not None and entry.index != self._last_index + 1:
            raise StorageFailed("not contiguous")
        self._change(lambda on_disk: on_disk.entries.append(entry))
        self._last_index = entry.index

    def truncate(self, first_index: int) -> None:
        def cut(on_disk: Records) -> None:
            on_disk.entries = [e for e in on_disk.entries if e.index < first_index]

        self._change(cut)
        self._last_index = first_index - 1

    def save_ballot(self, term: int, vote: str | None) -> None:
        def save(on_disk: Records) -> None:
            on_disk.term, on_disk.vote = term, vote

        self._change(save)

    def stage(self, origin: Origin, part: bytes, *, first: bool) -> None:
        def write(on_disk: Records) -> None:
            if first:
                on_disk.staged[origin] = []
            on_disk.staged[origin].append(part)

        self._change(write)

    def replace(self, entries: Sequence[LogEntry]) -> None:
        kept = list(entries)

        def put(on_disk: Records) -> None:
            on_disk.snapshot = b"".join(on_disk.staged.pop(Origin.RECEIVED))
            on_disk.entries = list(kept)

        self._change(put)
        self._last_index = kept[-1].index if kept else None

    def compact(self, first_index: int) -> None:
        def put(on_disk: Records) -> None:
            on_disk.snapshot = b"".join(on_disk.staged.pop(Origin.OWN))
            on_disk.entries = [e for e in on_disk.entries if e.index >= first_index]

        self._change(put)

    def save_voter(self, address: str, voter: Voter | None) -> None:
        def save(on_disk: Records) -> None:
            on_disk.voters.pop(address, None)
            if voter is not None:
                on_disk.voters[address] = voter

        self._change(save)

    def save_standing(self, standing: Standing) -> None:
        self._change(lambda on_disk: setattr(on_disk, "standing", standing))

    def save_marks(self, marks: Mapping[str, Mark]) -> None:
        kept = dict(marks)
        if kept:
            self._change(lambda on_disk: on_disk.marks.update(kept))

    def condemn(self, reason: str) -> None:
        self._disk.condemned = reason

    @property
    def is_dirty(self) -> bool:
        return bool(self._pending)

    def sync(self) -> None:
        if not self._pending:
            return
        self._require_disk()
        if self._disk.sync_fails:
            raise StorageFailed("input/output error")
        self._sync_seconds = Seconds(self._disk.write(self._pending))
        self._pending = []

    def fsync_times(self) -> FsyncTimes:
        return FsyncTimes(last=self._sync_seconds)

    @property
    def free_bytes(self) -> int | None:
        return 0 if self._disk.full else None

    def close(self) -> None:
        self.sync()
        self._is_open = False

    def lose_power(self) -> None:
        """The process is gone, and everything not synced with it."""
        self._pending = []
        self._is_open = False

    def _change(self, change: Change) -> None:
        self._require_disk()
        self._pending.append(change)

    def _require_disk(self) -> None:
        if not self._is_open:
            raise StorageFailed("the store is not open")
        if self._disk.full:
            raise StorageFailed("no space left on device")
