"""`raftha store get`, `list` and `watch`: look into the key store through any node. Read only.

A linearizable answer is asked of one node after the other; with `local` the first one named is
meant and no other. A watch goes on at the next node where one falls silent: revisions are the same
everywhere.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from http import HTTPStatus
from typing import Any, Final, TypeVar

import click
import yaml
from msgspec.structs import replace

from raftha.api import codec
from raftha.api.client import ApiClient, ApiError, Refused
from raftha.cli.discover import Contact
from raftha.cli.exits import Exit
from raftha.cli.handing import told
from raftha.cli.tabular import separated, tsv
from raftha.errors import RafthaError
from raftha.model.stored import (
    Encoding,
    StoredEntry,
    StoredEvent,
    StoredLease,
    StoreReport,
)

POLL_S: Final = 0.3
"""How often a watch asks for news."""

_NOT_ALLOWED: Final = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
_MISUNDERSTOOD: Final = (HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND)
_T = TypeVar("_T")


class NoAnswer(RafthaError):
    """The store could not be asked; `code` is what the command ends with."""

    def __init__(self, message: str, code: Exit) -> None:
        super().__init__(message)
        self.code = code


class NotKept(NoAnswer):
    """No node that answers keeps the revisions that were asked for."""


def get(contact: Contact, prefix: str, local: bool, output: str) -> Exit:
    """Print the value of one key, or of all that begin with `prefix`."""

    def show(report: StoreReport) -> str:
        return "".join(_whole_value(entry) for entry in report.entries) + _footer(report)

    return _once(contact, prefix, local, output, show)


def keys(contact: Contact, prefix: str, local: bool, output: str) -> Exit:
    """Print the keys with their revisions, and the leases."""

    def show(report: StoreReport) -> str:
        return "\n".join([*_key_table(report.entries), "", *_lease_table(report.leases), ""]) + (
            _footer(report)
        )

    return _once(contact, prefix, local, output, show)


def watch(
    contact: Contact,
    prefix: str,
    after: int | None,
    output: str,
    wait: Callable[[float], object],
) -> Exit:
    """Print every change in order, from now on or after a revision, until interrupted."""
    try:
        if after is None:
            begun = _ask(_clients(contact), lambda client: client.store(prefix, local=False))
            after = begun.revision
        else:
            _check_there(contact, prefix, after)
        click.echo(f"following {prefix or 'all keys'} after revision {after}", err=True)
        while True:
            after = _follow(contact, prefix, after, output)
            wait(POLL_S)
    except NoAnswer as error:
        return _complain(error)
    except KeyboardInterrupt:
        return Exit.DONE


def _check_there(contact: Contact, prefix: str, after: int) -> None:
    """Raises NoAnswer for a revision that is yet to come: nothing would be shown until then."""
    newest = _ask(_clients(contact), lambda client: client.store(prefix, local=False)).revision
    if after > newest:
        raise NoAnswer(f"there is no revision {after} yet: the newest is {newest}", Exit.REFUSED)


def _once(
    contact: Contact,
    prefix: str,
    local: bool,
    output: str,
    show: Callable[[StoreReport], str],
) -> Exit:
    clients = _clients(contact)
    try:
        report = _ask(
            clients[:1] if local else clients, lambda client: client.store(prefix, local=local)
        )
    except NoAnswer as error:
        return _complain(error)
    report = _narrowed(report)
    if output == "tsv":
        click.echo(tsv(_report_document(report)["entries"]), nl=False)
    elif output != "table":
        click.echo(_rendered(_report_document(report), output), nl=False)
    elif report.entries or not prefix:
        click.echo(show(report), nl=False)
    if report.entries or not prefix:
        return Exit.DONE
    click.secho(
        f"no key begins with {report.prefix} at revision {report.revision}", fg="red", err=True
    )
    return Exit.REFUSED


def _narrowed(report: StoreReport) -> StoreReport:
    """Where the prefix is a key, that key is meant, not also those which it begins."""
    exact = tuple(entry for entry in report.entries if entry.key == report.prefix)
    if not exact:
        return report
    return replace(report, entries=exact)


def _follow(contact: Contact, prefix: str, after: int, output: str) -> int:
    """Print what is new; the revision to go on from."""
    try:
        news = _ask(_clients(contact), lambda client: client.store_events(prefix, after))
    except NotKept as error:
        return _skip(contact, prefix, after, output, str(error))
    for event in news.events:
        click.echo(_event_text(event, output), nl=False)
    return max(after, news.revision)


def _skip(contact: Contact, prefix: str, after: int, output: str, why: str) -> int:
    """Say that changes were lost to compaction, and go on from what is there now."""
    now = _ask(_clients(contact), lambda client: client.store(prefix, local=False))
    if output in ("table", "tsv"):
        click.echo(
            f"compacted: changes after {after}, up to {now.revision}, are not known: {why}",
            err=output == "tsv",
        )
    else:
        lost = {"compacted": {"after": after, "to": now.revision, "reason": why}}
        click.echo(_rendered(lost, output, one_of_many=True), nl=False)
    return now.revision


def _clients(contact: Contact) -> list[ApiClient]:
    """One for each address that is known, in the order in which they are to be asked."""
    urls = dict.fromkeys(url for stage in contact.stages for url in stage)
    return [contact.client(url) for url in urls]


def _ask(clients: Iterable[ApiClient], question: Callable[[ApiClient], _T]) -> _T:
    """The first answer. A node that cannot answer, or keeps the revisions no more, leaves it to the
    next; one that refuses the asker speaks for all. Raises NoAnswer."""
    errors: list[str] = []
    gone: list[str] = []
    for client in clients:
        try:
            return question(client)
        except Refused as error:
            if error.status in _NOT_ALLOWED or error.status in _MISUNDERSTOOD:
                raise NoAnswer(told(error), Exit.REFUSED) from error
            (gone if error.status == HTTPStatus.GONE else errors).append(str(error))
        except ApiError as error:
            errors.append(str(error))
    if gone:
        raise NotKept(gone[0], Exit.UNKNOWN)
    raise NoAnswer("\n".join(["no node tells what the store holds:", *errors]), Exit.UNREACHABLE)


def _complain(error: NoAnswer) -> Exit:
    click.secho(str(error), fg="red", err=True)
    return error.code


def _rendered(document: dict[str, Any], output: str, one_of_many: bool = False) -> str:
    if output == "json":
        return json.dumps(document, indent=None if one_of_many else 2) + "\n"
    mark = "---\n" if one_of_many else ""
    return mark + yaml.safe_dump(document, sort_keys=False)


def _report_document(report: StoreReport) -> dict[str, Any]:
    """As `/store` answers, with the values as what they are where they are JSON."""
    document = codec.document(report)
    for plain, entry in zip(document["entries"], report.entries, strict=True):
        plain["value"] = _parsed(entry)
    return document


def _parsed(entry: StoredEntry) -> Any:
    if entry.encoding is Encoding.BASE64:
        return entry.value
    try:
        return json.loads(entry.value)
    except ValueError:
        return entry.value


def _event_text(event: StoredEvent, output: str) -> str:
    if output == "table":
        value = f"  {event.entry.value}" if event.kind in ("created", "written") else ""
        return f"{event.revision:>8}  {event.kind.value:<8}  {event.entry.key}{value}\n"
    entry = event.entry
    document = {
        "revision": event.revision,
        "kind": event.kind.value,
        "key": entry.key,
        "value": _parsed(entry),
        "encoding": entry.encoding.value,
        "create_revision": entry.create_revision,
        "mod_revision": entry.mod_revision,
        "lease": entry.lease,
    }
    if output == "tsv":
        return separated([tuple(document.values())])
    return _rendered(document, output, one_of_many=True)


def _whole_value(entry: StoredEntry) -> str:
    value = _parsed(entry)
    text = value if isinstance(value, str) else json.dumps(value, indent=2)
    lease = f", lease {entry.lease}" if entry.lease else ""
    encoded = ", base64" if entry.encoding is Encoding.BASE64 else ""
    return (
        f"{entry.key}  (revision {entry.mod_revision}, created {entry.create_revision}"
        f"{lease}{encoded})\n{text}\n\n"
    )


def _key_table(entries: Sequence[StoredEntry]) -> Iterator[str]:
    head = ("key", "revision", "created", "lease", "bytes")
    rows = [
        (e.key, str(e.mod_revision), str(e.create_revision), e.lease or "", str(_size(e)))
        for e in entries
    ]
    return _columns([head, *rows])


def _lease_table(leases: Sequence[StoredLease]) -> Iterator[str]:
    head = ("lease", "holder", "ttl", "revision", "note")
    rows = [(x.id, x.holder, f"{x.ttl:g} s", str(x.revision), x.note) for x in leases]
    return _columns([head, *rows])


def _size(entry: StoredEntry) -> int:
    if entry.encoding is Encoding.BASE64:
        return len(entry.value.rstrip("=")) * 3 // 4
    return len(entry.value.encode())


def _columns(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        yield "  ".join(cells).rstrip()


def _footer(report: StoreReport) -> str:
    at = f"revision {report.revision}, generation {report.generation}"
    if report.linearizable:
        return f"{at}; read through {report.answered_by}, everything committed is in it\n"
    touch = "in touch" if report.majority else "NOT in touch"
    return (
        f"{at}; {report.answered_by}'s own replica, whose last change came "
        f"{report.age_seconds:.1f} s ago; {touch} with a majority\n"
    )
