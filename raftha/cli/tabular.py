"""Rows as text: for programs with tabs between values, for people in columns. PURE."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

_ESCAPES: Final = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def tsv(rows: Sequence[Mapping[str, Any]]) -> str:
    """A column for each key, in the order in which they come first; what a row lacks is empty.
    Nothing where there are no rows."""
    if not rows:
        return ""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    return separated([columns, *([row.get(key) for key in columns] for row in rows)])


def separated(rows: Sequence[Sequence[object]], delimiter: str = "\t") -> str:
    """Rows of any values. Tab, line break and backslash within one are written as PostgreSQL's COPY
    writes them, and so is another delimiter; None is empty."""
    return "".join(
        delimiter.join(_apart(_cell(value), delimiter) for value in row) + "\n" for row in rows
    )


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines for people: each column as wide as its longest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _apart(cell: str, delimiter: str) -> str:
    return cell.replace(delimiter, f"\\{delimiter}")


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool | Mapping | list | tuple):
        return json.dumps(value).translate(_ESCAPES)
    return str(value).translate(_ESCAPES)
