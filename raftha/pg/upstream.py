"""Asks another server who it is and how its timeline came to be."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from msgspec import Struct

from raftha.errors import PostgresError
from raftha.model.ids import SystemId
from raftha.model.postgres import TimelineSwitch, Upstream
from raftha.model.settings import Credentials
from raftha.pg import libpq, queries, timeline
from raftha.pg.queries import Identity
from raftha.pg.session import ask_remote, read_remote


class UpstreamLine(Struct, frozen=True, kw_only=True):
    """A server's identity, and the history of the timeline it is on."""

    identity: Identity
    history: tuple[TimelineSwitch, ...]


def ask(upstream: Upstream, who: Credentials, passfile: Path, timeout: float) -> UpstreamLine:
    """Raises PostgresUnavailable, PostgresError."""
    parameters = libpq.connection(upstream, who, passfile)
    (row,) = ask_remote(parameters, [queries.IDENTIFY_SYSTEM], timeout)
    identity = queries.parse_identity(row)
    if identity.timeline == 1:
        return UpstreamLine(identity=identity, history=())
    command = queries.timeline_history(identity.timeline)
    (answer,) = ask_remote(parameters, [command], timeout)
    return UpstreamLine(identity=identity, history=_history(answer))


def tablespaces(
    upstream: Upstream, who: Credentials, passfile: Path, timeout: float
) -> tuple[str, ...]:
    """Where the server's tablespaces lie, those aside that lie in its data directory. Raises
    PostgresUnavailable, PostgresError."""
    parameters = libpq.connection(upstream, who, passfile, {"dbname": "postgres"})
    rows = read_remote(parameters, queries.TABLESPACES, timeout)
    return tuple(place for (place,) in rows if place.startswith("/"))


def started(upstream: Upstream, who: Credentials, passfile: Path, timeout: float) -> datetime:
    """When the server's postmaster began, which no other server shares. Raises PostgresUnavailable,
    PostgresError."""
    parameters = libpq.connection(upstream, who, passfile, {"dbname": "postgres"})
    ((moment,),) = read_remote(parameters, queries.STARTED, timeout)
    if not isinstance(moment, datetime):
        raise PostgresError(f"no time: {moment!r}")
    return moment


def require_system(found: SystemId, expected: SystemId | None) -> None:
    """Raises PostgresError if two servers are not of one cluster."""
    if expected is not None and found != expected:
        raise PostgresError(
            f"system identifier {found} is not this cluster's {expected}: "
            "the address leads to another cluster"
        )


def _history(answer: tuple[object, ...]) -> tuple[TimelineSwitch, ...]:
    try:
        content = answer[1]
        text = bytes(content).decode() if isinstance(content, (bytes, memoryview)) else str(content)
        return timeline.parse_history(text)
    except (IndexError, ValueError) as error:
        raise PostgresError(f"the upstream's timeline history cannot be read: {error}") from error
