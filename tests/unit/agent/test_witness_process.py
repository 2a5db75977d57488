"""A witness stays small: what its process loads."""

from __future__ import annotations

import subprocess
import sys


def test_a_witness_loads_nothing_of_postgresql() -> None:
    """In a process of its own, for this one has loaded everything long ago."""
    program = (
        "import sys, raftha.agent.witness_main\n"
        "heavy = ('psycopg2', 'cryptography', 'rich', 'raftha.pg', 'raftha.guardian',\n"
        "    'raftha.agent.build')\n"
        "print(*sorted(name for name in sys.modules if name.startswith(heavy)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout == "\n"
