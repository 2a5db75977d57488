"""The guardian's loop: time first, then requests, one at a time, each answered or refused.

Requests of anybody but the newest agent are refused, save questions.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from raftha.guardian import kernel, launch, protocol
from raftha.guardian.journal import Journal
from raftha.guardian.links import Links, Peer
from raftha.guardian.protocol import Malformed, Message, Reading
from raftha.guardian.switch import KillSwitch, Refused
from raftha.guardian.typed import Final
from raftha.guardian.will import Will

ROLES: Final = ("agent", "observer")
QUESTIONS: Final = ("hello", "status")
NEVER: Final = float("inf")


class Service:
    """Connects the sockets with the kill switch."""

    def __init__(
        self,
        switch: KillSwitch,
        links: Links,
        journal: Journal,
        idle_exit_s: float,
        *,
        nonce: str,
        predecessors: tuple[str, ...] = (),
        clock: Callable[[], Reading] = kernel.read_clocks,
    ) -> None:
        self._switch = switch
        self._links = links
        self._journal = journal
        self._idle_exit_s = idle_exit_s or NEVER
        self._idle_since: float | None = None
        self._nonce = nonce
        self._predecessors = predecessors
        self._clock = clock
        self._awaiting_kill: list[tuple[Peer, object]] = []
        self._end: str | None = None
        self._will = Will(self._nonce, journal.note, switch.machine.launch)
        self._handlers: dict[str, Callable[[Peer, Message], Message | None]] = {
            "hello": self._hello,
            "status": self._status,
            "start": self._start,
            "arm": self._arm,
            "disarm": self._disarm,
            "burn": self._burn,
            "entrust": self._entrust,
            "promote": self._promote,
            "stop": self._stop,
            "kill": self._kill,
            "quit": self._quit,
        }

    def run(self) -> str:
        """Serve until the end is asked for and nothing runs; why it ended."""
        self._journal.note(f"begin: nonce {self._nonce}, {self._switch.status()['pgdata']}")
        while not self.is_over:
            self.look()
            for peer, line in self._wait():
                self.hear(peer, line)
            self._obey_signals()
        return str(self._end)

    def look(self) -> None:
        """Do what is due by now, whether anybody asks for something or not."""
        self._switch.tick()
        self._answer_kills()
        self._report_death()
        if not self._switch.is_guarding:
            self._journal.flush()
        self._watch_idleness()

    def hear(self, peer: Peer, line: bytes) -> None:
        """Answer one request; a deadline that has just passed comes first."""
        self._switch.tick()
        self._serve(peer, line)

    @property
    def is_over(self) -> bool:
        """The end was asked for, and nothing runs any more."""
        return self._end is not None and self._switch.is_idle

    def _wait(self) -> list[tuple[Peer, bytes]]:
        """The next lines; none when a tick is due. Turns 5 to 20 times a second while guarding."""
        while True:
            lines = self._links.wait(self.pause_s())
            if lines or self._links.has_signals or not self._switch.may_wait:
                return lines

    def pause_s(self) -> float:
        """Longest time until the next look, if nobody asks for anything."""
        pause = 0.0 if self.is_over else self._switch.pause_s()
        if self._idle_since is None:
            return pause
        idle = self._clock().boot - self._idle_since
        return max(0.0, min(pause, self._idle_exit_s - idle))

    def _watch_idleness(self) -> None:
        if self._links.has_agent or not self._switch.is_idle:
            self._idle_since = None
            return
        now = self._clock().boot
        if self._idle_since is None:
            self._idle_since = now
        if now - self._idle_since >= self._idle_exit_s:
            self._end = "neither agent nor server"

    def _obey_signals(self) -> None:
        told = self._links.take_signals()
        if signal.SIGTERM in told or signal.SIGINT in told:
            self._end = "told to stop by a signal"
            if not self._switch.is_idle:
                self._switch.kill("guardian told to stop")

    def _serve(self, peer: Peer, line: bytes) -> None:
        request: Message = {}
        try:
            request = protocol.decode(line)
            answer = self._handle(peer, request)
        except (Refused, Malformed) as problem:
            answer = {"refused": str(problem)}
            self._journal.note(f"refused {request.get('do')}: {problem}")
        if answer is not None:
            self._links.send(peer, {"id": request.get("id"), **answer})

    def _handle(self, peer: Peer, request: Message) -> Message | None:
        word = request.get("do")
        handler = self._handlers.get(word) if isinstance(word, str) else None
        if handler is None:
            raise Malformed(f"unknown request {word!r}")
        if word not in QUESTIONS and not self._links.is_agent(peer):
            raise Refused("only the agent that connected last may ask for this")
        return handler(peer, request)

    def _hello(self, peer: Peer, request: Message) -> Message:
        role = request.get("role")
        if role not in ROLES:
            raise Malformed(f"role: one of {', '.join(ROLES)} expected, not {role!r}")
        spoken = request.get("protocol")
        if spoken != protocol.VERSION:
            raise Refused(f"this guardian speaks protocol {protocol.VERSION}, not {spoken!r}")
        self._links.greet(peer, str(role))
        identity = {"nonce": self._nonce, "guardian_pid": os.getpid()}
        return {**identity, "protocol": protocol.VERSION}

    def _status(self, _peer: Peer, _request: Message) -> Message:
        identity = {"nonce": self._nonce, "guardian_pid": os.getpid()}
        return {**identity, "predecessors": self._predecessors, **self._switch.status()}

    def _report_death(self) -> None:
        """Once neither agent nor primary is there, nor anything of either: tell the others."""
        death = self._switch.death
        if death is None or self._links.has_agent or not self._will.is_made:
            return
        try:
            self._switch.bury()
        except OSError as problem:
            self._journal.note(f"no receipt: the epoch cannot be burned: {problem}")
            return
        pid = self._will.carry_out(death)
        if pid is not None:
            self._switch.set_apart(pid)

    def _entrust(self, _peer: Peer, request: Message) -> Message:
        """An agent that leads says how the others are told of the end of it and of its server."""
        self._will.make(_order_in(request, "/"))
        return {}

    def _start(self, _peer: Peer, request: Message) -> Message:
        epoch = protocol.epoch_in(request) if request.get("epoch") is not None else None
        order = _order_in(request, str(self._switch.status()["pgdata"]))
        server = self._switch.start(order, epoch)
        self._journal.note(f"started {server.pid}, epoch {epoch}")
        return {"pid": server.pid, "started": server.started}

    def _arm(self, _peer: Peer, request: Message) -> Message:
        self._switch.arm(protocol.arm_in(request))
        return {}

    def _disarm(self, _peer: Peer, request: Message) -> Message:
        self._switch.disarm(protocol.epoch_in(request))
        self._journal.note("disarmed")
        return {}

    def _burn(self, _peer: Peer, request: Message) -> Message:
        self._switch.burn(protocol.epoch_in(request))
        self._journal.note(f"burned {request['epoch']}, which is given back")
        return {}

    def _promote(self, _peer: Peer, request: Message) -> Message:
        self._switch.promote(protocol.epoch_in(request))
        self._journal.note(f"promoted under {request['epoch']}")
        return {}

    def _stop(self, _peer: Peer, request: Message) -> Message:
        self._switch.stop(str(request.get("mode")))
        return {}

    def _kill(self, peer: Peer, request: Message) -> None:
        self._switch.kill("asked to kill")
        self._awaiting_kill.append((peer, request.get("id")))

    def _answer_kills(self) -> None:
        if not self._awaiting_kill or not self._switch.is_idle:
            return
        waiting, self._awaiting_kill = self._awaiting_kill, []
        for peer, identity in waiting:
            self._links.send(peer, {"id": identity})

    def _quit(self, _peer: Peer, _request: Message) -> Message:
        if not self._switch.is_idle:
            raise Refused("a server runs: stop it first")
        self._end = "asked to quit"
        return {}


def _is_plain(text: str) -> bool:
    """Whether the kernel can be handed this text as a word or a path."""
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


def _order_in(request: Message, folder: str) -> launch.Order:
    """What to run in that folder, from a request. Raises Malformed."""
    argv, env = request.get("argv"), request.get("env")
    log = request.get("log")
    if not isinstance(argv, list) or not argv or not all(isinstance(a, str) for a in argv):
        raise Malformed("argv: a list of words expected")
    if not isinstance(env, dict) or not all(isinstance(v, str) for v in env.values()):
        raise Malformed("env: names with values expected")
    if not isinstance(log, str) or not os.path.isabs(argv[0]) or not os.path.isabs(log):
        raise Malformed("argv[0] and log: absolute paths expected")
    if not all(map(_is_plain, (*argv, *env, *env.values(), log))):
        raise Malformed("argv, env and log: text that the kernel can take expected")
    return launch.Order(tuple(argv), env, folder, log)
