"""What every test shares: the hypothesis profiles, the markers, and seeds that can be repeated."""

from __future__ import annotations

import os
import signal
from typing import Final

import pytest
from hypothesis import settings

EXAMPLES: Final = {"dev": 25, "ci": 200, "nightly": 5000}

for _name, _examples in EXAMPLES.items():
    # In CI the same examples every time: a failure there is a failure here. No deadline, for the
    # machines that run this are slow and shared; pytest-timeout bounds each test.
    settings.register_profile(
        _name,
        max_examples=_examples,
        derandomize=_name == "ci",
        deadline=None,
        print_blob=True,
    )
PROFILE: Final = os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev")
settings.load_profile(PROFILE)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--majors",
        default="smoke",
        help="PostgreSQL majors of the integration tests: 'smoke' runs all tests on the newest"
        " major found and those marked smoke on each; 'all' runs all on each; or a list as 15,18",
    )
    parser.addoption(
        "--seeds",
        type=int,
        default=20,
        help="how many seeds of the consensus simulation to run; `tests/run` asks for more",
    )
    parser.addoption(
        "--cluster-seeds",
        type=int,
        default=10,
        help="how many seeds of the simulation of whole clusters to run",
    )
    parser.addoption(
        "--changes",
        type=int,
        default=4,
        help="how often the primary changes under the subscriber of tests/faults/test_logical.py",
    )
    parser.addoption(
        "--flaps",
        type=int,
        default=20,
        help="how often a link fails in tests/integration/test_consensus_faults.py, about once a"
        " second",
    )


def pytest_configure(config: pytest.Config) -> None:
    # Ignored where a shell started this in the background, and handed on to what the tests start.
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    config.addinivalue_line("markers", "smoke: runs on every PostgreSQL major that is found")


def pytest_report_header() -> str:
    return f"hypothesis profile {PROFILE}: {EXAMPLES[PROFILE]} examples"
