"""Every problem that a node can tell of has its heading in the runbook, and the other way round."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from raftha.model.trouble import Trouble

ROOT = Path(__file__).parent.parent.parent


def test_each_problem_has_its_heading_and_the_other_way_round() -> None:
    page = (ROOT / "docs" / "runbook.md").read_text()

    headings = re.findall(r"^### (\S+)$", page, re.MULTILINE)

    assert sorted(headings) == sorted(trouble.value for trouble in Trouble)


def test_each_problem_is_told_somewhere_and_each_notice_says_which_it_is() -> None:
    codes = [code for call in _notices() for code in _codes(call)]

    assert "" not in codes, "a Notice without code=Trouble...: status could not name its heading"
    assert sorted(set(codes)) == sorted(Trouble.__members__)


def _notices() -> Iterator[ast.Call]:
    for path in (ROOT / "raftha").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Notice":
                yield node


def _codes(call: ast.Call) -> Iterator[str]:
    code = next((word.value for word in call.keywords if word.arg == "code"), None)
    is_trouble = isinstance(code, ast.Attribute) and getattr(code.value, "id", "") == "Trouble"
    yield code.attr if isinstance(code, ast.Attribute) and is_trouble else ""
