"""Reports to JSON and back, for peers and for the CLI.

PURE. Decoding is strict: what does not have the type it should have raises `BadDocument` and never
reaches a decision. Keys that are not known are left out, so that a newer node can be read by an
older one. WAL positions travel in PostgreSQL's own form, such as `0/3000060`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeVar

import msgspec

from raftha.errors import RafthaError
from raftha.model.finding import Examination
from raftha.model.happening import Chapter
from raftha.model.ids import Lsn
from raftha.model.report import (
    ClusterReport,
    MemberChange,
    OperationReport,
    PauseChange,
    PeerReport,
    Reloaded,
    VoterReport,
)
from raftha.model.restarting import ServerChange
from raftha.model.stored import StoreEvents, StoreReport

_POSITIONS: Final = (
    "last_written",
    "position",
    "received",
    "replayed",
    "seen",
    "stopped_at",
    "switch",
)
"""The fields of the reports, and of what they hold, that are WAL positions."""

_Report = TypeVar(
    "_Report",
    PeerReport,
    ClusterReport,
    OperationReport,
    MemberChange,
    PauseChange,
    ServerChange,
    StoreReport,
    StoreEvents,
    Chapter,
    Examination,
)


class BadDocument(RafthaError):
    """JSON that is not what it should be: broken, or of another shape."""


# Made here, at import: msgspec learns about a type when it first meets it, and two threads that
# meet one at the same time crash the process (seen: SIGSEGV in 3 of 40 starts).
_LEARNED: Final = tuple(
    msgspec.json.Decoder(kind)
    for kind in (
        PeerReport,
        ClusterReport,
        OperationReport,
        MemberChange,
        PauseChange,
        ServerChange,
        StoreReport,
        StoreEvents,
        Chapter,
        Examination,
    )
)


def document(
    report: PeerReport
    | ClusterReport
    | OperationReport
    | MemberChange
    | PauseChange
    | ServerChange
    | Reloaded
    | VoterReport
    | StoreReport
    | StoreEvents
    | Chapter
    | Examination,
) -> dict[str, Any]:
    """A report as JSON's own types."""
    plain = _plain(report)
    assert isinstance(plain, dict)
    return plain


def encode(value: object) -> bytes:
    """JSON of what `document` or a route made."""
    return msgspec.json.encode(value)


def parse(body: bytes) -> dict[str, Any]:
    """A JSON object. Raises BadDocument."""
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadDocument(f"not a JSON object: {error}") from error


def peer_report(raw: object) -> PeerReport:
    """Read what `document` wrote. Raises BadDocument."""
    return _convert(_with_positions(raw), PeerReport)


def examination(raw: object) -> Examination:
    """Read what `document` wrote. Raises BadDocument."""
    return _convert(raw, Examination)


def chapter(raw: object) -> Chapter:
    """Read what `document` wrote. Raises BadDocument."""
    return _convert(raw, Chapter)


def operation_report(raw: object) -> OperationReport:
    """Read what `document` wrote. Raises BadDocument."""
    return _convert(raw, OperationReport)


def member_change(raw: object) -> MemberChange:
    """Read what `document` wrote. Raises BadDocument."""
    return _convert(raw, MemberChange)


def pause_change(raw: object) -> PauseChange:
    """Read what `document` wrote. Raises BadDocument."""
    return _convert(raw, PauseChange)


def server_change(raw: object) -> ServerChange:
    """Read what `document` wrote. Raises BadDocument."""
    return _convert(raw, ServerChange)


def cluster_report(raw: object) -> ClusterReport:
    """Read what `document` wrote. Raises BadDocument."""
    if not isinstance(raw, Mapping):
        raise BadDocument("a cluster report must be a JSON object")
    lists = {
        name: [_with_positions(item) for item in raw[name]]
        for name in ("members", "history")
        if isinstance(raw.get(name), list)
    }
    return _convert(_with_positions({**raw, **lists}), ClusterReport)


def store_report(raw: object) -> StoreReport:
    """Read what `document` wrote. Raises BadDocument."""
    return _convert(raw, StoreReport)


def store_events(raw: object) -> StoreEvents:
    """Read what `document` wrote. Raises BadDocument."""
    return _convert(raw, StoreEvents)


def _plain(value: object) -> object:
    if isinstance(value, Lsn):
        return str(value)
    if isinstance(value, msgspec.Struct):
        value = msgspec.structs.asdict(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, str):
        return str(value)
    return value


def _with_positions(raw: object) -> object:
    """Positions from text into the shape of `Lsn`; what is no text is left for the type check."""
    if not isinstance(raw, Mapping):
        return raw
    texts = {name: raw[name] for name in _POSITIONS if isinstance(raw.get(name), str)}
    try:
        lifted = {name: {"value": Lsn.parse(text).value} for name, text in texts.items()}
    except ValueError as error:
        raise BadDocument(f"a WAL position cannot be read: {error}") from error
    return {**raw, **lifted}


def _convert(raw: object, shape: type[_Report]) -> _Report:
    try:
        return msgspec.convert(raw, shape)
    except msgspec.ValidationError as error:
        raise BadDocument(f"not a {shape.__name__}: {error}") from error
