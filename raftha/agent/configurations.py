"""Tells the shared settings, and changes them at an operator's word. Any node can: it writes one
key, and only over what it has read. A change that is refused has changed nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from raftha.config.proposal import Proposal, propose
from raftha.errors import (
    CompareFailed,
    ConfigError,
    OutcomeUnknown,
    PostgresError,
    Problem,
    StoreUnavailable,
)
from raftha.ha.configuring import LONGEST_SETTINGS_BYTES, settings_in, size, writing
from raftha.ha.keys import Keys
from raftha.instants import Seconds
from raftha.logs import event
from raftha.model.configuring import ConfigAnswer, ConfigChange, ConfigState
from raftha.model.settings import Profile
from raftha.model.store import Command, Committed, Entry, Snapshot

LOG = logging.getLogger(__name__)

WHERE = "settings"


class Store(Protocol):
    """The part of the key store that is used here."""

    def execute(self, command: Command, *, timeout: Seconds) -> Committed: ...

    def peek(self) -> Snapshot: ...

    def read(self, prefix: str = "", *, timeout: Seconds) -> Snapshot: ...


class Configurations:
    """Called from several threads at once; `timeout` bounds each step at the store. `check` says
    what a server has against new settings of it, or raises PostgresError where it cannot; `timers`
    is the profile by which this node's Raft timers run."""

    def __init__(
        self,
        *,
        store: Store,
        keys: Keys,
        timeout: Callable[[], Seconds],
        check: Callable[[Proposal], tuple[Problem, ...]],
        timers: Profile,
    ) -> None:
        self._store = store
        self._keys = keys
        self._timeout = timeout
        self._check = check
        self._timers = timers

    def read(self) -> ConfigAnswer:
        """The settings as this node's replica holds them."""
        entry = self._store.peek().entries.get(self._keys.config)
        return self._absent() if entry is None else self._told(entry)

    def change(self, asked: ConfigChange) -> ConfigAnswer:
        """Check the change, and write it over the settings it was made for."""
        try:
            snapshot = self._store.read(timeout=self._timeout())
        except (StoreUnavailable, OutcomeUnknown) as error:
            # Nothing was written yet, so even an unknown outcome is none.
            return _not(ConfigState.UNAVAILABLE, f"nothing can be changed now: {error}")
        entry = snapshot.entries.get(self._keys.config)
        if entry is None:
            return self._absent()
        before = self._told(entry)
        if before.document is None:
            return before
        if asked.revision is not None and asked.revision != entry.mod_revision:
            return _not(
                ConfigState.CONFLICT, "the settings have been changed meanwhile: look again"
            )
        try:
            proposal = propose(
                before.document,
                asked.document,
                replaces=asked.replaces,
                timers=self._timers,
                where=WHERE,
            )
            problems = self._check(proposal) if proposal.touches("postgresql") else ()
        except ConfigError as error:
            problems = error.problems
        except PostgresError as error:
            why = f"PostgreSQL's settings cannot be checked here, ask another member: {error}"
            return _not(ConfigState.UNAVAILABLE, why)
        if problems:
            return _not(ConfigState.INVALID, "\n".join(map(str, problems)))
        return self._write(entry, proposal)

    def _write(self, entry: Entry, proposal: Proposal) -> ConfigAnswer:
        if not proposal.changed:
            return self._told(entry)
        if (bytes_ := size(proposal.document)) > LONGEST_SETTINGS_BYTES:
            why = f"the settings would have {bytes_} bytes, at most {LONGEST_SETTINGS_BYTES} fit"
            return _not(ConfigState.TOO_LARGE, why)
        command = writing(self._keys, entry, proposal.document)
        try:
            written = self._store.execute(command, timeout=self._timeout())
        except CompareFailed:
            why = "the settings have just been changed by somebody else: look again"
            return _not(ConfigState.CONFLICT, why)
        except StoreUnavailable as error:
            return _not(ConfigState.UNAVAILABLE, f"the store refused: {error}")
        except OutcomeUnknown as error:
            return _not(ConfigState.UNKNOWN, f"the answer was lost: {error}")
        event(LOG, logging.WARNING, "settings changed", options=",".join(proposal.changed))
        document = {k: v for k, v in proposal.document.items() if k != "format_version"}
        return ConfigAnswer(
            state=ConfigState.DONE, document=document, revision=int(written.revision)
        )

    def _told(self, entry: Entry) -> ConfigAnswer:
        try:
            document = settings_in(entry)
        except ValueError as error:
            return _not(
                ConfigState.ABSENT,
                f"the key {self._keys.config} cannot be read, this version is too old: {error}",
            )
        return ConfigAnswer(
            state=ConfigState.DONE, document=document, revision=int(entry.mod_revision)
        )

    def _absent(self) -> ConfigAnswer:
        why = "the cluster has no settings yet: nobody has initialised it"
        return _not(ConfigState.ABSENT, why)


def _not(state: ConfigState, why: str) -> ConfigAnswer:
    return ConfigAnswer(state=state, message=why)
