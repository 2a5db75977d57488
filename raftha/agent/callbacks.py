"""Runs the programs of `postgresql.callbacks`, one at a time: the next one kills the one before it,
whose news is old. Those of reloads are apart, for a reload makes no other news old.

Nothing waits for them but the end of the agent, and that not for long.
"""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Callable
from pathlib import Path
from queue import Empty, Queue
from threading import Event

from msgspec import Struct

from raftha.agent import programs
from raftha.clock import Clock
from raftha.ha.course import Course, follow
from raftha.ha.situation import Situation
from raftha.instants import Seconds, remaining
from raftha.logs import event
from raftha.model.hooks import Callback, Hooks
from raftha.model.ids import Scope

LOG = logging.getLogger(__name__)

LAST_S = Seconds(10.0)
"""For so long an agent that ends waits for the callbacks of its end, such as `on_stop`."""


class _Running(Struct, frozen=True):
    callback: Callback
    process: subprocess.Popen[bytes]


class Callbacks:
    """`look` and `reloaded` are the loop's, and never wait; `run` is a thread's of its own."""

    def __init__(
        self, *, hooks: Callable[[], Hooks], scope: Scope, output: Path, clock: Clock
    ) -> None:
        self._hooks = hooks
        self._scope = scope
        self._output = output
        self._clock = clock
        self._course = Course()
        self._asked: Queue[tuple[Callback, str]] = Queue()
        self._running: dict[bool, _Running] = {}

    def look(self, situation: Situation) -> None:
        """Note what became of the server since the last round."""
        self._course, happened = follow(self._course, situation)
        if happened is not None:
            self._ask(happened)

    def reloaded(self) -> None:
        """The server was told to read its configuration."""
        if self._course.process:
            self._ask(Callback.ON_RELOAD)

    def _ask(self, callback: Callback) -> None:
        if callback in self._hooks().callbacks:
            self._asked.put((callback, self._course.role))

    def run(self, ended: Event) -> None:
        """Begin what is asked for, and see what ends, until `ended` is set."""
        while not ended.is_set():
            try:
                pause = programs.TICK_S if self._running else None
                callback, role = self._asked.get(timeout=pause)
            except Empty:
                self._look_after()
            else:
                self._look_after()
                self._begin(callback, role)

    def finish(self) -> None:
        """Give those that are under way a moment to end; what still runs then goes on alone."""
        deadline = self._clock.now().plus(LAST_S)
        pause = Event()
        while self._asked.unfinished_tasks and remaining(deadline, self._clock.now()) > 0:
            pause.wait(programs.TICK_S)

    def _begin(self, callback: Callback, role: str) -> None:
        words = self._hooks().callbacks.get(callback)
        lane = callback is Callback.ON_RELOAD
        self._kill(lane)
        if words is None:  # taken out of the file meanwhile
            self._asked.task_done()
            return
        try:
            process = programs.begin((*words, callback, role, self._scope), self._output)
        except OSError as error:
            event(LOG, logging.ERROR, "callback not run", callback=callback, why=str(error))
            self._asked.task_done()
            return
        self._running[lane] = _Running(callback, process)
        event(LOG, logging.INFO, "callback", callback=callback, role=role, pid=process.pid)

    def _kill(self, lane: bool) -> None:
        running = self._running.pop(lane, None)
        if running is None:
            return
        is_gone = programs.kill(running.process)
        event(
            LOG,
            logging.WARNING,
            "callback killed: there is newer news",
            callback=running.callback,
            pid=running.process.pid,
            goes_on=not is_gone,
        )
        self._asked.task_done()

    def _look_after(self) -> None:
        for lane, running in tuple(self._running.items()):
            code = running.process.poll()
            if code is None:
                continue
            del self._running[lane]
            level = logging.WARNING if code else logging.INFO
            event(LOG, level, "callback ended", callback=running.callback, status=code)
            self._asked.task_done()
