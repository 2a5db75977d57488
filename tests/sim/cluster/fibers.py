"""Code that waits, in virtual time: the shipped threads of an agent, one at a time.

A step of the product runs within an event of the schedule. Most steps never wait, and cost nothing
more than a call. One that does (a server that hangs, a guardian that is frozen) keeps its stack on
its thread, and another thread goes on with the schedule; when its time has come the baton goes
back. So exactly one thread runs at any time, and the order is the schedule's alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any, Final

from msgspec import Struct, field

from tests.sim.schedule import Schedule

STEP_S: Final = 0.01

PATIENCE_S: Final = 60.0
"""Real seconds after which a baton that does not come back is a mistake of the simulation."""


class Killed(BaseException):
    """The process that this code belongs to is gone."""


def _taken() -> threading.Lock:
    """A baton that nobody has yet: a bare lock hands over in a third of a semaphore's time."""
    lock = threading.Lock()
    lock.acquire()
    return lock


class Parked(Struct, eq=False):
    """A stack that waits."""

    baton: Any
    is_waiting: bool = False
    is_due: bool = False
    was_woken: bool = False


class Life(Struct, eq=False):
    """A process: while it is frozen, what it would do waits; once it is dead, nothing comes of it.
    `arise` is called whenever code of it is about to run."""

    name: str
    arise: Callable[[], None]
    is_alive: bool = True
    is_frozen: bool = False
    postponed: list[Callable[[], None]] = field(default_factory=list)
    parked: list[Parked] = field(default_factory=list)

    @property
    def runs(self) -> bool:
        return self.is_alive and not self.is_frozen


