"""The answer to one HTTP request, before it is bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

Document = Mapping[str, Any]
"""A JSON object: string keys, and values that JSON knows."""


class Text(Struct, frozen=True, kw_only=True):
    """A body that is no JSON."""

    content: bytes
    content_type: str


class Reply(Struct, frozen=True, kw_only=True):
    """A status, a body (JSON unless it is a Text; None: an empty one) and headers beyond the
    usual."""

    status: int
    body: Document | Sequence[Any] | Text | None
    headers: tuple[tuple[str, str], ...] = ()


def refusal(status: int, reason: str, headers: tuple[tuple[str, str], ...] = ()) -> Reply:
    """An answer that says only why there is no other; nothing in it can grow old."""
    return Reply(status=status, body={"reason": reason, "age_seconds": 0.0}, headers=headers)
