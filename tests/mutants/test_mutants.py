"""The mutation gate: each mutant, alone in a copy of the product, is caught by its named test.

A mutant that nobody catches is a missing test. Run all with `tests/run mutants`, some with
`pytest tests/mutants -k "core and tail"`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutants.mutant import ROOT, Mutant, planted
from tests.mutants.table import AREAS, MUTANTS

SOURCES = ("raftha", "tests", "examples", "docs", "pyproject.toml", "README.md")
TEST_FAILED = 1


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the product and its tests, for this worker alone."""
    copy = tmp_path_factory.mktemp("mutants")
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy / name)
    return copy


def run_tests(tree: Path, names: list[str], limit_s: int) -> subprocess.CompletedProcess[str]:
    """Run tests of a copy. A test that hangs is ended by pytest-timeout, and has failed then."""
    options = ["-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", f"--timeout={limit_s}"]
    paths = [f"tests/{name}" for name in names]
    environment = {key: value for key, value in os.environ.items() if "PYTEST" not in key}
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, *paths],
        cwd=tree,
        env={**environment, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1", "CI": "1"},
        capture_output=True,
        text=True,
        timeout=limit_s + 60,
        check=False,
    )


@pytest.mark.timeout(600)
@pytest.mark.parametrize("area", AREAS)
def test_without_a_mutant_every_named_test_passes(tree: Path, area: str) -> None:
    """The control: it is the mutant that makes a test fail."""
    names = sorted({mutant.caught_by for mutant in AREAS[area] if not mutant.needs_postgresql})

    done = run_tests(tree, names, 60)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.timeout(300)
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_is_caught(tree: Path, mutant: Mutant) -> None:
    file = tree / "raftha" / mutant.file
    sound = file.read_text()
    file.write_text(planted(mutant, tree))
    try:
        done = run_tests(tree, [mutant.caught_by], mutant.limit_s)
    finally:
        file.write_text(sound)

    assert done.returncode == TEST_FAILED, (
        f"tests/{mutant.caught_by} did not notice: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    )
