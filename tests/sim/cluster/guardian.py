"""The guardian's process: the shipped service and kill switch, on a made-up machine and sockets.

A request is served in the instant in which it is made, if the guardian runs. If it is frozen, the
request waits in its socket and is served when it goes on, whatever became of who asked.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

from raftha.errors import GuardianGone, GuardianRefused
from raftha.guardian import events, protocol
from raftha.guardian.client import REPLY_TIMEOUT, GuardianClient
from raftha.guardian.events import GuardianLost
from raftha.guardian.protocol import Message, Reading
from raftha.guardian.service import QUESTIONS, Service
from raftha.guardian.switch import Files, KillSwitch
from raftha.instants import Seconds
from tests.sim.clocks import FakeClock
from tests.sim.cluster.fibers import Fibers, Life, Parked
from tests.sim.cluster.processes import Machine

IDLE_EXIT_S: Final = 30.0
TRAVEL_S: Final = 0.001
"""What an act that is asked for takes on its way; a question takes nothing."""


class Guardian:
    """One life of a guardian. `clients` are the connections that it has."""

    def __init__(
        self,
        pgdata: str,
        dead_man_s: float,
        *,
        nonce: str,
        predecessors: tuple[str, ...],
        machine: Machine,
        clock: FakeClock,
        life: Life,
        fibers: Fibers,
        died: Callable[[], None],
    ) -> None:
        self.life = life
        self.nonce = nonce
        self.machine = machine
        self.links = _Links(fibers)
        self._clock = clock
        self._fibers = fibers
        self._died = died
        self._timer = DeadMan(clock, fibers, life, self.die)
        self.switch = KillSwitch(
            Files(pgdata, pgdata + ".burned"),
            cast(Any, self._timer),
            dead_man_s,
            self._now,
            self.links.push,
            cast(Any, machine),
        )
        journal = cast(Any, _Journal())
        links = cast(Any, self.links)
        self.service = Service(
            self.switch,
            links,
            journal,
            IDLE_EXIT_S,
            nonce=nonce,
            predecessors=predecessors,
            clock=self._now,
        )
        self._due: float | None = None
        self.switch.open()

    def look(self) -> None:
        """One turn of its loop; the next follows when something is due."""
        if not self._survives(self.service.look):
            return
        if self.service.is_over:
            self.die()
            return
        pause = max(self.service.pause_s(), 0.001)
        self._plan(self._fibers.schedule.time.now + pause)

    def look_soon(self) -> None:
        """A signal or a line has come in."""
        if self.life.is_alive:
            self._plan(self._fibers.schedule.time.now)

    def hear(self, peer: _Peer, line: bytes, *, is_act: bool) -> None:
        """Serve a request. After a question there is nothing more to look at than before it."""
        is_alive = self._survives(lambda: self.service.hear(cast(Any, peer), line))
        if is_act and is_alive:
            self.look_soon()

    def _survives(self, act: Callable[[], None]) -> bool:
        """As the shipped process does: what it cannot write down is the end of it, and before that
        of its server."""
        try:
            act()
        except OSError as problem:
            self.switch.fail_safe(str(problem))
            self.machine.note_end_by_full_disk()
            self.die()
        return self.life.is_alive

    def die(self) -> None:
        """SIGKILL, or the end."""
        if self.life.is_alive:
            self._fibers.kill(self.life)
            self.links.lose_all(f"guardian {self.nonce} is gone")
            self.machine.orphan()
            self._died()

    def _plan(self, when: float) -> None:
        if self._due is None or when < self._due:
            self._due = when
            self._fibers.schedule.at(when, partial(self._turn, when))

    def _turn(self, when: float) -> None:
        if self._due == when:
            self._due = None
            self._fibers.run(self.life, self.look)

    def _now(self) -> Reading:
        now = self._clock.now()
        return Reading(now.boot, now.raw, now.slept)


class _Peer:
    """A connection, as the guardian sees it."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.role = ""


class _Links:
    """`raftha.guardian.links.Links` without sockets."""

    def __init__(self, fibers: Fibers) -> None:
        self._fibers = fibers
        self._peers: list[_Peer] = []
        self._agent: _Peer | None = None
        self.has_signals = False

    @property
    def has_agent(self) -> bool:
        return self._agent is not None

    def is_agent(self, peer: _Peer) -> bool:
        return peer is self._agent

    def greet(self, peer: _Peer, role: str) -> None:
        peer.role = role
        if role == "agent":
            self._agent = peer

    def accept(self, peer: _Peer) -> None:
        self._peers.append(peer)

    def drop(self, peer: _Peer) -> None:
        if peer in self._peers:
            self._peers.remove(peer)
        if peer is self._agent:
            self._agent = None

    def lose_all(self, reason: str) -> None:
        for peer in tuple(self._peers):
            self.drop(peer)
            peer.client.lost(reason)

    def send(self, peer: _Peer, message: Message) -> None:
        if peer in self._peers:
            peer.client.answered(protocol.decode(protocol.encode(message)))

    def push(self, event: Message) -> None:
        for peer in tuple(self._peers):
            if peer.role:
                peer.client.told(protocol.decode(protocol.encode(event)))


