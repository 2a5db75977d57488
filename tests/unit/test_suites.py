"""How the suites are run: what runs beside another is neither ended nor forgotten with it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

TESTS: Final = Path(__file__).parent.parent
PLAY: Final = """
import sys
sys.path.insert(0, {tests!r})
from children import Children
from suites import Outcome, Step, run_step

def script(title, text, **more):
    return Step(title=title, command=(sys.executable, "-I", "-c", text), **more)

outcome = Outcome()
slow = "import os, sys, time; time.sleep(0.6); print('ended', os.nice(0)); sys.exit(3)"
run_step(script("quick", {quick!r}, beside=script("slow", slow)), Children(grace_s=0.1), outcome)
print(outcome.broken)
"""


def play(quick: str) -> str:
    text = PLAY.format(tests=str(TESTS), quick=quick)
    return subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, check=True, timeout=60
    ).stdout


def test_what_runs_beside_another_ends_by_itself_and_counts() -> None:
    assert play("").splitlines()[-3:] == ["ended 19", "", "['slow']"]


def test_what_a_step_leaves_behind_is_ended_without_what_runs_beside_it() -> None:
    orphan = "import subprocess; subprocess.Popen(['sleep', '2026'], start_new_session=True)"
    said = play(orphan)
    assert "quick left processes behind: sleep 2026" in said
    assert "ended 19" in said
