"""Reads a node's file again, whoever asks for it, and knows what of it waits for another agent.

Knows nothing of PostgreSQL: a witness is to stay small.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Final

from raftha.agent.process import begin_log
from raftha.agent.timers import Timers
from raftha.config.changes import Change, compare, in_force
from raftha.config.load import load
from raftha.errors import ConfigError, RafthaError
from raftha.logs import event
from raftha.model.ids import MemberName
from raftha.model.report import Level, Notice, Reloaded
from raftha.model.settings import NodeConfig, RestConfig
from raftha.model.trouble import Trouble

LOG = logging.getLogger(__name__)

_LISTEN: Final = "postgresql.listen"
"""A server that runs keeps its port, also beside an agent that is started with another."""


class Reloads:
    """The file as it was read last, and what of it is in force. Any thread may ask for another
    reading; there is one at a time.

    `look` is called at each reading, `take` with what is to be in force, which it may refuse by
    raising a RafthaError. Both are set by whoever builds the parts, before the first reading.
    """

    def __init__(self, config: NodeConfig, path: Path, read: NodeConfig | None = None) -> None:
        """`read` is what the file says, where the agent could not start with all of it."""
        self._read = read or config
        self._path = path
        self._is_witness = config.postgresql is None
        self._lock = Lock()
        self.timers = Timers(config)
        self.config = config
        self.waiting = _waiting(config, self._read)
        self.look: Callable[[], None] = lambda: None
        self.take: Callable[[NodeConfig], None] = lambda _config: None

    @property
    def restapi(self) -> RestConfig:
        """The HTTP settings that are in force."""
        return self.config.restapi

    def reload(self) -> Reloaded:
        """Read it again. Raises ConfigError or TlsError; everything stays as it was then."""
        with self._lock:
            self.look()
            try:
                read = load(self._path, os.environ, witness=self._is_witness).config
                config = in_force(self.config, read)
                self.take(config)
            except RafthaError as error:
                event(
                    LOG, logging.ERROR, "configuration refused, the old one stays", why=str(error)
                )
                raise
            self.waiting = _waiting(config, read)
            changed = _told(compare(self._read, read), self.waiting)
            self._read, self.config = read, config
            return Reloaded(changed=changed, waiting=self.waiting, log=_log_again(config))

    def on_signal(self) -> None:
        """As `reload`, for whom nobody waits."""
        try:
            self.reload()
        except RafthaError:
            return  # the log has it


def _waiting(config: NodeConfig, read: NodeConfig) -> tuple[str, ...]:
    """What of the file is not in force."""
    return tuple(change.path for change in compare(config, read))


def of_waiting(name: MemberName, waiting: tuple[str, ...]) -> tuple[Notice, ...]:
    """What is to be said of settings that wait."""
    if not waiting:
        return ()
    what = f"{', '.join(waiting)}: changed in the file, and not in force before the agent restarts"
    how = "restart" if _LISTEN not in waiting else "stop raftha (this stops its server), then start"
    remedy = f"restart the agent of {name}: systemctl {how} raftha; or take the change back"
    return (
        Notice(
            code=Trouble.AGENT_RESTART_PENDING,
            subject=name,
            what=what,
            remedy=remedy,
            level=Level.WARNING,
        ),
    )


def _told(changes: tuple[Change, ...], waiting: tuple[str, ...]) -> tuple[str, ...]:
    for change in changes:
        words = "changed, effective after a restart" if change.path in waiting else "changed"
        event(LOG, logging.INFO, words, option=change.path, needs=change.reload)
    return tuple(change.path for change in changes)


def _log_again(config: NodeConfig) -> str:
    """Log as the file says now; why not, if that is not possible."""
    try:
        begin_log(config)
    except ConfigError as error:
        event(LOG, logging.ERROR, "the log goes on as before", why=str(error))
        return str(error)
    return ""
