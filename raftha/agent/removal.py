"""`raftha remove`: a node whose cluster is given up forgets it.

It works on the directory of a stopped agent, which the lock on it proves, and only where nobody
else of the cluster answers: of one that lives a node is taken out by `raftha member remove`. The
key store of this node is renamed, never deleted, and the data directory of PostgreSQL is not
touched.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct

from raftha.agent import lifesigns
from raftha.agent.lifesigns import LifeSign, Suspect
from raftha.agent.recovery import NotAllowed, cluster_of, others_of
from raftha.clock import Clock
from raftha.consensus import dirlock, remains, salvage
from raftha.consensus.refounding import SurvivorDirectory
from raftha.consensus.stable import Owner
from raftha.consensus.storage import FILE_NAME
from raftha.errors import RafthaError, StorageFailed
from raftha.model.settings import NodeConfig
from raftha.pg.directory import running_pid


class Belongings(Struct, frozen=True, kw_only=True):
    """What an operator has to know before. `unread` says why the key store here could not be asked
    who else there is, so that the file of the node alone tells it."""

    others: tuple[str, ...]
    unread: str | None


class Removal:
    """One removal, from `open` to `close`."""

    def __init__(self, config: NodeConfig, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._others: tuple[Suspect, ...] = ()
        self._lock: int | None = None

    def open(self) -> Belongings:
        """Hold the Raft directory. Raises NotAllowed, StorageFailed if the agent runs."""
        directory = self._config.raft.data_dir
        try:
            owner = (directory / FILE_NAME).stat().st_uid
        except OSError as error:
            raise NotAllowed(f"there is no key store in {directory}: {error.strerror}") from error
        if owner != os.geteuid():
            raise NotAllowed(f"{directory} belongs to user id {owner}: run this as that user")
        self._lock = dirlock.take(directory)
        self._refuse_server()
        self._others, unread = self._everybody_else()
        return Belongings(others=tuple(other.name for other in self._others), unread=unread)

    def look(self) -> tuple[LifeSign, ...]:
        """Try once whether any of the others answers. Raises NotAllowed if one does."""
        signs = lifesigns.look(self._others)
        alive = [str(sign) for sign in signs if sign.is_alive]
        if alive:
            raise NotAllowed(
                f"{'; '.join(alive)}. To take {self._config.name} out of a cluster that lives: "
                f"raftha member remove {self._config.name}. To give the whole cluster up, stop "
                "every agent first"
            )
        return signs

    def carry_out(self) -> Path:
        """Put the key store aside; where it is kept. Raises NotAllowed with nothing changed,
        StorageFailed where the next start of an agent, or of this, ends what was begun."""
        self._refuse_server()
        self.look()
        directory = self._config.raft.data_dir
        when = datetime.fromtimestamp(self._clock.wall(), UTC).isoformat(timespec="seconds")
        try:
            salvage.condemn(directory, f"removed by an operator on {when}")
            return salvage.put_aside(directory, FILE_NAME)[0]
        except OSError as error:
            raise StorageFailed(f"{directory} could not be put aside: {error}") from error

    def close(self) -> None:
        """Let the directory go. Safe to call twice."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _refuse_server(self) -> None:
        """An agent that ends in a maintenance pause leaves its server behind."""
        postgres = self._config.postgresql
        pid = None if postgres is None else running_pid(postgres.data_dir)
        if pid is not None:
            raise NotAllowed(f"PostgreSQL (pid {pid}) still runs here: stop it first")

    def _everybody_else(self) -> tuple[tuple[Suspect, ...], str | None]:
        config = self._config
        owner = Owner(scope=config.scope, name=config.name)
        directory = SurvivorDirectory(config.raft.data_dir, owner, self._clock)
        try:
            found = remains.read(directory.read())
        except RafthaError as error:
            return tuple(
                Suspect(name=str(address), places=lifesigns.places_of(str(address), None))
                for address in config.raft.partner_addrs
            ), str(error)
        cluster = cluster_of(found, config.scope, self._clock)
        return tuple(others_of(config, found.voters, cluster)), None
