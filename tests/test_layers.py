"""Imports point downwards, and what is pure stays pure (drawn in `docs/architecture.md`).

The check reads the sources with `ast` and knows no file by heart but the few that may touch time or
a driver: a new file in no layer fails. Each rule is shown to fail once, on a planted violation.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

PACKAGE: Final = Path(__file__).parent.parent / "raftha"
SIMULATIONS: Final = Path(__file__).parent / "sim"
CHECKERS: Final = ("checkers.py", "cluster/promises.py", "linear.py", "model.py", "seats.py")
"""What judges a simulated world."""

LAYERS: Final[dict[str, int]] = {
    "": 0,
    "account": 0,
    "clock": 0,
    "errors": 0,
    "files": 0,
    "instants": 0,
    "logs": 0,
    "metrics": 0,
    "threads": 0,
    "model": 1,
    "config": 2,
    "ha": 3,
    "consensus": 3,
    "pg": 3,
    "guardian": 3,
    "api": 3,
    "agent": 4,
    "cli": 5,
    "__main__": 6,
}
"""The height of each part; parts of equal height above 0 do not import one another."""

PURE_PARTS: Final = frozenset({"model", "ha"})
PURE_FILES: Final = frozenset(
    {
        "instants.py",
        "consensus/machine.py",
        "consensus/wire.py",
        "consensus/lessor.py",
        "pg/argv.py",
        "pg/conf.py",
        "pg/hba.py",
        "pg/controldata.py",
        "pg/timeline.py",
        "pg/queries.py",
        "guardian/protocol.py",
    }
)
"""Pure whatever their docstring says; a file that says PURE in its first paragraph is so too."""

IMPURE_MODULES: Final = frozenset(
    [
        "asyncio",
        "concurrent",
        "ctypes",
        "fcntl",
        "glob",
        "http",
        "importlib",
        "io",
        "logging",
        "mmap",
        "multiprocessing",
        "os",
        "psutil",
        "psycopg2",
        "pysyncobj",
        "queue",
        "random",
        "secrets",
        "select",
        "selectors",
        "shutil",
        "signal",
        "socket",
        "sqlite3",
        "ssl",
        "subprocess",
        "tempfile",
        "threading",
        "time",
        "urllib",
        "uuid",
    ]
)
IMPURE_CALLS: Final = frozenset({"open", "print", "input", "exec", "eval"})

ONLY_IN: Final[dict[str, frozenset[str]]] = {
    "time": frozenset({"clock.py", "guardian/kernel.py", "guardian/journal.py"}),
    "pysyncobj": frozenset({"consensus/syncobj.py"}),
    "psycopg2": frozenset({"pg/session.py"}),
    "prometheus_client": frozenset({"metrics.py"}),
    "pickle": frozenset(),
}
"""Modules that only these files import. The guardian, which imports nothing, has its own clock."""

WALL_CLOCK_CALLS: Final = frozenset({"now", "utcnow", "today"})


def violations(package: Path) -> list[str]:
    """Every broken rule in the sources under `package`, as sentences."""
    trees = {
        path.relative_to(package).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(package.rglob("*.py"))
    }
    found: list[str] = []
    for name, tree in trees.items():
        found += layer_violations(name, tree)
        found += owner_violations(name, tree)
        found += chance_violations(name, tree)
        if is_pure(name, tree):
            found += purity_violations(name, tree)
    return found + guardian_violations(trees)


def layer_violations(name: str, tree: ast.Module) -> list[str]:
    own = part_of_file(name)
    if own not in LAYERS:
        return [f"{name}: is in no layer; give {own!r} one in LAYERS"]
    found = []
    for module, line in imports(name, tree):
        if not is_own(module):
            continue
        other = part_of_module(module)
        if other not in LAYERS:
            found.append(f"{name}:{line}: imports {module}, which is in no layer")
        elif LAYERS[other] > LAYERS[own]:
            found.append(f"{name}:{line}: imports {module}, which lies above {own or 'raftha'}")
        elif LAYERS[other] == LAYERS[own] > 0 and other != own:
            found.append(f"{name}:{line}: imports its sibling {module}")
    return found


def owner_violations(name: str, tree: ast.Module) -> list[str]:
    return [
        f"{name}:{line}: imports {module}, which only {', '.join(sorted(owners)) or 'nobody'} may"
        for module, line in imports(name, tree)
        if (owners := ONLY_IN.get(module.split(".")[0])) is not None and name not in owners
    ]


def chance_violations(name: str, tree: ast.Module) -> list[str]:
    """Randomness is injected and time is read from the `Clock`: no call of either by its module."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "random":
            found += [
                f"{name}:{node.lineno}: imports random.{alias.name}"
                for alias in node.names
                if alias.name != "Random"
            ]
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        owner, called = node.func.value, node.func.attr
        if isinstance(owner, ast.Name) and owner.id == "random" and called != "Random":
            found.append(f"{name}:{node.lineno}: calls random.{called}; take an injected Random")
        of_datetime = ast.unparse(owner).split(".")[-1] in {"datetime", "date"}
        if of_datetime and called in WALL_CLOCK_CALLS and name != "clock.py":
            found.append(f"{name}:{node.lineno}: reads the wall clock; take it from the Clock")
    return found


