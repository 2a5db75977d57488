"""The pages for people: their links lead somewhere, and the table of promises names what exists.

Nothing here judges the words. A row may say `no test yet`, but every test that it names exists.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parent.parent.parent
PAGES: Final = (
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "examples").glob("*/*.md")),
)
PROMISES: Final = (
    *(f"S{number}" for number in range(1, 11)),
    *(f"L{number}" for number in range(1, 5)),
    "W1",
    *(f"R{number}" for number in range(1, 28)),
)
NAMING: Final = ("promises.md", "faults.md", "features.md")
"""The pages that say which test tries what."""

UNBUILT: Final = "not built yet"
UNTESTED: Final = "no test yet"

_FENCED: Final = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_LINK: Final = re.compile(r"\[[^\]]*\]\(([^()\s]+)\)")
_HEADING: Final = re.compile(r"^#+ +(.+?)\s*$", re.MULTILINE)
_PLACE: Final = re.compile(r"`(raftha/[\w/]+\.py):(\w+)`")
_HAZARD_ROW: Final = re.compile(r"\| (?:H\d+,? )+[a-zA-GI-Z]")
_TEST: Final = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    broken = [link for link in _links(page.read_text()) if not _resolves(page, link)]

    assert broken == []


def test_a_broken_link_is_found() -> None:
    page = ROOT / "README.md"

    assert not _resolves(page, "docs/nowhere.md")
    assert not _resolves(page, "docs/promises.md#no-such-heading")
    assert _resolves(page, "docs/promises.md#limits")


def test_every_promise_has_one_row() -> None:
    assert [identity for identity, _, _ in _rows()] == list(PROMISES)


@pytest.mark.parametrize(
    "row",
    [row for page in NAMING for row in _TEST.findall((ROOT / "docs" / page).read_text())],
)
def test_every_named_test_exists(row: tuple[str, str]) -> None:
    file, name = row

    assert name in _functions(ROOT / file)


def test_every_feature_of_patroni_has_a_test_or_is_left_out_with_the_reason() -> None:
    rows = [
        line.strip("|").split("|")
        for line in (ROOT / "docs/features.md").read_text().splitlines()
        if line.startswith("| ") and not line.startswith("| Patroni |")
    ]
    bare = [row for row in rows if not (_TEST.search(row[2]) or "left out" in row[1])]

    assert len(rows) > 80
    assert bare == []


@pytest.mark.parametrize("row", list(_PLACE.findall((ROOT / "docs/promises.md").read_text())))
def test_every_named_place_exists(row: tuple[str, str]) -> None:
    file, name = row

    assert name in _functions(ROOT / file)


def test_every_row_names_a_place_and_a_test_or_says_that_there_is_none() -> None:
    for identity, places, tests in _rows():
        assert _PLACE.search(places) or UNBUILT in places, (
            f"{identity} says nowhere where it is kept"
        )
        assert _TEST.search(tests) or UNTESTED in tests, f"{identity} names no test"


def test_every_path_in_the_architecture_page_exists() -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    named = set(
        re.findall(r"`((?:agent|api|cli|config|consensus|guardian|ha|model|pg)/[\w/.]*)`", text)
    )

    assert sorted(path for path in named if not (ROOT / "raftha" / path).exists()) == []


def test_every_hazard_has_its_tests() -> None:
    """The table of hazards in the page on the consensus: a row for each, and tests for each row."""
    text = (ROOT / "docs/consensus.md").read_text()
    rows = [line.strip("|").split("|") for line in text.splitlines() if _HAZARD_ROW.match(line)]
    shown = [int(number) for row in rows for number in re.findall(r"\bH(\d+)", row[0])]
    named = [
        (theme, number)
        for row in rows
        for theme, numbers in re.findall(r"`(\w+)`: ((?:`h\d+`(?:, )?)+)", row[2])
        for number in re.findall(r"h\d+", numbers)
    ]
    written = {theme: _functions(_hazards(theme)) for theme, _ in named}
    untested = [
        (theme, number)
        for theme, number in named
        if not any(re.match(rf"test_(h\d+_)?{number}_", name) for name in written[theme])
    ]

    on_the_library = {
        int(number)
        for theme in written
        for name in written[theme]
        if "library" in name
        for number in re.findall(r"(?<=_h)\d+", name)
    }
    ours_only = {
        int(number)
        for row in rows
        for number in re.findall(r"\bH(\d+)", row[0])
        if "ours only" in row[2]
    }

    assert sorted(shown) == list(range(1, 37))
    assert len(named) > 30
    assert untested == []
    assert on_the_library | ours_only == set(shown), "the damage is shown on the library, or said"


def _hazards(theme: str) -> Path:
    return ROOT / f"tests/unit/consensus/test_hazards_{theme}.py"


def _rows() -> Iterator[tuple[str, str, str]]:
    """The promise's id, where it is kept, what tests it."""
    for line in (ROOT / "docs/promises.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 4 and re.fullmatch(r"[A-Z]\d+", cells[0]):
            yield cells[0], cells[2], cells[3]


def _links(text: str) -> list[str]:
    found = _LINK.findall(_FENCED.sub("", text))
    return [link for link in found if not re.match(r"[a-z]+:", link)]


def _resolves(page: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    if not target.exists():
        return False
    return not anchor or anchor in _anchors(target)


def _anchors(page: Path) -> frozenset[str]:
    """The anchors of a page's headings, as code hosts form them."""
    headings = _HEADING.findall(_FENCED.sub("", page.read_text()))
    return frozenset(
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings
    )


@cache
def _functions(file: Path) -> frozenset[str]:
    """Every function and method of a file."""
    tree = ast.parse(file.read_text())
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, kinds))
