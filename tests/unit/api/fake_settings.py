"""The key of the shared settings alone, with the store's compare-and-set, for tests of changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from raftha.agent.configurations import Configurations
from raftha.config.proposal import Proposal
from raftha.errors import CompareFailed, Problem, RafthaError
from raftha.ha.keys import Keys, encode
from raftha.instants import Seconds
from raftha.model.ids import Revision, Scope
from raftha.model.settings import Profile
from raftha.model.store import Command, Committed, Entry, KeyAt, Put, Snapshot, Transact
from raftha.pg import conf
from tests.unit.ha.servers import T0

KEYS = Keys(Scope("main"))
GIVEN: dict[str, Any] = {"ttl": 10, "postgresql": {"parameters": {"work_mem": "8MB"}}}


class FakeSettings:
    """`error` is what a write ends with, `unread` what a question behind a barrier does;
    `between` changes the settings after they were read. `writes` counts what was committed."""

    def __init__(self, document: Mapping[str, Any] | None = GIVEN) -> None:
        self.value: bytes | None = None if document is None else encode(document)
        self.revision = 11
        self.error: RafthaError | None = None
        self.unread: RafthaError | None = None
        self.between: Mapping[str, Any] | None = None
        self.writes = 0

    @property
    def document(self) -> dict[str, Any]:
        assert self.value is not None
        document = msgspec.json.decode(self.value, type=dict[str, Any])
        assert document.pop("format_version") == 1
        return document

    def execute(self, command: Command, *, timeout: Seconds) -> Committed:
        assert timeout > 0
        assert isinstance(command, Transact)
        if self.error is not None:
            raise self.error
        if command.guards != (KeyAt(KEYS.config, Revision(self.revision)),):
            raise CompareFailed("another revision")
        (put,) = command.writes
        assert isinstance(put, Put)
        assert put.key == KEYS.config
        self._put(put.value)
        return Committed(Revision(self.revision), T0)

    def peek(self) -> Snapshot:
        entries = {}
        if self.value is not None:
            entries[KEYS.config] = Entry(
                key=KEYS.config,
                value=self.value,
                create_revision=Revision(5),
                mod_revision=Revision(self.revision),
            )
        return Snapshot(revision=Revision(50), generation=1, taken=T0, entries=entries)

    def read(self, prefix: str = "", *, timeout: Seconds) -> Snapshot:
        assert timeout > 0
        assert prefix == ""
        if self.unread is not None:
            raise self.unread
        seen = self.peek()
        if self.between is not None:
            self._put(encode(self.between))
        return seen

    def _put(self, value: bytes) -> None:
        self.value = value
        self.revision += 1
        self.writes += 1


def configurations(
    store: FakeSettings, timers: Profile = Profile.LAN, refused: tuple[Problem, ...] = ()
) -> Configurations:
    """The real thing over that store; a server refuses new values of parameters for these
    reasons."""

    def refused_of(proposal: Proposal) -> tuple[Problem, ...]:
        return refused if proposal.parameters else ()

    return Configurations(
        store=store,
        keys=KEYS,
        timeout=lambda: Seconds(1.0),
        check=lambda proposal: (*conf.forbidden(proposal.parameters), *refused_of(proposal)),
        timers=timers,
    )