def purity_violations(name: str, tree: ast.Module) -> list[str]:
    found = [
        f"{name}:{line}: is pure, and imports {module}"
        for module, line in imports(name, tree)
        if module.split(".")[0] in IMPURE_MODULES
    ]
    for node in ast.walk(tree):
        called = (
            node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
        )
        if called in IMPURE_CALLS:
            found.append(f"{name}:{node.lineno}: is pure, and calls {called}()")  # type: ignore[attr-defined]
    return found


def guardian_violations(trees: dict[str, ast.Module]) -> list[str]:
    """The guardian's process must start where nothing is installed but Python: all that its
    entry point reaches imports the standard library and the guardian only."""
    found: list[str] = []
    seen: set[str] = set()
    waiting = ["guardian/__main__.py"]
    while waiting:
        name = waiting.pop()
        if name in seen or name not in trees:
            continue
        seen.add(name)
        for module, line in imports(name, trees[name]):
            top = module.split(".")[0]
            if module.startswith("raftha.guardian"):
                waiting += file_names(module)
            elif top not in sys.stdlib_module_names and module != "raftha":
                found.append(f"{name}:{line}: runs in the guardian, and imports {module}")
    return found


def is_pure(name: str, tree: ast.Module) -> bool:
    first_paragraph = (ast.get_docstring(tree) or "").split("\n\n")[0]
    return name in PURE_FILES or part_of_file(name) in PURE_PARTS or "PURE" in first_paragraph


