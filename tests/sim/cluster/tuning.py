"""The parameters that take a restart, in one life of a made-up server.

The five that size shared memory are told to standbys in the WAL, and written into pg_control: a
standby that has less than its primary stops replaying, is ended by a promotion, and does not start
again with less than its pg_control says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from raftha.model.postgres import (
    DEFAULT_SIZES,
    SIZES,
    ControlData,
    PendingRestart,
    ReplayPause,
    ServerPlan,
)
from raftha.pg import conf
from raftha.pg.sizes import shared_memory

if TYPE_CHECKING:
    from tests.sim.cluster.directory import Directory

BORN: Final = DEFAULT_SIZES
"""What a server runs with where nobody has asked for anything else."""

BUFFERS: Final = "shared_buffers"
"""One that takes a restart and means nothing to the others."""


def sizes_written(plan: ServerPlan, control: ControlData) -> dict[str, int]:
    """The sizes in the files that the product makes of a plan."""
    wanted = {**conf.DEFAULTS, **plan.parameters}
    chosen = {**wanted, **shared_memory(wanted, plan, control)}
    return {name: int(chosen[name]) for name in SIZES}


class Tuning:
    """`stands_at` is where replay has stopped for a size."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self.sizes = dict(directory.file_sizes)
        self.buffers = _buffers(directory.plan)
        self.stands_at: int | None = None

    @property
    def is_too_small(self) -> bool:
        """A standby cannot start with these."""
        return _is_below(self.sizes, self._directory.sizes)

    @property
    def pause(self) -> ReplayPause:
        return ReplayPause.NOT_PAUSED if self.stands_at is None else ReplayPause.PAUSED

    def pending(self, plan: ServerPlan) -> tuple[PendingRestart, ...]:
        """What `pg_settings` says of the files that were read last; of the sizes the product knows
        by itself."""
        wanted = _buffers(plan)
        if wanted == self.buffers:
            return ()
        return (PendingRestart(name=BUFFERS, running=self.buffers, wanted=wanted),)

    def replay(self) -> None:
        """Go through what the WAL here says of its writers' sizes, up to the first above these."""
        directory = self._directory
        wal = directory.wal
        if self.stands_at is not None or wal.end <= directory.sized_until:
            return
        for position, sizes in wal.sizes_between(directory.sized_until, wal.end):
            directory.sizes, directory.sized_until = dict(sizes), position
            if _is_below(self.sizes, sizes):
                self.stands_at = position
                directory.effects["replays stopped by a size"] += 1
                return
        directory.sized_until = wal.end

    def tell(self) -> None:
        """A primary takes writes: if it runs with other sizes than the last one, it says so."""
        directory = self._directory
        if self.sizes != directory.sizes:
            directory.wal.tell_sizes(self.sizes)
            directory.sizes = dict(self.sizes)
            directory.effects["sizes brought into force"] += 1
        directory.sized_until = directory.wal.end


def _is_below(sizes: Mapping[str, int], least: Mapping[str, int]) -> bool:
    return any(sizes[name] < value for name, value in least.items())


def _buffers(plan: ServerPlan | None) -> str:
    return "128MB" if plan is None else plan.parameters.get(BUFFERS, "128MB")
