"""`raftha query`: one statement on one member, found by name or by role.

It logs in as any client of libpq does (PGUSER, PGPASSWORD, the password file): the passwords of the
cluster are not used, and none is printed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import click
import yaml
from msgspec import Struct

from raftha.cli.discover import Contact
from raftha.cli.exits import Exit
from raftha.cli.handing import complain
from raftha.cli.reach import chosen
from raftha.cli.tabular import columns, separated
from raftha.clock import Clock
from raftha.errors import PostgresError, PostgresUnavailable
from raftha.pg import session
from raftha.pg.session import Table

CONNECT_S: Final = 5.0
"""How long a connection may take."""

_REFUSAL: Final = "FATAL:"
"""In what a server says that is there and lets nobody in, as for a wrong password."""

_NO_PASSWORD: Final = "no password supplied"
"""In what libpq says where a server asked for one."""


class Wish(Struct, frozen=True, kw_only=True):
    """What the command line says."""

    sql: str
    role: str = "leader"
    member: str | None = None
    output: str = "table"
    login: Mapping[str, str] = {}
    """`user`, `password` and `dbname`, where they are given."""
    delimiter: str = "\t"
    """Between the values of tsv."""


def query(contact: Contact, wish: Wish, clock: Clock) -> Exit:
    """Run the statement, and print what it answers."""
    place = chosen(contact, wish.role, wish.member)
    if isinstance(place, Exit):
        return place
    where = {"host": place.host, "port": str(place.port), **wish.login}
    try:
        told = session.tell(where, wish.sql, clock, CONNECT_S)
    except PostgresUnavailable as error:
        at = f"{place.name} at {place.host}:{place.port}"
        if _NO_PASSWORD in str(error):
            how = "set PGPASSWORD, keep it in a password file, or add --password"
            complain(f"{at}: PostgreSQL asks for a password: {how}")
            return Exit.REFUSED
        complain(f"{at}: {error}")
        return Exit.REFUSED if _REFUSAL in str(error) else Exit.UNREACHABLE
    except PostgresError as error:
        complain(f"{place.name}: {error}")
        return Exit.REFUSED
    click.echo(rendered(told, wish.output, wish.delimiter), nl=False)
    return Exit.DONE


def rendered(told: Table, output: str, delimiter: str = "\t") -> str:
    """The rows in the form that is wished; what returns none as its command tag."""
    if output in ("json", "yaml"):
        rows = [dict(zip(told.columns, map(_plain, row), strict=True)) for row in told.rows]
        document: Any = rows if told.columns else {"status": told.status}
        if output == "json":
            return json.dumps(document, indent=2, default=str) + "\n"
        return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
    if not told.columns:
        return f"{told.status}\n"
    if output == "tsv":
        lines = [told.columns, *(tuple(map(_plain, row)) for row in told.rows)]
        return separated(lines, delimiter)
    return _table(told)


def _plain(value: object) -> Any:
    """As JSON has it; what it has not, such as a date, as PostgreSQL's text nearly has it."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if value is None or isinstance(value, str | int | float | bool | list | dict):
        return value
    return bytes(value).hex() if isinstance(value, memoryview) else str(value)


def _table(told: Table) -> str:
    cells = [list(told.columns), *([_text(value) for value in row] for row in told.rows)]
    count = len(told.rows)
    return "\n".join((*columns(cells), f"({count} row{'' if count == 1 else 's'})", ""))


def _text(value: object) -> str:
    plain = _plain(value)
    if plain is None:
        return ""
    text = plain if isinstance(plain, str) else json.dumps(plain, default=str)
    return text.replace("\n", "\\n")
