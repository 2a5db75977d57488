"""`raftha recover`: a cluster whose majority is lost for good goes on from this node alone.

It works on the directory of a stopped agent, which the lock on it proves. Everything is read and
judged first. What then changes is one rename, after a wait in which every lease that may still be
believed in anywhere has lapsed, and in which nobody of the lost may show a sign of life.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Final

from msgspec import Struct

from raftha.agent import lifesigns
from raftha.agent.build import build_instance
from raftha.agent.lifesigns import LifeSign, Suspect
from raftha.agent.oldserver import end_primary, is_guarded
from raftha.agent.process import guardian_socket, run_directory
from raftha.clock import Clock
from raftha.consensus import remains
from raftha.consensus.configuration import Configuration, Seat
from raftha.consensus.refounding import SurvivorDirectory
from raftha.consensus.remains import Remains
from raftha.consensus.stable import Owner
from raftha.errors import ConfigError, PostgresError, RafthaError
from raftha.ha import recovery
from raftha.ha.documents import read_cluster
from raftha.ha.keys import Keys
from raftha.ha.recovery import Survivor
from raftha.instants import RHO, Seconds, shortest
from raftha.model.cluster import Cluster
from raftha.model.ids import Lsn, Scope, Timeline
from raftha.model.postgres import ControlData, DataDirectory
from raftha.model.settings import NodeConfig
from raftha.model.store import Snapshot
from raftha.pg import rewind
from raftha.pg.directory import running_pid
from raftha.pg.instance import Instance
from raftha.pg.job import new_job

LOOK_PERIOD: Final = Seconds(1.0)
"""While it is waited for leases to lapse, the lost are tried once in this time."""
_SHORTEST_WAIT: Final = Seconds(0.01)
_READ_TIMEOUT: Final = 60.0
_ANSWER_TIMEOUT: Final = 5.0


class NotAllowed(RafthaError):
    """The recovery must not be done, and nothing was changed; the message says why."""


class Prospect(Struct, frozen=True, kw_only=True):
    """What an operator has to know before. `index` and `term` are of the last entry in this node's
    log; `wal` is how far its PostgreSQL is known to go, None without data. `holders` have every
    acknowledged commit as far as that log tells; there are none if commits waited for nobody.
    `wait` seconds must pass before the new generation begins. `lost` are those who must not live,
    `kept` survivors that join again."""

    scope: str
    name: str
    directory: Path
    index: int
    term: int
    revision: int
    generation: int
    voters: tuple[str, ...]
    has_seat: bool
    lost: tuple[str, ...]
    kept: tuple[str, ...]
    wait: Seconds
    wal: tuple[Timeline, Lsn] | None
    holders: tuple[str, ...]
    stakes: tuple[str, ...]


class _Read(Struct, frozen=True):
    """What was found at the beginning."""

    remains: Remains
    cluster: Cluster
    survivor: Survivor


class Recovery:
    """One recovery, from `open` to `close`. `wait` lets so many seconds pass."""

    def __init__(
        self, config: NodeConfig, clock: Clock, random: Random, wait: Callable[[float], object]
    ) -> None:
        self._config = config
        self._clock = clock
        self._random = random
        self._wait = wait
        self._keys = Keys(config.scope)
        self._directory = SurvivorDirectory(
            config.raft.data_dir, Owner(scope=config.scope, name=config.name), clock
        )
        self._lost: tuple[Suspect, ...] = ()
        self._read: _Read | None = None

    def open(self, kept: Sequence[str] = ()) -> Prospect:
        """Hold the Raft directory, and read what it tells. `kept` are other survivors. Raises
        StorageFailed if the agent runs, NotRecoverable, NotAllowed, ConfigError."""
        self._directory.open()
        found = remains.read(self._directory.read())
        cluster = cluster_of(found, self._config.scope, self._clock)
        others = others_of(self._config, found.voters, cluster)
        unknown = _fold(kept) - _fold(other.name for other in others)
        if unknown:
            names = ", ".join(other.name for other in others) or "nobody"
            raise NotAllowed(f"{', '.join(sorted(unknown))}: no other voter; there are {names}")
        self._lost = tuple(o for o in others if o.name.casefold() not in _fold(kept))
        self._refuse_majority(found, kept)
        survivor = self._survivor()
        self._read = _Read(found, cluster, survivor)
        return Prospect(
            scope=self._config.scope,
            name=self._config.name,
            directory=self._config.raft.data_dir,
            index=found.last.index,
            term=found.last.term,
            revision=found.machine.revision,
            generation=found.generation,
            voters=tuple(sorted(seat.name or seat.address for seat in found.voters.seats)),
            has_seat=found.has_seat,
            lost=tuple(suspect.name for suspect in self._lost),
            kept=tuple(o.name for o in others if o not in self._lost),
            wait=self._lapse(self._read),
            wal=_end_of(survivor),
            holders=recovery.holders(cluster),
            stakes=recovery.stakes(cluster, survivor),
        )

    def look(self) -> tuple[LifeSign, ...]:
        """Try once whether any of the lost answers."""
        return lifesigns.look(self._lost)

    def carry_out(self, step: Callable[[str], object]) -> Path:
        """Wait, fence, and begin the new generation; where the old Raft log is kept. `step` hears
        what has been done. Raises NotAllowed, with nothing changed, if somebody lives; and what the
        steps raise, with the old state or the new one in place."""
        read = self._read
        if read is None:
            raise NotAllowed("nothing was read yet")
        self._require_guardian()
        self._let_leases_lapse(self._lapse(read), step)
        if self._config.postgresql is not None and end_primary(self._guardian):
            step("the primary that ran here under an old epoch is killed")
        incarnation = f"{self._random.getrandbits(128):032x}"
        beginning = remains.begin(
            read.remains,
            self._seat(incarnation),
            f"{self._random.getrandbits(64):016x}",
            recovery.amendment(
                self._keys,
                read.cluster,
                read.survivor,
                generation=read.remains.generation + 1,
                lost=[suspect.name for suspect in self._lost],
                wall=self._clock.wall(),
            ),
        )
        return self._directory.put_in_place(beginning, incarnation, self._note(read), step)

    def close(self) -> None:
        """Let the directory go. Safe to call twice."""
        self._directory.close()

    # What is there.

    def _refuse_majority(self, found: Remains, kept: Sequence[str]) -> None:
        """A survivor without a vote adds nothing to a majority."""
        seats = found.voters.seats
        others = [seat for seat in seats if not seat.is_called(self._config.name)]
        names = _fold(seat.name or seat.address for seat in others) & _fold(kept)
        survivors = len(names) + found.has_seat
        if survivors > len(seats) / 2:
            raise NotAllowed(
                f"{survivors} of {len(seats)} voters are a majority: start their agents, and "
                "nothing has to be recovered"
            )

    def _survivor(self) -> Survivor:
        postgres = self._config.postgresql
        if postgres is None:
            return Survivor(name=self._config.name)
        run_dir = run_directory(self._config)
        instance = build_instance(self._config, postgres, run_dir, self._clock)
        found = instance.inspect()
        if found.control is None:
            return Survivor(name=self._config.name)
        timeline, end = _end_of_wal(instance, found, found.control, self._clock)
        return Survivor(name=self._config.name, timeline=timeline, end=end)

    def _seat(self, incarnation: str) -> Seat:
        address, is_witness = str(self._config.raft.self_addr), self._config.postgresql is None
        return Seat(address, self._config.name, incarnation, is_witness)

    def _lapse(self, read: _Read) -> Seconds:
        """The largest ttl that anybody may still count on, on a clock as slow as is allowed."""
        return Seconds(max(read.remains.largest_ttl, read.cluster.config.ttl) * (1 + RHO))

    def _note(self, read: _Read) -> str:
        when = datetime.fromtimestamp(self._clock.wall(), UTC).isoformat(timespec="seconds")
        lost = ", ".join(suspect.name for suspect in self._lost) or "nobody"
        return (
            f"Replaced on {when} by generation {read.remains.generation + 1}, which began without "
            f"{lost}. It ended with entry {read.remains.last.index} of term "
            f"{read.remains.last.term}.\n"
        )

    # What is done.

    @property
    def _guardian(self) -> Path:
        return guardian_socket(run_directory(self._config))

    def _require_guardian(self) -> None:
        """A server whose guardian is gone could not be fenced."""
        postgres = self._config.postgresql
        pid = None if postgres is None else running_pid(postgres.data_dir)
        if pid is not None and not is_guarded(self._guardian):
            raise NotAllowed(
                f"PostgreSQL (pid {pid}) runs here without a guardian that answers: stop it first"
            )

    def _let_leases_lapse(self, wait: Seconds, step: Callable[[str], object]) -> None:
        step(f"waiting {wait:.1f} s, until nobody can believe in a lease of the past")
        began = self._clock.now()
        while True:
            refuse_the_living(self.look())
            left = wait - shortest(began, self._clock.now())
            if left <= 0:
                return
            self._wait(max(_SHORTEST_WAIT, min(LOOK_PERIOD, left)))


def cluster_of(found: Remains, scope: Scope, clock: Clock) -> Cluster:
    """The cluster as the last entry of the log leaves it."""
    machine = found.machine
    snapshot = Snapshot(
        revision=machine.revision,
        generation=machine.generation,
        taken=clock.now(),
        entries=machine.entries,
        leases=machine.leases,
    )
    return read_cluster(Keys(scope), snapshot)


def others_of(config: NodeConfig, voters: Configuration, cluster: Cluster) -> list[Suspect]:
    """Everybody else who may have a vote, or believes so: by the log, the file and the store. Not
    this node at an address that it had before."""
    own = str(config.raft.self_addr)
    members = {member.raft: member for member in cluster.members.values()}
    names = {seat.address: seat.name for seat in voters.expected}
    names |= {seat.address: seat.name for seat in voters.seats}
    for address in (*map(str, config.raft.partner_addrs), *members):
        names.setdefault(address, "")
    others = []
    for address, name in names.items():
        member = members.get(address)
        known = name or (member.name if member is not None else address)
        if address != own and known.casefold() != config.name.casefold():
            others.append(Suspect(name=known, places=lifesigns.places_of(address, member)))
    return sorted(others, key=lambda other: other.name)


def refuse_the_living(signs: Sequence[LifeSign]) -> None:
    """Raises NotAllowed if any of them shows a sign of life."""
    alive = [str(sign) for sign in signs if sign.is_alive]
    if alive:
        raise NotAllowed(
            f"{'; '.join(alive)}. Stop what runs there, or if it is a survivor that shall join "
            "again, name it with --with. Nothing was changed."
        )


def _end_of_wal(
    instance: Instance, found: DataDirectory, control: ControlData, clock: Clock
) -> tuple[Timeline, Lsn]:
    """How far the WAL here goes: as the server says if it runs, else as it can be read; at the very
    least to where pg_control says."""
    layout = instance.layout
    try:
        if running_pid(layout.data_dir) is not None:
            status = instance.status(_ANSWER_TIMEOUT)
            if status.position is not None:
                return status.timeline, status.position
        elif layout.run_dir.is_dir():
            job = new_job(
                config=instance.config,
                run_dir=layout.run_dir,
                binaries=instance.binaries(found.major),
                clock=clock,
                stamp="recovery",
                timeout=_READ_TIMEOUT,
            )
            timeline, _, end = rewind.end_of_wal(job, control)
            return timeline, end
    except (PostgresError, ConfigError):
        pass  # what is known for certain has to do
    timeline = max(control.timeline, control.minimum_recovery_timeline)
    return timeline, max(control.checkpoint, control.minimum_recovery_end)


def _end_of(survivor: Survivor) -> tuple[Timeline, Lsn] | None:
    if survivor.timeline is None or survivor.end is None:
        return None
    return survivor.timeline, survivor.end


def _fold(names: Iterable[str]) -> set[str]:
    return {name.casefold() for name in names}
