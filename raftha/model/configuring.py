"""Changes of the shared settings: what is asked for, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from msgspec import Struct


class ConfigChange(Struct, frozen=True, kw_only=True):
    """A document that is merged into the settings (null removes a key), or replaces them. With
    `revision` only if they are still those of that revision."""

    document: object
    replaces: bool
    revision: int | None = None


class ConfigState(StrEnum):
    """What became of a change, or of a question. All but DONE and UNKNOWN have changed nothing."""

    DONE = "done"
    INVALID = "invalid"
    TOO_LARGE = "too large"
    CONFLICT = "conflict"
    """Others changed the settings meanwhile."""
    ABSENT = "absent"
    """The cluster has no settings, or this version cannot read them."""
    UNAVAILABLE = "unavailable"
    UNKNOWN = "unknown"


class ConfigAnswer(Struct, frozen=True, kw_only=True):
    """The settings as they are now, with DONE; else why not."""

    state: ConfigState
    message: str = ""
    document: Mapping[str, Any] | None = None
    revision: int | None = None
