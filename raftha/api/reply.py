"""The answer to one HTTP request, before it is bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Document = Mapping[str, Any]
"""A JSON object: string keys, and values that JSON knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A body that is no JSON."""

    content: bytes
    content_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A status, a body (JSON unless it is a Text; None: an empty one) and headers beyond the
    usual."""

    status: int
    body: Document | Sequence[Any] | Text | None
    headers: tuple[tuple[str, str], ...] = ()


def refusal(status: int, reason: str, headers: tuple[tuple[str, str], ...] = ()) -> Reply:
    """An answer that says only why there is no other; nothing in it can grow old."""
    return Reply(status=status, body={"reason": reason, "age_seconds": 0.0}, headers=headers)
