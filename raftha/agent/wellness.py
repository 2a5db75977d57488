"""Judges what was measured of a machine, for `raftha doctor`. PURE."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from raftha.instants import RHO, in_days
from raftha.model.finding import Finding, Grade
from raftha.model.settings import TIMINGS, DynamicConfig, Profile
from raftha.model.store import SLOW_FSYNC_S

LOW_BYTES: Final = 256 << 20
SCARCE_BYTES: Final = 1 << 30
UNHURRIED_FSYNC_S: Final = 0.02
"""From here on a commit of the store, which is two syncs, is felt by whoever waits for it."""

_SOON_S: Final = 30 * 86400.0


def of_disk(check: str, path: str, free: int | None) -> Finding:
    """The space where a directory lies."""
    if free is None:
        return ok(check, f"the file system of {path} does not tell its free space")
    what = f"{free >> 20} MiB are free at {path}"
    remedy = "free space there, or move the directory to a larger disk"
    if free < LOW_BYTES:
        return bad(check, what, remedy)
    return warn(check, what, remedy) if free < SCARCE_BYTES else ok(check, what)


def of_syncs(path: str, times: Sequence[float]) -> Finding:
    """How long the disk of the Raft log takes to make a write durable."""
    slowest, middle = max(times), sorted(times)[len(times) // 2]
    what = (
        f"a sync at {path} takes {middle * 1000:.1f} ms, the slowest of {len(times)} "
        f"{slowest * 1000:.1f} ms"
    )
    remedy = "put raft.data_dir on a quicker or less busy disk, or use the profile `slow`"
    if slowest > SLOW_FSYNC_S:
        return bad("raft disk", what, remedy)
    if middle > UNHURRIED_FSYNC_S:
        return warn("raft disk", what, remedy)
    return ok("raft disk", what)


def of_authorities(check: str, path: str, ends: Sequence[float], wall: float) -> Finding:
    """Certificates of authorities, the end of each: while one is replaced, two are there."""
    left = max(ends) - wall
    remedy = (
        "make a new authority; put both into the file until every certificate is of the new one"
    )
    if left <= 0:
        return bad(check, f"no authority in {path} is valid any more", remedy)
    what = f"an authority in {path} is valid for {in_days(left)} more"
    return warn(check, what, remedy) if left < _SOON_S else ok(check, what)


def of_dates(check: str, path: str, dates: tuple[float, float], wall: float) -> Finding:
    """A certificate's."""
    begins, ends = dates
    left = ends - wall
    remedy = "put a new one in its place; it is read without a restart"
    if wall < begins:
        what = f"{path} is not valid yet"
        return bad(check, what, "check its dates and this machine's clock")
    if left <= 0:
        return bad(check, f"{path} has expired", remedy)
    what = f"{path} is valid for {in_days(left)} more"
    return warn(check, what, remedy) if left < _SOON_S else ok(check, what)


def of_budget(settings: DynamicConfig, timers: Profile) -> Finding:
    """Rule R7, and what is to spare: neither one lost store operation nor a split vote must cost
    the lease. `timers` is the profile by which the Raft group is run on this node."""
    election = TIMINGS[timers].election_max
    slowest = max(settings.retry_timeout, election)
    longer = "retry_timeout" if slowest > election else f"longest election of {timers}"
    needed = settings.heartbeat + 2 * slowest + settings.fence_budget
    limit = settings.ttl * (1 - RHO)
    what = (
        f"heartbeat + 2 * {longer} + fence_budget = {needed:.2f} s of the {limit:.2f} s that a "
        f"lease of {settings.ttl:g} s may be counted on"
    )
    if needed >= limit:
        remedy = "raise ttl, or choose a profile and restart the agents that do not run by it yet"
        return bad("ttl budget", what, remedy)
    return ok("ttl budget", what)


def of_clock(is_synchronised: bool | None) -> Finding:
    """No lease depends on it; certificates and the order of log lines do."""
    if is_synchronised is None:
        return ok("clock", "the kernel does not tell whether its clock is synchronised")
    if is_synchronised:
        return ok("clock", "the kernel's clock is synchronised")
    return warn(
        "clock",
        "no time service keeps this machine's clock",
        "run chrony or systemd-timesyncd; raftha needs it for dates of certificates and for you "
        "to compare logs",
    )


def ok(check: str, what: str) -> Finding:
    """Nothing to do."""
    return Finding(check=check, grade=Grade.OK, what=what)


def warn(check: str, what: str, remedy: str) -> Finding:
    """It works, and would better be otherwise."""
    return Finding(check=check, grade=Grade.WARNING, what=what, remedy=remedy)


def bad(check: str, what: str, remedy: str) -> Finding:
    """Something is wrong."""
    return Finding(check=check, grade=Grade.PROBLEM, what=what, remedy=remedy)
