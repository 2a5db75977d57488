"""Fixtures of the commands that work on a stopped node's directory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.unit.cli.survivor import Node, Ports


@pytest.fixture
def ports() -> Iterator[Ports]:
    with ExitStack() as stack:
        yield Ports(stack)


@pytest.fixture
def node(tmp_path: Path, ports: Ports) -> Node:
    return Node(tmp_path, ports)