class Fibers:
    """Runs a schedule whose events may wait."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self._end = 0.0
        self._finished = threading.Semaphore(0)
        self._idle: list[Parked] = []
        self._threads: list[threading.Thread] = []
        self._failure: BaseException | None = None
        self._is_closed = False
        self.waits = 0

    # For the world.

    def run_until(self, end: float) -> None:
        """Let everything happen that is due before a true time."""
        self._end = end
        self._pass_on()
        self._finished.acquire()
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    def close(self, lives: list[Life]) -> None:
        """Unwind whatever waits. To be called once, when the world has ended."""
        for life in lives:
            self.kill(life)
        self.run_until(self.schedule.time.now + 1e-6)
        self._is_closed = True
        for driver in self._idle:
            driver.baton.release()
        for thread in self._threads:
            thread.join(PATIENCE_S)

    def run(self, life: Life, action: Callable[[], None]) -> None:
        """Let a process act now, or when it is thawed."""
        if not life.is_alive:
            return
        if life.is_frozen:
            life.postponed.append(lambda: self.run(life, action))
            return
        life.arise()
        try:
            action()
        except Killed:
            return

    def after(self, seconds: float, life: Life, action: Callable[[], None]) -> None:
        """Let a process do something so many seconds from now."""
        self.schedule.after(seconds, lambda: self.run(life, action))

    def kill(self, life: Life) -> None:
        """A process is gone; what waits in it unwinds in this instant."""
        life.is_alive = life.is_frozen = False
        life.postponed.clear()
        for parked in life.parked:
            self.schedule.after(0.0, lambda parked=parked: self._resume(parked, woken=False))

    def freeze(self, life: Life) -> None:
        if life.is_alive:
            life.is_frozen = True

    def thaw(self, life: Life) -> None:
        if life.is_frozen:
            life.is_frozen = False
            postponed, life.postponed = life.postponed, []
            for action in postponed:
                self.schedule.after(0.0, action)

    # For code that waits.

    def sleep(self, life: Life, seconds: float) -> None:
        """Let time pass for this code. Raises Killed if its process does not live to the end."""
        parked = self.park(life, seconds)
        self.wait(life, parked)

    def park(self, life: Life, seconds: float) -> Parked:
        """Something that will be woken after this time, or before by `wake`."""
        parked = Parked(_taken())
        self.schedule.after(seconds, lambda: self._come_back(life, parked, woken=False))
        return parked

    def wake(self, life: Life, parked: Parked) -> None:
        self.schedule.after(0.0, lambda: self._come_back(life, parked, woken=True))

    def wait(self, life: Life, parked: Parked) -> bool:
        """Until it is woken (True) or its time is over. Raises Killed."""
        if not life.is_alive:
            raise Killed
        if parked.is_due:
            return parked.was_woken
        self.waits += 1
        parked.is_waiting = True
        life.parked.append(parked)
        self._pass_on()
        parked.baton.acquire()
        life.parked.remove(parked)
        if not life.is_alive:
            raise Killed
        life.arise()
        return parked.was_woken

    def _come_back(self, life: Life, parked: Parked, *, woken: bool) -> None:
        if life.is_frozen:
            life.postponed.append(lambda: self._come_back(life, parked, woken=woken))
            return
        self._resume(parked, woken=woken)

    def _resume(self, parked: Parked, *, woken: bool) -> None:
        """Give the baton to a stack that waits; this thread stands by."""
        if parked.is_due:
            return
        parked.is_due, parked.was_woken = True, woken
        if not parked.is_waiting:
            return
        me = Parked(_taken())
        self._idle.append(me)
        parked.baton.release()
        me.baton.acquire()

    # The threads that run the schedule.

    def _pass_on(self) -> None:
        """Another thread goes on with the schedule."""
        if self._idle:
            self._idle.pop().baton.release()
            return
        thread = threading.Thread(target=self._drive, name="sim", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _drive(self) -> None:
        while not self._is_closed:
            self._run_what_is_due()
            if self._is_closed:
                return
            self.schedule.time.now = max(self.schedule.time.now, self._end)
            me = Parked(_taken())
            self._idle.append(me)
            self._finished.release()
            me.baton.acquire()

    def _run_what_is_due(self) -> None:
        schedule = self.schedule
        try:
            while not self._is_closed and schedule.run_one_before(self._end):
                pass
        except BaseException as failure:
            # It is raised again where the world runs; nothing more happens in this one.
            self._failure = self._failure or failure


class Bell:
    """`threading.Event` of a process: `rung` is called when it is set."""

    def __init__(self, rung: Callable[[], None] = lambda: None) -> None:
        self._rung = rung
        self._is_set = False

    def is_set(self) -> bool:
        return self._is_set

    def clear(self) -> None:
        self._is_set = False

    def set(self) -> None:
        if not self._is_set:
            self._is_set = True
            self._rung()


class Condition:
    """`threading.Condition` of a process, as far as the product uses it."""

    def __init__(self, fibers: Fibers, life: Life) -> None:
        self._fibers = fibers
        self._life = life
        self._waiting: list[Parked] = []

    def __enter__(self) -> None:
        """There is nobody to lock out."""

    def __exit__(self, *_: object) -> None:
        """Nor to let in."""

    def notify_all(self) -> None:
        for parked in self._waiting:
            self._fibers.wake(self._life, parked)
        self._waiting.clear()

    def wait_for(self, is_true: Callable[[], bool], timeout: float) -> bool:
        end = self._fibers.schedule.time.now + timeout
        while not is_true():
            left = end - self._fibers.schedule.time.now
            if left <= 0:
                return False
            parked = self._fibers.park(self._life, left)
            self._waiting.append(parked)
            self._fibers.wait(self._life, parked)
        return True


class Pool:
    """`Executor` of a process: each call runs in an event of its own."""

    def __init__(self, fibers: Fibers, life: Life) -> None:
        self._fibers = fibers
        self._life = life

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Call:
        call = Call()

        def run() -> None:
            call.result = function(*arguments)
            call.is_done = True

        self._fibers.after(0.0, self._life, run)
        return call

    def wait(self, calls: Iterable[Call], timeout: float) -> None:
        """Until all have ended, or the time is over."""
        pending = list(calls)
        end = self._fibers.schedule.time.now + timeout
        while self._fibers.schedule.time.now < end and not all(call.is_done for call in pending):
            self._fibers.sleep(self._life, STEP_S)

    def shutdown(self, **_: object) -> None:
        """Nothing to wait for."""


class Call:
    """`Future` of a `Pool`."""

    def __init__(self) -> None:
        self.is_done = False
        self.result: Any = None

    def done(self) -> bool:
        return self.is_done