class _Journal:
    """The log, which nobody reads."""

    def note(self, text: str) -> None:
        """Forget it."""

    def flush(self) -> None:
        """Nothing to write."""


class DeadMan:
    """The kernel's timer on CLOCK_BOOTTIME: it ends even a frozen guardian."""

    def __init__(
        self, clock: FakeClock, fibers: Fibers, life: Life, die: Callable[[], None]
    ) -> None:
        self._clock = clock
        self._fibers = fibers
        self._life = life
        self._die = die
        self._boot: float | None = None
        self._looks_at: float | None = None

    def create(self) -> None:
        """There is one."""

    def set(self, boot: float | None) -> None:
        self._boot = boot
        if boot is not None and (self._looks_at is None or boot < self._looks_at):
            self._plan(boot)

    def _plan(self, boot: float) -> None:
        left = boot - self._clock.at(self._fibers.schedule.time.now).boot
        self._looks_at = boot
        wait = max(left / self._clock.boot_rate, 0.0005)
        self._fibers.schedule.after(wait, partial(self._look, boot))

    def _look(self, planned: float) -> None:
        if planned != self._looks_at:
            return  # it was set to an earlier time since
        self._looks_at = None
        if self._boot is None or not self._life.is_alive:
            return
        if self._clock.at(self._fibers.schedule.time.now).boot >= self._boot:
            self._die()
        else:
            self._plan(self._boot)


class Client(GuardianClient):
    """The shipped client, whose lines reach the guardian without a socket."""

    def __init__(
        self,
        path: Path,
        *,
        on_event: Callable[[events.GuardianEvent], None] | None = None,
        role: str = "agent",
        find: Callable[[], Guardian | None],
        life: Life,
        fibers: Fibers,
    ) -> None:
        super().__init__(path, on_event=on_event, role=role)
        self._find = find
        self._life = life
        self._fibers = fibers
        self._peer = _Peer(self)
        self._guardian: Guardian | None = None
        self._answers: dict[int, Message] = {}
        self._parked: dict[int, Parked] = {}

    def connect(self, timeout: Seconds = REPLY_TIMEOUT) -> str:
        guardian = self._find()
        if guardian is None:
            raise GuardianGone(f"no guardian answers on {self._path}")
        self._guardian = guardian
        guardian.links.accept(self._peer)
        words = {"role": self._role, "protocol": protocol.VERSION}
        return str(self._ask("hello", words, timeout)["nonce"])

    def close(self) -> None:
        self._is_closing = True
        if self._guardian is not None:
            self._guardian.links.drop(self._peer)
            self._guardian.look_soon()

    def _ask(self, word: str, fields: Message, timeout: Seconds) -> Message:
        guardian = self._guardian
        if guardian is None or not guardian.life.is_alive:
            raise GuardianGone(f"{word}: the guardian ended the connection")
        number = next(self._numbers)
        line = protocol.encode({"id": number, "do": word, **fields})
        is_act = word not in QUESTIONS
        if is_act:
            self._fibers.sleep(self._life, TRAVEL_S)
        self._fibers.run(guardian.life, lambda: guardian.hear(self._peer, line, is_act=is_act))
        self._life.arise()
        if number not in self._answers:
            parked = self._parked[number] = self._fibers.park(self._life, timeout)
            self._fibers.wait(self._life, parked)
            del self._parked[number]
        answer = self._answers.pop(number, None)
        if answer is None:
            raise GuardianGone(f"{word}: no answer in {timeout:g} s")
        if "refused" in answer:
            raise GuardianRefused(f"{word}: {answer['refused']}")
        return answer

    # What comes from the guardian.

    def answered(self, message: Message) -> None:
        number = message["id"]
        self._answers[number] = message
        if number in self._parked:
            self._fibers.wake(self._life, self._parked[number])

    def told(self, message: Message) -> None:
        event = events.event_from(message)
        self._fibers.after(TRAVEL_S, self._life, lambda: self._on_event(event))

    def lost(self, reason: str) -> None:
        """The connection has ended."""
        for parked in self._parked.values():
            self._fibers.wake(self._life, parked)
        if not self._is_closing:
            event = GuardianLost(reason=reason)
            self._fibers.after(TRAVEL_S, self._life, lambda: self._on_event(event))
