"""The fakes of the consensus tests, each in its own file; and how a voter's process ends here."""

from __future__ import annotations

from tests.sim.clocks import FakeClock, TrueTime
from tests.sim.disk import Disk, FakeStore
from tests.sim.network import FakeLinks, Network

__all__ = [
    "BegunAnew",
    "Disk",
    "FakeClock",
    "FakeLinks",
    "FakeStore",
    "Fatal",
    "Network",
    "TrueTime",
    "begin_anew",
    "fatal",
]


class Fatal(BaseException):
    """The product asked for the end of the process."""


class BegunAnew(BaseException):
    """The product asked for a new process, which puts its Raft directory aside."""


def begin_anew(reason: str) -> None:
    """What the simulation gives the product for being started again."""
    raise BegunAnew(reason)


def fatal(message: str) -> None:
    """What the simulation gives the product for ending the process."""
    raise Fatal(message)
