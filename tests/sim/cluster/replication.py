"""A stream of WAL between two servers: what was sent, what came, what was acknowledged."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from raftha.model.ids import Lsn
from raftha.model.postgres import Attached, SyncState
from tests.sim.cluster.cables import Cables
from tests.sim.cluster.fibers import Fibers

if TYPE_CHECKING:
    from tests.sim.cluster.postgres import Server

DATA: Final = "data"
_COUNT: Final = re.compile(r"(?:ANY )?(\d+) \(")
_NAMES: Final = re.compile(r'"([^"]+)"|(raftha_nobody)')


class Stream:
    """From `upstream` to `standby`. Each side gives it up by itself, when it hears nothing for its
    time-out; where a process ends, the other side learns of it at once if the link is there."""

    def __init__(
        self, upstream: Server, standby: Server, name: str, fibers: Fibers, cables: Cables
    ) -> None:
        self.upstream = upstream
        self.standby = standby
        self.name = name
        self.flush: int | None = None
        self.is_open_above = True
        self.is_open_below = True
        self._fibers = fibers
        self._cables = cables
        self._asked = standby.wal.end
        self._heard_above = self._heard_below = fibers.schedule.time.now

    def row(self) -> Attached:
        """In `pg_stat_replication`."""
        flush = None if self.flush is None else Lsn(self.flush)
        is_waited_for = self.name in self.upstream.names_shown
        return Attached(
            application_name=self.name,
            state="catchup" if flush is None else "streaming",
            sync_state=SyncState.SYNC if is_waited_for else SyncState.ASYNC,
            flush=flush,
            replay=flush,
            pid=self.standby.number,
        )

    def flow(self) -> None:
        """Send what there is."""
        until = self.upstream.wal.end
        if not self.is_open_above or until <= self._asked:
            return
        self._asked = until
        wal = self.upstream.wal
        self._fibers.after(
            self._cables.delay, self.standby.life, lambda: self._arrived(wal.copy(), until)
        )

    def answer(self) -> None:
        """Tell the upstream what is on the disk here."""
        end = self.standby.wal.end
        self._fibers.after(self._cables.delay, self.upstream.life, lambda: self._acknowledged(end))

    def look(self) -> None:
        """Both sides look at the clock, and at what got lost on the way."""
        now = self._fibers.schedule.time.now
        up, down = self.upstream, self.standby
        if up.life.runs and self._is_carried(up, down):
            self._heard_below = now
            if not self.is_open_above:
                self.is_open_below = False
            self._asked = min(self._asked, down.wal.end)
            self.flow()
        if down.life.runs and self._is_carried(down, up):
            self._heard_above = now
            if not self.is_open_below:
                self.is_open_above = False
            if self.flush is None or self.flush < down.wal.end:
                self.answer()
        self._note_deaths()
        if now - self._heard_below > _patience_s(down, "wal_receiver_timeout"):
            self.is_open_below = False
        if now - self._heard_above > _patience_s(up, "wal_sender_timeout"):
            self.is_open_above = False

    def close(self) -> None:
        """One side ends it, and the other hears of it if it can."""
        self.is_open_above = self.is_open_below = False

    def _note_deaths(self) -> None:
        up, down = self.upstream, self.standby
        is_linked = self._cables.carry_both(DATA, up.node, down.node)
        if not up.life.is_alive:
            self.is_open_above = False
            self.is_open_below = self.is_open_below and not (is_linked and up.is_host_up)
        if not down.life.is_alive:
            self.is_open_below = False
            self.is_open_above = self.is_open_above and not (is_linked and down.is_host_up)

    def _is_carried(self, source: Server, target: Server) -> bool:
        return self._cables.carries(DATA, source.node, target.node)

    def _arrived(self, wal: object, until: int) -> None:
        if self.is_open_below and self._is_carried(self.upstream, self.standby):
            self.standby.receive(wal, until)
            self.answer()

    def _acknowledged(self, end: int) -> None:
        if self.is_open_above and self._is_carried(self.standby, self.upstream):
            self.flush = max(end, self.flush or 0)
            self.upstream.release()


def _patience_s(server: Server, setting: str) -> float:
    """How long this side goes on without a word of the other."""
    return float(server.plan.parameters.get(setting, "60000ms")[:-2]) / 1000


def safe_end(setting: str, streams: Iterable[Stream]) -> int | None:
    """Up to where commits need not wait, by `synchronous_standby_names`; None: nowhere."""
    names, count = _meaning(setting)
    if not names:
        return None
    ends = sorted(s.flush for s in streams if s.name in names and s.flush is not None)
    return ends[-count] if len(ends) >= count else 0


@lru_cache(maxsize=256)
def _meaning(setting: str) -> tuple[frozenset[str], int]:
    """Who is waited for, and how many of them."""
    names = frozenset(a or b for a, b in _NAMES.findall(setting))
    return names, int((_COUNT.match(setting) or "11")[1])
