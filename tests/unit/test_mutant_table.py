"""The table of mutants fits the code and the pages; the gate itself is `tests/run mutants`."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

from tests.mutants.mutant import ROOT, Mutant, planted
from tests.mutants.page import PAGES, areas_of, renewed
from tests.mutants.table import AREAS, MUTANTS


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_fits_the_code_and_names_a_test(mutant: Mutant) -> None:
    assert planted(mutant, ROOT) != (ROOT / "raftha" / mutant.file).read_text()
    file, _, name = mutant.caught_by.partition("::")
    assert name in functions(ROOT / "tests" / file), f"there is no test {mutant.caught_by}"


def test_each_mutant_is_one_of_its_own() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
    assert len({(m.file, m.text, m.instead) for m in MUTANTS}) == len(MUTANTS)


def test_a_mutant_of_code_that_has_moved_on_is_told() -> None:
    gone = Mutant(file="instants.py", without="x", text="no such text", instead="", caught_by="x")

    with pytest.raises(AssertionError, match="correct its `text`"):
        planted(gone, ROOT)


@pytest.mark.parametrize("page", PAGES)
def test_the_tables_in_the_pages_are_fresh(page: str) -> None:
    text = (ROOT / page).read_text()

    assert renewed(text) == text, "run python -m tests.mutants.page"


def test_each_area_has_its_table() -> None:
    shown = [area for page in PAGES for area in areas_of((ROOT / page).read_text())]

    assert sorted(shown) == sorted(AREAS)


@cache
def functions(file: Path) -> frozenset[str]:
    tree = ast.parse(file.read_text())
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))
