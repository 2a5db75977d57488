"""The promises of the cluster world, checked by what the made-up servers do and hold.

- S1: where one server has acknowledged rows, none that was a primary before it acknowledges any
  more, but for a row that the new line holds; and when a server begins to take writes, nobody else
  can;
- S6: a server that is promoted holds every row that was acknowledged (in synchronous mode); S7: in
  the other it lacks no more than the lag that is allowed and what a ttl brought;
- S5, R16: when the end of a lease is proposed, and when the leader key of an epoch is gone for
  whatever reason, no server of its holder can commit any more, unless the store says that a
  maintenance pause has left it without a deadline;
- L1: a primary that is struck alone has a successor in time;
- S8: a server is told to become a primary only while the store says that its node leads, and less
  than a ttl after its node handed over what its lease rests on;
- R25: what was acknowledged under one timeline number was written by one server.

Nothing here is taken from the product but the names of keys in the store.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from raftha.model.settings import DynamicConfig, SynchronousMode
from raftha.model.store import Key, Snapshot
from tests.sim.checkers import Verdicts
from tests.sim.clocks import TrueTime
from tests.sim.cluster.postgres import Server
from tests.sim.cluster.wal import Line

LEADER: Final = Key("/raftha/sim/leader")
SYNC: Final = Key("/raftha/sim/sync")
CONFIG: Final = Key("/raftha/sim/config")
DISARMED: Final = "/raftha/sim/disarmed/"
THAW_S: Final = 0.5
"""A machine that was frozen as a whole has processes for so long when it goes on, for no timer of
its own could run. Where nothing waits for a standby they may acknowledge (a stated limit)."""


class Acknowledged(Struct, frozen=True):
    """A commit that a client was told of."""

    row: int
    at: float
    node: str
    end: int


class Reign(Struct):
    """One incarnation of the leader key. `is_bound` says whether the store named who may follow it,
    when it was seen last; `has_served`, whether its holder came to take writes."""

    revision: int = -1
    is_bound: bool = False
    has_served: bool = False


class Promises:
    """Told by the servers of what they do."""

    def __init__(
        self,
        verdicts: Verdicts,
        time: TrueTime,
        settings: DynamicConfig,
        *,
        store: Callable[[], Snapshot | None],
        servers: Callable[[], list[Server]],
        thawed_at: Callable[[str], float],
        is_beyond_timers: Callable[[Server], bool],
    ) -> None:
        self._verdicts = verdicts
        self._time = time
        self._settings = settings
        self._store = store
        self._servers = servers
        self._thawed_at = thawed_at
        self._is_beyond_timers = is_beyond_timers
        self.acknowledged: dict[int, Acknowledged] = {}
        self.promotions = 0
        self._order: list[int] = []
        self._newest: Server | None = None
        self._lines: dict[int, Line] = {}
        self._latest = 0.0
        self._longest_ttl: float = settings.ttl
        self._renewed: dict[str, float] = {}
        self._reigns: dict[tuple[int, int], Reign] = {}
        self._latest_seen = (0, 0)
        self._leading: tuple[int, str] | None = None
        self._probe: tuple[Server, float] | None = None
        self.gaps: list[float] = []

    @property
    def is_synchronous(self) -> bool:
        """Commits are to wait for standbys, by the store."""
        snapshot = self._store()
        entry = None if snapshot is None else snapshot.entries.get(CONFIG)
        if entry is None:
            return self._settings.synchronous_mode is not SynchronousMode.OFF
        return bool(json.loads(entry.value)["synchronous_mode"] != SynchronousMode.OFF)

    @property
    def sync_standbys(self) -> list[str]:
        """Who may take over by itself in synchronous mode, by the store."""
        snapshot = self._store()
        entry = None if snapshot is None else snapshot.entries.get(SYNC)
        return [] if entry is None else list(json.loads(entry.value).get("sync_standby", ()))

    @property
    def latest(self) -> float:
        """When a row was acknowledged last."""
        return self._latest

    # What nodes and servers do.

    def saw(self, snapshot: Snapshot) -> None:
        """A replica shows this now."""
        if self._latest_seen < (snapshot.generation, snapshot.revision):
            self._latest_seen = (snapshot.generation, snapshot.revision)
            self._check_succession(snapshot)
        entry = snapshot.entries.get(LEADER)
        if entry is None:
            return
        reign = self._reigns.setdefault((snapshot.generation, entry.create_revision), Reign())
        if snapshot.revision > reign.revision:
            reign.revision, reign.is_bound = snapshot.revision, SYNC in snapshot.entries

    def renewed(self, node: str, handed_over: float, ttl: float) -> None:
        """A claim or a renewal of this node has committed."""
        self._renewed[node] = handed_over + ttl
        self._store()  # A look at it now, while this replica is there.
        self._longest_ttl = max(self._longest_ttl, ttl)

    def told_to_promote(self, server: Server) -> None:
        """The signal has reached a standby that found the file."""
        leader = _leader_in(self._store())
        if leader != server.node:
            self._verdicts.violate(f"S8: {server.node} is promoted while {leader} leads")
        late = self._time.now - self._renewed.get(server.node, 0.0)
        if late > 0:
            self._verdicts.violate(f"S8: {server.node} is promoted {late:.1f} s after its lease")

    def promoted(self, server: Server) -> None:
        """It has become a primary, with what it held."""
        self.promotions += 1
        self._verdicts.note(f"{server.node} is promoted to timeline {server.wal.number}")
        held = server.wal.rows()
        lost = [a for a in self.acknowledged.values() if a.row not in held]
        if not lost:
            return
        if self._is_bound():
            self._verdicts.violate(
                f"S6: {server.node} is promoted without {len(lost)} acknowledged rows, such as "
                f"{lost[0].row} of {lost[0].node} at {lost[0].at:.3f}"
            )
        else:
            self._check_loss(server, lost)
        for gone in lost:
            del self.acknowledged[gone.row]

    def opened(self, server: Server) -> None:
        """From now on it takes writes."""
        self._order.append(server.number)
        for reign in self._present()[:1]:
            reign.has_served = True
        writing = [s for s in self._servers() if s is not server and s.may_write]
        others = [s.node for s in writing if not self._may_linger(s)]
        if others:
            self._verdicts.violate(f"S1: {server.node} takes writes while {others} still does")

    def acknowledge(self, server: Server, row: int, end: int) -> None:
        """A client is told that its row is committed."""
        now = self._time.now
        if self._is_excused(server) and self._rank(server) < len(self._order) - 1:
            return  # Another has taken over: nobody is to count on it.
        newest = self._newest
        if newest is None or self._rank(server) >= self._rank(newest):
            self._newest = server
        elif row not in newest.wal.rows():
            self._verdicts.violate(
                f"S1: {server.node} acknowledges row {row} after {newest.node} has taken over"
            )
        line = server.wal.pieces[-1].line
        if self._lines.setdefault(line.number, line) is not line:
            self._verdicts.violate(f"R25: timeline {line.number} has two histories")
        self.acknowledged[row] = Acknowledged(row, now, server.node, end)
        self._latest = now
        if self._probe is not None and server is not self._probe[0]:
            self.gaps.append(now - self._probe[1])
            self._probe = None

    def expiring(self, snapshot: Snapshot) -> None:
        """Somebody proposes the end of the lease that this replica shows."""
        newest = self._store()
        if newest is None or newest.leases != snapshot.leases:
            return  # it was renewed, and the proposal will come to nothing
        leader = _leader_in(snapshot)
        if any(self._may_commit(server, newest) for server in self._servers_of(str(leader))):
            self._verdicts.violate(
                f"S5: the lease of {leader} is ended while its server may commit"
            )

    def probe(self, server: Server) -> None:
        """This primary is struck now."""
        self._probe = (server, self._time.now)

    @property
    def is_probing(self) -> bool:
        """Somebody was struck, and nobody writes yet."""
        return self._probe is not None

    def check_probe(self) -> None:
        """The bound is over."""
        if self._probe is not None:
            server, at = self._probe
            self._verdicts.violate(f"L1: {server.node} was struck at {at:.3f}, nobody writes yet")

    # How it is judged.

    def _check_succession(self, snapshot: Snapshot) -> None:
        """Whoever led before, and does not any more, cannot commit."""
        entry, leader = snapshot.entries.get(LEADER), _leader_in(snapshot)
        before = self._leading
        self._leading = None if entry is None else (entry.create_revision, str(leader))
        if before is None or before == self._leading:
            return
        epoch, name = before
        if any(self._may_commit(server, snapshot) for server in self._servers_of(name)):
            self._verdicts.violate(
                f"S5: the key of {name}'s epoch {epoch} is gone while its server may commit"
            )

    def _servers_of(self, node: str) -> list[Server]:
        return [server for server in self._servers() if server.node == node]

    def _may_commit(self, server: Server, store: Snapshot) -> bool:
        """It can, and nothing excuses that its node does not lead."""
        is_known = Key(f"{DISARMED}{server.node}") in store.entries
        return server.may_write and not is_known and not self._may_linger(server)

    def _present(self) -> list[Reign]:
        """The present reign, and before it those before it, the latest first."""
        return [self._reigns[epoch] for epoch in sorted(self._reigns, reverse=True)]

    def _is_bound(self) -> bool:
        """Whoever leads now was judged by who may follow, and not by its lag alone. Whoever won the
        key and never served bound nobody, though it may have named itself."""
        for reign in self._present()[1:]:
            if not reign.is_bound or reign.has_served:
                return reign.is_bound
        return False

    def _rank(self, server: Server) -> int:
        return self._order.index(server.number) if server.number in self._order else -1

    def _is_excused(self, server: Server) -> bool:
        """It may even acknowledge, for nothing there waits for a standby."""
        return not server.names_in_force and self._may_linger(server)

    def _may_linger(self, server: Server) -> bool:
        """Its processes may be there beyond its lease, for no timer could end them (the limits)."""
        was_frozen = self._time.now - self._thawed_at(server.node) < THAW_S
        return was_frozen or self._is_beyond_timers(server)

    def _check_loss(self, server: Server, lost: list[Acknowledged]) -> None:
        """What is missing may be as old as the last renewal, and by the lag that is allowed."""
        last = max(a.at for a in lost)
        # A renewal that tells of no position, as while PostgreSQL restarts, lets it grow old.
        window = 2 * self._longest_ttl + self._settings.heartbeat
        ends = [a.end for a in self.acknowledged.values() if a.at >= last - window]
        allowed = self._settings.maximum_lag_on_failover + max(ends) - min(ends) + 400
        missing = max(a.end for a in lost) - min(a.end for a in lost)
        self._verdicts.note(f"{len(lost)} rows are lost, {missing} bytes")
        if missing > allowed:
            self._verdicts.violate(
                f"S7: {server.node} is promoted without {missing} bytes; {allowed} are allowed"
            )

    def check_end(self, primary: Server, standbys: list[Server]) -> None:
        """In the end all servers hold the same."""
        held = primary.wal.rows()
        lost = [row for row in self.acknowledged if row not in held]
        if lost:
            self._verdicts.violate(f"S6: {len(lost)} acknowledged rows are gone in the end")
        for standby in standbys:
            if standby.wal.fork_with(primary.wal) < standby.wal.end:
                self._verdicts.violate(f"S9: {standby.node} streams, and holds another history")


def _leader_in(snapshot: Snapshot | None) -> str | None:
    """Who holds the leader key there."""
    entry = None if snapshot is None else snapshot.entries.get(LEADER)
    return None if entry is None else str(json.loads(entry.value).get("name"))
