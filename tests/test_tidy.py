"""Rules about the code that need no reviewer: sizes, banned calls and words, names of files.

Each rule is shown to fail once, on a planted violation. What a rule looks for is put together from
pieces here, so that this file does not break its own rules.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parent.parent
SOURCES: Final = ("raftha", "tests", "examples")
GENERATED: Final = frozenset({"run.d"})
MAX_FILE_LINES: Final = 400
MAX_FUNCTION_LINES: Final = 50
MAX_NESTING: Final = 3

VAGUE_NAMES: Final = frozenset({"utils", "util", "helpers", "helper", "common", "misc"})
UNFINISHED: Final = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "X" * 3]) + r")\b")
PATCHING: Final = re.compile(r"unittest\.mock|from unittest import mock|\bmonkeypatch\.setattr\b")
BROAD: Final = frozenset({"Exception", "BaseException"})
Function = ast.FunctionDef | ast.AsyncFunctionDef


def violations(root: Path) -> list[str]:
    """Every broken rule in the Python sources of a clone at `root`, as sentences."""
    found: list[str] = []
    for folder in SOURCES:
        for path in sorted((root / folder).rglob("*.py")):
            if GENERATED & set(path.relative_to(root).parts):
                continue
            found += file_violations(path.relative_to(root).as_posix(), path.read_text("utf-8"))
    return found


def file_violations(name: str, text: str) -> list[str]:
    tree = ast.parse(text)
    lines = text.splitlines()
    found = []
    if len(lines) > MAX_FILE_LINES:
        found.append(f"{name}: {len(lines)} lines; {MAX_FILE_LINES} are enough")
    if Path(name).stem in VAGUE_NAMES or VAGUE_NAMES & set(Path(name).parts):
        found.append(f"{name}: its name does not say what is in it")
    if text.strip() and not ast.get_docstring(tree):
        found.append(f"{name}: the module's docstring is missing")
    for number, line in enumerate(lines, start=1):
        if UNFINISHED.search(line):
            found.append(f"{name}:{number}: marks something as unfinished")
        if PATCHING.search(line) and name != "tests/test_tidy.py":
            found.append(f"{name}:{number}: patches; use the fake of the protocol")
    found += [f"{name}:{line}: {what}" for line, what in sized(tree)]
    found += [f"{name}:{line}: {what}" for line, what in silenced(tree)]
    return found


def sized(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if not isinstance(node, Function):
            continue
        length = (node.end_lineno or node.lineno) - node.lineno + 1
        if length > MAX_FUNCTION_LINES:
            yield node.lineno, f"{node.name} has {length} lines; {MAX_FUNCTION_LINES} are enough"
        depth = max(map(nesting, node.body))
        if depth > MAX_NESTING:
            yield node.lineno, f"{node.name} nests {depth} deep; {MAX_NESTING} are enough"


def nesting(node: ast.AST) -> int:
    """How deep statements lie within statements; an `elif` is no deeper than its `if`."""
    if isinstance(node, Function | ast.ClassDef):
        return 0
    blocks = (ast.If, ast.For, ast.While, ast.With, ast.Try, ast.Match, ast.AsyncFor, ast.AsyncWith)
    if not isinstance(node, blocks):
        return max(map(nesting, ast.iter_child_nodes(node)), default=0)
    chained = node.orelse if isinstance(node, ast.If) else []
    is_elif = len(chained) == 1 and isinstance(chained[0], ast.If)
    children = [child for child in ast.iter_child_nodes(node) if not (is_elif and child in chained)]
    deepest = 1 + max(map(nesting, children), default=0)
    return max(deepest, nesting(chained[0])) if is_elif else deepest


def silenced(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Handlers that catch everything and do nothing, or that name nothing at all."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.ExceptHandler):
            continue
        if node.type is None:
            yield node.lineno, "catches everything without naming it"
        elif isinstance(node.type, ast.Name) and node.type.id in BROAD and does_nothing(node.body):
            yield node.lineno, f"swallows every {node.type.id}"


def does_nothing(body: list[ast.stmt]) -> bool:
    return all(
        isinstance(line, ast.Pass | ast.Continue)
        or (isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant))
        for line in body
    )


def test_the_code_is_tidy() -> None:
    assert violations(ROOT) == []


MANY_LINES: Final = '"""Doc."""\n' + "x = 1\n" * MAX_FILE_LINES
LONG_FUNCTION: Final = '"""Doc."""\ndef f() -> None:\n' + "    x = 1\n" * MAX_FUNCTION_LINES
DEEP: Final = '"""Doc."""\ndef f() -> None:\n' + "".join(
    f"{'    ' * depth}if {depth}:\n" for depth in range(1, MAX_NESTING + 2)
)
PLANTED: Final = [
    ("raftha/x.py", MANY_LINES, "lines; 400"),
    ("raftha/x.py", LONG_FUNCTION, "f has 51 lines"),
    ("raftha/x.py", DEEP + "    " * (MAX_NESTING + 2) + "pass", "nests 4 deep"),
    ("raftha/x.py", "x = 1", "docstring is missing"),
    ("raftha/utils.py", '"""Doc."""', "its name"),
    ("raftha/common/x.py", '"""Doc."""', "its name"),
    ("raftha/x.py", f'"""Doc."""\n# {"TO" + "DO"} later', "unfinished"),
    ("tests/x.py", '"""Doc."""\nfrom unittest import mock', "patches"),
    ("tests/x.py", '"""Doc."""\ntry:\n    f()\nexcept Exception:\n    pass', "swallows"),
    ("raftha/x.py", '"""Doc."""\ntry:\n    f()\nexcept:\n    raise', "without naming"),
]


@pytest.mark.parametrize(("name", "text", "said"), PLANTED)
def test_a_planted_violation_is_found(tmp_path: Path, name: str, text: str, said: str) -> None:
    target = tmp_path / name
    target.parent.mkdir(parents=True)
    target.write_text(text, encoding="utf-8")

    assert any(said in sentence for sentence in violations(tmp_path))


def test_a_chain_of_elif_is_one_level_deep() -> None:
    chain = "".join(f"    elif {number}:\n        pass\n" for number in range(6))

    assert (
        file_violations("x.py", f'"""Doc."""\ndef f() -> None:\n    if 9:\n        pass\n{chain}')
        == []
    )
