"""Tells the cluster that a primary is gone: `python -m raftha.agent.receipt FILE ADDRESS... WORD`.

A guardian runs it when its agent and its primary are both gone. It reads the node's file for the
credentials, and leaves the guardian's word with the voters at the addresses, all at once, until one
of them takes it or all have had time enough. What became of it goes to standard output, which is
the guardian's log.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Final

from raftha.clock import SystemClock
from raftha.config.load import load
from raftha.config.values import parse_address
from raftha.consensus.commands import WireError
from raftha.consensus.handshake import leave_word
from raftha.consensus.security import Security, choose
from raftha.consensus.visiting import visit
from raftha.errors import RafthaError
from raftha.instants import Seconds, longest
from raftha.model.settings import Address, NodeConfig

PATIENCE: Final = Seconds(5.0)
"""How long the voters have: by then the lease has ended by itself in most clusters."""
PAUSE_S: Final = 0.2
TIMEOUT_S: Final = 6.0
"""For one voter: two commands of its store, and a greeting."""
_NONCE_BYTES: Final = 16


def main(arguments: list[str]) -> int:
    """0 if a voter has taken the word."""
    file, *addresses, word = arguments
    try:
        config = load(Path(file), os.environ, witness=False).config
        security = choose(config.raft, config.name, SystemClock())
    except RafthaError as error:
        print(f"receipt: {error}", flush=True)
        return 1
    voters = [parse_address(address) for address in addresses]
    return 0 if _tell(config, security, voters, word.encode()) else 1


def _tell(config: NodeConfig, security: Security, voters: list[Address], word: bytes) -> bool:
    """Whether one of them took it."""
    taken = threading.Event()

    def tell(voter: Address) -> None:
        said = ""
        begun = clock.now()
        while not taken.is_set() and longest(begun, clock.now()) < PATIENCE:
            why = _leave(config, security, voter, word)
            if why is None:
                taken.set()
            if why != said:
                print(f"receipt: {voter}: {'taken' if why is None else why}", flush=True)
            said = why or ""
            taken.wait(PAUSE_S)

    clock = SystemClock()
    with ThreadPoolExecutor(max_workers=max(1, len(voters))) as threads:
        running: list[Future[None]] = [threads.submit(tell, voter) for voter in voters]
        while running and not taken.is_set():
            _, left = wait(running, return_when=FIRST_COMPLETED, timeout=PAUSE_S)
            running = list(left)
    return taken.is_set()


def _leave(config: NodeConfig, security: Security, voter: Address, word: bytes) -> str | None:
    """Why this voter did not take the word; None if it did."""
    nonce = os.urandom(_NONCE_BYTES)
    said = visit(scope=config.scope, name=config.name, to=str(voter), word=word, nonce=nonce)
    try:
        with socket.create_connection((voter.host, voter.port), TIMEOUT_S) as connection:
            connection.settimeout(TIMEOUT_S)
            return leave_word(connection, security, said)
    except (OSError, WireError) as error:
        return str(error) or type(error).__name__


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
