"""A visitor's word is heard with a voter's credentials, and with none other."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from raftha.consensus.commands import WireError
from raftha.consensus.greeting import encode_hello
from raftha.consensus.handshake import Handshake, Refused, leave_word
from raftha.consensus.members import Identity, Registry
from raftha.consensus.security import DIALER, KeySecurity, Security, choose
from raftha.consensus.visiting import Visitors, is_visit, visit
from raftha.model.settings import Address, RaftConfig, TlsFiles
from tests.certificates import make_certificates
from tests.sim.clocks import FakeClock, TrueTime
from tests.unit.consensus.greetings import PEER

KEY = KeySecurity(b"k" * 32)
VOTER = "127.0.0.1:5001"


class Visited:
    """A voter, and what visitors told it."""

    def __init__(self, security: Security) -> None:
        self.heard: list[tuple[str, bytes]] = []
        self.complaints: list[str] = []
        self.refusal: str | None = None
        identity = Identity(
            scope="main",
            address=VOTER,
            name="n2",
            incarnation="i",
            witness=False,
            partners=(),
            process="p",
            api_url="",
        )
        visitors = Visitors()
        visitors.listener = self._listen
        registry = Registry(identity, {})
        self.handshake = Handshake(registry=registry, security=security, visitors=visitors)

    def _listen(self, name: str, word: bytes) -> str | None:
        self.heard.append((name, word))
        return self.refusal

    def take(self, said: bytes, security: Security) -> str | None:
        """Why the visitor was told that its word is not taken. Raises what its side raises."""
        left, right = socket.socketpair()
        with ThreadPoolExecutor(1) as thread, left, right:
            left.settimeout(5.0)
            right.settimeout(5.0)
            accepting = thread.submit(self.handshake.accept, right)
            try:
                answer = leave_word(left, security, said)
            finally:
                left.close()
                try:
                    assert accepting.result() is None
                except (OSError, WireError, Refused) as refused:
                    self.complaints.append(str(refused))
        return answer


def said(*, scope: str = "main", name: str = "n1", to: str = VOTER) -> bytes:
    return visit(scope=scope, name=name, to=to, word=b"word", nonce=b"n")


def test_a_word_with_the_key_is_heard_once_and_answered() -> None:
    voter = Visited(KEY)
    assert voter.take(said(), KEY) is None
    assert voter.heard == [("n1", b"word")]
    voter.refusal = "it is late"
    assert voter.take(said(), KEY) == "it is late"


def test_without_the_key_nothing_is_heard() -> None:
    voter = Visited(KEY)
    with pytest.raises(WireError, match="key_file"):
        voter.take(said(), KeySecurity(b"z" * 32))
    assert voter.heard == []


def test_what_a_stranger_calls_itself_does_not_get_into_our_log() -> None:
    voter = Visited(KEY)

    class Guessing(KeySecurity):
        def proof(self, role: bytes, transcript: bytes) -> bytes:
            fresh = super().proof(role, transcript)
            return b"guess" if role == DIALER else fresh

    assert voter.take(said(name="x" * 1000), Guessing(b"k" * 32))
    assert len(voter.complaints) == 1
    assert "a word of a stranger" in voter.complaints[0]
    assert "xxx" not in voter.complaints[0]


@pytest.mark.parametrize("other", [{"scope": "other"}, {"to": "127.0.0.1:5002"}])
def test_a_word_for_another_is_not_heard(other: dict[str, str]) -> None:
    voter = Visited(KEY)
    assert "it speaks to" in (voter.take(said(**other), KEY) or "")
    assert voter.heard == []


def test_what_was_said_to_one_cannot_be_repeated_to_the_same() -> None:
    """The proof is about the nonce that this greeting drew."""

    class Recorded(KeySecurity):
        own = b""

        def proof(self, role: bytes, transcript: bytes) -> bytes:
            fresh = super().proof(role, transcript)
            if role == DIALER:
                self.own = self.own or fresh
            return self.own if role == DIALER else fresh

    voter = Visited(KEY)
    replay = Recorded(b"k" * 32)
    assert voter.take(said(), replay) is None
    assert "key_file" in (voter.take(said(), replay) or "")
    assert len(voter.heard) == 1


@pytest.mark.parametrize(("name", "is_heard"), [("n1", True), ("n3", False)])
def test_a_certificate_speaks_for_its_own_node_alone(
    tmp_path: Path, name: str, is_heard: bool
) -> None:
    make_certificates(tmp_path, "n1", "n2")

    def security(of: str) -> Security:
        here = Address("127.0.0.1", 5000)
        tls = TlsFiles(
            cafile=tmp_path / "ca.pem",
            certfile=tmp_path / f"{of}.pem",
            keyfile=tmp_path / f"{of}.key",
        )
        config = RaftConfig(
            self_addr=here, bind_addr=here, partner_addrs=(), data_dir=tmp_path, tls=tls
        )
        return choose(config, of, FakeClock(TrueTime()))

    voter = Visited(security("n2"))
    why = voter.take(said(name=name), security("n1"))
    assert (why is None) == is_heard
    assert bool(voter.heard) == is_heard


def test_a_hello_is_no_visit() -> None:
    assert is_visit(said())
    assert not is_visit(b"")
    assert not is_visit(said()[:-3])


def test_who_is_no_voter_yet_answers_no_hello() -> None:
    """A peer would remember what it is told for an incarnation of this node."""
    left, right = socket.socketpair()
    with ThreadPoolExecutor(1) as thread, left, right:
        right.settimeout(5.0)
        listening = thread.submit(Visited(KEY).handshake.hear, right)
        hello = encode_hello(PEER)
        left.sendall(len(hello).to_bytes(2, "big") + hello)
        with pytest.raises(WireError, match="none runs here"):
            listening.result()
        right.close()
        assert left.recv(100) == b""


def test_who_is_no_voter_yet_hears_visitors_as_voters_do() -> None:
    node = Visited(KEY)
    left, right = socket.socketpair()
    with ThreadPoolExecutor(1) as thread, left, right:
        listening = thread.submit(node.handshake.hear, right)
        assert leave_word(left, KEY, said()) is None
        listening.result()
    assert node.heard == [("n1", b"word")]