def imports(name: str, tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Every imported module with its line, those inside functions too; `from raftha import x` and
    `from raftha.part import x` name the submodule where x could be one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = absolute(name, node)
            if base == "raftha" or base.startswith("raftha."):
                yield from ((f"{base}.{alias.name}", node.lineno) for alias in node.names)
            else:
                yield base, node.lineno


def absolute(name: str, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    folder = ["raftha", *name.split("/")[:-1]]
    base = folder[: len(folder) - node.level + 1]
    return ".".join([*base, node.module] if node.module else base)


def is_own(module: str) -> bool:
    return module.split(".")[0] == "raftha"


def part_of_file(name: str) -> str:
    part = name.split("/")[0].removesuffix(".py")
    return "" if part == "__init__" else part


def part_of_module(module: str) -> str:
    """`raftha.model.ids.Lsn` is in `model`; a name of the package itself, as __version__, in ''."""
    part = module.split(".")[1] if "." in module else ""
    return "" if part.startswith("__") else part


def file_names(module: str) -> list[str]:
    """The files that importing `module` may run: itself, or the module whose name it holds."""
    words = module.split(".")[1:]
    return [
        f"{'/'.join(words)}.py",
        f"{'/'.join(words)}/__init__.py",
        f"{'/'.join(words[:-1])}.py",
        f"{'/'.join(words[:-1])}/__init__.py",
    ]


def test_imports_point_downwards_and_what_is_pure_stays_pure() -> None:
    assert violations(PACKAGE) == []


def test_the_list_of_pure_files_names_files_that_exist() -> None:
    assert [name for name in sorted(PURE_FILES) if not (PACKAGE / name).is_file()] == []


PLANTED: Final = [
    ("extra/new.py", "", "no layer"),
    ("loose.py", "", "no layer"),
    ("pg/x.py", "import raftha.agent.loop", "above"),
    ("pg/x.py", "from raftha import agent", "above"),
    ("pg/x.py", "from ..agent import loop", "above"),
    ("pg/x.py", "def f() -> None:\n    from raftha.cli import main", "above"),
    ("model/x.py", "from raftha.config import load", "above"),
    ("ha/x.py", "from raftha.consensus.node import Node", "sibling"),
    ("consensus/x.py", "import raftha.pg.conf", "sibling"),
    ("ha/x.py", "import os", "is pure"),
    ("model/x.py", "from threading import Lock", "is pure"),
    ("pg/conf.py", "import os.path", "is pure"),
    ("pg/x.py", '"""Words (PURE)."""\nimport socket', "is pure"),
    ("guardian/protocol.py", "def f() -> None:\n    open('x')", "calls open"),
    ("agent/x.py", "import time", "which only"),
    ("agent/x.py", "import pickle", "nobody"),
    ("consensus/x.py", "from pysyncobj.transport import Transport", "which only"),
    ("pg/x.py", "import psycopg2.extensions", "which only"),
    ("agent/x.py", "import prometheus_client", "which only"),
    ("agent/x.py", "import random\nrandom.uniform(0, 1)", "injected"),
    ("agent/x.py", "from random import choice", "random.choice"),
    ("agent/x.py", "import datetime\ndatetime.datetime.now()", "wall clock"),
    ("guardian/__main__.py", "import psutil", "runs in the guardian"),
    ("guardian/__main__.py", "from raftha.model import ids", "runs in the guardian"),
]


@pytest.mark.parametrize(("name", "source", "said"), PLANTED)
def test_a_planted_violation_is_found(tmp_path: Path, name: str, source: str, said: str) -> None:
    target = tmp_path / name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(source, encoding="utf-8")

    assert any(said in sentence for sentence in violations(tmp_path))


def test_what_the_guardian_reaches_through_its_own_files_is_checked(tmp_path: Path) -> None:
    folder = tmp_path / "guardian"
    folder.mkdir()
    (folder / "__main__.py").write_text("from raftha.guardian.main import main\n")
    (folder / "main.py").write_text("from raftha.guardian import fence\n")
    (folder / "fence.py").write_text("from raftha.errors import RafthaError\n")
    (folder / "client.py").write_text("from raftha.instants import Instant\n")

    assert violations(tmp_path) == [
        "guardian/fence.py:1: runs in the guardian, and imports raftha.errors.RafthaError"
    ]


def test_clean_sources_pass(tmp_path: Path) -> None:
    (tmp_path / "ha").mkdir()
    (tmp_path / "ha" / "x.py").write_text("import math\nfrom raftha.model.ids import Lsn\n")
    (tmp_path / "clock.py").write_text("import time\n")

    assert violations(tmp_path) == []


@pytest.mark.parametrize("name", CHECKERS)
def test_what_checks_a_simulation_knows_nothing_of_how_things_are_decided(name: str) -> None:
    tree = ast.parse((SIMULATIONS / name).read_text(encoding="utf-8"))
    parts = {part_of_module(module) for module, _ in imports(name, tree) if is_own(module)}
    assert parts <= {"consensus", "errors", "model"}
