"""What a seed makes of a world, apart from its faults."""

from __future__ import annotations

from random import Random
from typing import Final

from msgspec import Struct

from raftha.instants import Seconds
from raftha.model.settings import RaftTimings
from tests.sim.wires import Weather

LAN: Final = RaftTimings()
SLOW: Final = RaftTimings(
    election_min=Seconds(0.8),
    election_max=Seconds(1.6),
    append_period=Seconds(0.2),
    fallback=Seconds(1.6),
)
NAMES: Final = "abcdefghijklmnopqrstuvwxyz"
"""Addresses: the first voters, then machines that are brought up later."""


class Traits(Struct, frozen=True, kw_only=True):
    """Times in seconds. A round of a node takes `round_s` and its syncs; snapshots travel in parts
    of `chunk_bytes` and log entries in messages of `batch_bytes`, both small in some worlds."""

    size: int
    witnesses: int
    timings: RaftTimings
    weather: Weather
    disk_latency: float
    round_s: float
    chunk_bytes: int
    batch_bytes: int


def draw_traits(random: Random, size: int | None) -> Traits:
    """3 to 7 voters, of which a minority may be witnesses."""
    # Drawn even if it is given, so that naming a seed's own size repeats it.
    drawn = random.choices((3, 4, 5, 6, 7), (82, 5, 9, 2, 2))[0]
    voters = size or drawn
    return Traits(
        size=voters,
        witnesses=random.choice((0, 0, 1, (voters - 1) // 2)),
        timings=random.choice((LAN, SLOW, SLOW)),
        weather=random.choice((Weather(), Weather(0.0002, 0.0005), Weather(0.02, 0.05))),
        disk_latency=random.choice((0.0, 0.001, 0.01)),
        round_s=random.choice((0.002, 0.02, 0.04)),
        chunk_bytes=random.choice((256 * 1024, 400)),
        batch_bytes=random.choice((256 * 1024, 800)),
    )
