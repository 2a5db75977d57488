"""What the tests of the consensus share."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture
def quiet_library() -> Iterator[None]:
    """Keep what the library itself reports of a damage out of the output."""
    names = [name for name in logging.root.manager.loggerDict if name.startswith("pysyncobj")]
    for name in names:
        logging.getLogger(name).disabled = True
    yield
    for name in names:
        logging.getLogger(name).disabled = False
