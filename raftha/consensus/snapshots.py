"""Snapshots on their way between voters: cut into parts, and put together again.

`Feed` stands where the library expects its serializer; its method names are the library's. It
always has a snapshot when the log does not begin at 1, so the library never spins waiting for one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from raftha.consensus.wire import CHUNK_BYTES, Chunk


class _Hashed(Protocol):
    def __hash__(self) -> int: ...


class Feed:
    """Hands out the newest snapshot part by part, for each receiver from its beginning."""

    def __init__(self, chunk_bytes: int = CHUNK_BYTES) -> None:
        self.chunk_bytes = chunk_bytes
        self._sealed = b""
        self._sent: dict[_Hashed, int] = {}

    def offer(self, sealed: bytes) -> None:
        """From now on send this one; streams under way start over with it."""
        self._sealed = sealed
        self._sent.clear()

    def getTransmissionData(self, receiver: _Hashed) -> tuple[bytes, bool, bool]:  # noqa: N802
        """The next part for a receiver: data, is it the first, is it the last."""
        start = self._sent.get(receiver, 0)
        end = start + self.chunk_bytes
        last = end >= len(self._sealed)
        if last:
            self._sent.pop(receiver, None)
        else:
            self._sent[receiver] = end
        return self._sealed[start:end], start == 0, last

    def cancelTransmisstion(self, receiver: _Hashed) -> None:  # noqa: N802
        """The link broke: the receiver gets the next one from its beginning."""
        self._sent.pop(receiver, None)


class Assembly:
    """Puts the parts of one stream together, in memory, and has each written down as it comes; a
    stream with a hole yields nothing."""

    def __init__(self, write: Callable[[bytes, bool], object]) -> None:
        """`write` gets each part of the stream, and whether it is the first."""
        self._write = write
        self._source: tuple[str, int] | None = None
        self._parts = bytearray()

    def add(self, source: tuple[str, int], chunk: Chunk) -> bytes | None:
        """Take one part; the whole snapshot once its last part is in."""
        if chunk.first:
            self._source = source
            self._parts = bytearray()
        if self._source != source:
            return None
        self._parts += chunk.data
        self._write(chunk.data, chunk.first)
        if not chunk.last:
            return None
        sealed = bytes(self._parts)
        self._source = None
        self._parts = bytearray()
        return sealed
