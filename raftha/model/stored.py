"""The key store as it is shown to people who debug: what `/store` answers, and `raftha store`.

Values are bytes; here they are text where they are UTF-8 (our own documents are JSON), else base64.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from raftha.instants import Seconds
from raftha.model.ids import MemberName


class Encoding(StrEnum):
    """How a text stands for bytes."""

    UTF8 = "utf-8"
    BASE64 = "base64"


class EventKind(StrEnum):
    """What became of a key."""

    CREATED = "created"
    WRITTEN = "written"
    DELETED = "deleted"
    EXPIRED = "expired"
    REVOKED = "revoked"


class StoredEntry(Struct, frozen=True, kw_only=True):
    """One key and its value."""

    key: str
    value: str
    encoding: Encoding
    create_revision: int
    mod_revision: int
    lease: str | None = None


class StoredLease(Struct, frozen=True, kw_only=True):
    """One lease; `revision` is that of its last renewal, `note` what came with it."""

    id: str
    holder: str
    ttl: Seconds
    revision: int
    note: str
    encoding: Encoding


class StoreReport(Struct, frozen=True, kw_only=True):
    """All keys that begin with `prefix`, and all leases, at one revision.

    `linearizable` says that everything committed before the question is in it. Otherwise it is the
    node's own replica, whose last change came `age_seconds` ago and which may lag; `majority` says
    whether the node was in touch with one.
    """

    answered_by: MemberName
    prefix: str
    revision: int
    generation: int
    linearizable: bool
    majority: bool
    age_seconds: Seconds
    entries: tuple[StoredEntry, ...]
    leases: tuple[StoredLease, ...]


class StoredEvent(Struct, frozen=True, kw_only=True):
    """A key was changed at `revision`; of one that went away, `entry` is what it held."""

    revision: int
    kind: EventKind
    entry: StoredEntry


class StoreEvents(Struct, frozen=True, kw_only=True):
    """Every change after the revision asked for, in order, complete up to `revision`."""

    answered_by: MemberName
    prefix: str
    revision: int
    generation: int
    events: tuple[StoredEvent, ...]
