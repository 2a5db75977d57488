"""Writes the tables of mutants into the pages: `python -m tests.mutants.page`.

A page holds a table between two comments that name its area; a test holds it to the mutants.
"""

from __future__ import annotations

import re
import sys
from typing import Final

from tests.mutants.mutant import ROOT, Mutant
from tests.mutants.table import AREAS

PAGES: Final = ("docs/consensus.md", "docs/mutants.md")
_PLACE: Final = re.compile(
    r"(?P<begin><!-- mutants of (?P<area>\w+), .*? -->\n)(?P<table>.*?)(?P<end><!-- end -->)",
    re.DOTALL,
)


def printed(mutants: tuple[Mutant, ...]) -> str:
    """The table that people read."""
    rows = ["| taken out | file | caught by |", "|---|---|---|"]
    for mutant in mutants:
        file, _, test = mutant.caught_by.partition("::")
        place = file.rsplit("/", 1)[-1].removesuffix(".py")
        without = mutant.without.replace("|", "\\|")
        rows.append(f"| {without} | `{mutant.file}` | `{place}::{test}` |")
    return "\n".join(rows) + "\n"


def renewed(page: str) -> str:
    """A page with the present tables. Raises KeyError for an area that does not exist."""
    return _PLACE.sub(lambda at: at["begin"] + printed(AREAS[at["area"]]) + at["end"], page)


def areas_of(page: str) -> list[str]:
    """The areas whose tables a page holds."""
    return [found["area"] for found in _PLACE.finditer(page)]


def main() -> int:
    for name in PAGES:
        path = ROOT / name
        path.write_text(renewed(path.read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
