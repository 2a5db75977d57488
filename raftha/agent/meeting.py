"""Nodes that do not run yet try one another's ports: `raftha doctor --before-start --wait`.

Each listens where its file says and goes where its file says that the others are, until everybody
has seen everybody, or the time is over. At the Raft port visitors with the credentials of a voter
are heard (`consensus/visiting.py`); whoever has none is told nothing, and who comes to join a group
is sent away, for none runs here. At the other ports nobody is told anything.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack
from typing import Final

import msgspec
from msgspec import Struct

from raftha.agent.sightings import LONGEST_PROBLEM, RAFT, Partner, Word, judge, ports_of, table
from raftha.agent.wellness import warn
from raftha.clock import Clock
from raftha.config.values import parse_address
from raftha.consensus.commands import WireError
from raftha.consensus.handshake import Handshake, Refused, leave_word
from raftha.consensus.members import Identity, Registry
from raftha.consensus.security import Security, choose
from raftha.consensus.visiting import Visitors, visit
from raftha.instants import longest
from raftha.model.finding import Finding, Link
from raftha.model.settings import Address, NodeConfig

PATIENCE_S: Final = 1.0
"""For one connection, and for what is said on it."""
_PAUSE_S: Final = 0.3
_STEP_S: Final = 0.2
_NONCE_BYTES: Final = 16
_MOST_GUESTS: Final = 16
"""Heard at once; more are sent away, and come again."""

_GONE: Final = os.strerror(errno.ECONNREFUSED)
_COMPLAINTS: Final = 5
_OF_AGENTS: Final = ("not a word of a guardian", "takes no word from visitors")
"""What the agents of members and of witnesses answer to a word that is none for them."""


class Met(Struct, frozen=True, kw_only=True):
    """What came of a meeting. `links` are of each node that tried."""

    findings: tuple[Finding, ...]
    links: dict[str, tuple[Link, ...]]


def meet(config: NodeConfig, clock: Clock, seconds: float) -> Met:
    """Listen and try for so many seconds at most. Raises OSError where the Raft port cannot be
    had, ConfigError where there are no credentials."""
    meeting = Meeting(config, choose(config.raft, config.name, clock), clock)
    with ExitStack() as stack:
        for listener, greet in meeting.listeners(stack):
            threading.Thread(target=meeting.receive, args=(listener, greet), daemon=True).start()
        waited = meeting.go_round(seconds)
    return meeting.result(waited)


class Meeting:
    """One node's part. What guests say and what is found is written under one lock."""

    def __init__(self, config: NodeConfig, security: Security, clock: Clock) -> None:
        self._config = config
        self._security = security
        self._clock = clock
        self._own = ports_of(config)
        others = (a for a in config.raft.partner_addrs if a != config.raft.self_addr)
        self._partners = {str(a): Partner(address=str(a)) for a in others}
        self._complaints: list[str] = []
        self._lock = threading.Lock()
        self._guests = threading.Semaphore(_MOST_GUESTS)
        self._handshake = Handshake(
            registry=Registry(_nobody(config), {}), security=security, visitors=Visitors()
        )
        self._handshake.visitors.listener = self.hear

    # Whoever comes.

    def listeners(
        self, stack: ExitStack
    ) -> Iterator[tuple[socket.socket, Callable[[socket.socket], None]]]:
        """The ports that can be had, and how who comes to each is greeted. Raises OSError."""
        config, postgres = self._config, self._config.postgresql
        yield stack.enter_context(_listen(config.raft.bind_addr)), self._greet
        more = [config.restapi.listen]
        if postgres is not None:
            more += [Address(host, postgres.port) for host in postgres.listen_hosts]
        for address in more:
            try:
                yield stack.enter_context(_listen(address)), lambda _guest: None
            except OSError:
                continue  # `free_ports` says so; whoever listens there is tried in its place

    def receive(self, listener: socket.socket, greet: Callable[[socket.socket], None]) -> None:
        """Let guests in until the listener is closed."""
        while True:
            try:
                guest, (host, *_) = listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            if not self._guests.acquire(blocking=False):
                guest.close()
                continue
            threading.Thread(target=self._let_in, args=(guest, host, greet), daemon=True).start()

    def _let_in(
        self, guest: socket.socket, host: str, greet: Callable[[socket.socket], None]
    ) -> None:
        try:
            with guest:
                guest.settimeout(PATIENCE_S)
                greet(guest)
        except (OSError, WireError, Refused) as error:
            self._complain(f"somebody from {host} was turned away: {error}")
        finally:
            self._guests.release()

    def _greet(self, guest: socket.socket) -> None:
        self._handshake.hear(guest)

    def hear(self, name: str, said: bytes) -> str | None:
        """Take the word of a visitor with credentials; why not, if it is not taken."""
        try:
            word = msgspec.json.decode(said, type=Word)
        except msgspec.MsgspecError:
            return "raftha doctor runs here, and no agent"
        partner = self._partners.get(word.address)
        if name.casefold() == self._config.name.casefold():
            return f"{self._config.raft.self_addr} is called {self._config.name} too"
        if partner is None:
            return f"{word.address} is not in raft.partner_addrs of {self._config.name}"
        with self._lock:
            partner.name, partner.ports = name, word.ports
            partner.told, partner.sees_all = word.found, word.sees_all
            partner.was_here = True
        return None

    def _complain(self, words: str) -> None:
        with self._lock:
            if words not in self._complaints and len(self._complaints) < _COMPLAINTS:
                self._complaints.append(words)

    # Going to the others.

    def go_round(self, seconds: float) -> float:
        """Until all is seen, or so long at most; how long it was."""
        begun = self._clock.now()
        pool = ThreadPoolExecutor(max_workers=max(1, len(self._partners)))
        while True:
            wait([pool.submit(self._go, partner) for partner in self._partners.values()])
            waited = longest(begun, self._clock.now())
            if self._is_over() or waited >= seconds:
                break
            threading.Event().wait(_PAUSE_S)
        pool.shutdown()
        return waited

    def _is_over(self) -> bool:
        with self._lock:
            return all(p.runs or (p.sees_all and p.knows) for p in self._partners.values())

    def _go(self, partner: Partner) -> None:
        word = self._word()
        problem = "" if partner.runs else self._visit(partner, word)
        if any(said in problem for said in _OF_AGENTS):
            partner.runs, problem = True, ""
        self._find(partner, RAFT, problem)
        if not problem:
            partner.knows = word.sees_all
        for port, address in dict(partner.ports).items():
            if port != RAFT and partner.found.get(port) != "":
                self._find(partner, port, _reach(address))

    def _find(self, partner: Partner, port: str, problem: str) -> None:
        """Who was reached once is reached, also when it has gone home before this node; that it
        has is no news of one that has answered badly before."""
        with self._lock:
            known = partner.found.get(port)
            if known != "" and not (known and problem == _GONE):
                partner.found[port] = problem[:LONGEST_PROBLEM]

    def _word(self) -> Word:
        with self._lock:
            partners = self._partners.values()
            return Word(
                doctor=True,
                address=self._own[RAFT],
                ports=self._own,
                found={partner.address: dict(partner.found) for partner in partners},
                sees_all=all(partner.sees(self._own) for partner in partners),
            )

    def _visit(self, partner: Partner, word: Word) -> str:
        """Why the word was not taken; empty if it was."""
        said = visit(
            scope=self._config.scope,
            name=self._config.name,
            to=partner.address,
            word=msgspec.json.encode(word),
            nonce=os.urandom(_NONCE_BYTES),
        )
        address = parse_address(partner.address)
        try:
            with socket.create_connection((address.host, address.port), PATIENCE_S) as connection:
                connection.settimeout(PATIENCE_S)
                return leave_word(connection, self._security, said) or ""
        except ssl.SSLCertVerificationError as error:
            return f"its certificate is not accepted here: {error.verify_message}"
        except OSError as error:
            return str(error.strerror or error) or type(error).__name__
        except WireError as error:
            return str(error)

    def result(self, waited: float) -> Met:
        """What was seen."""
        partners = self._partners.values()
        findings = [f for partner in partners for f in judge(self._own, partner, waited)]
        remedy = "if it is one of the nodes: compare scope, name, addresses and credentials"
        findings += [warn("links", words, remedy) for words in self._complaints]
        return Met(
            findings=tuple(findings),
            links=table(self._config.name, self._own, self._partners),
        )


def _nobody(config: NodeConfig) -> Identity:
    """What guests may compare with: the cluster and the address. Nobody is told more."""
    return Identity(
        scope=config.scope,
        address=str(config.raft.self_addr),
        name=config.name,
        incarnation="",
        witness=config.postgresql is None,
        partners=(),
        process="",
        api_url="",
    )


def _listen(address: Address) -> socket.socket:
    host = "0.0.0.0" if address.host == "*" else address.host
    family, kind, *_, where = socket.getaddrinfo(host, address.port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(where)
        listener.listen(_MOST_GUESTS)
        listener.settimeout(_STEP_S)
    except OSError:
        listener.close()
        raise
    return listener


def _reach(address: str) -> str:
    place = parse_address(address)
    try:
        with socket.create_connection((place.host, place.port), PATIENCE_S):
            return ""
    except OSError as error:
        return str(error.strerror or error) or type(error).__name__
