"""Which guardians were here before: what one that takes their place may speak for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from raftha.guardian import lineage
from tests.unit.guardian.stand_in import StandIn, eventually


@pytest.fixture
def file(tmp_path: Path) -> str:
    return str(tmp_path / "guardian.sock.guardians")


def test_each_guardian_knows_those_before_it(file: str) -> None:
    assert lineage.enter(file, "a", "/data") == ()
    assert lineage.enter(file, "b", "/data") == ("a",)
    assert lineage.enter(file, "c", "/data") == ("a", "b")


def test_a_guardian_of_another_directory_is_no_predecessor(file: str) -> None:
    """Its server lived there, where nobody has looked."""
    lineage.enter(file, "a", "/data")
    assert lineage.enter(file, "b", "/elsewhere") == ()
    assert lineage.enter(file, "c", "/data") == ("a",)


def test_of_many_guardians_the_last_are_known(file: str) -> None:
    for number in range(lineage.KEPT + 3):
        lineage.enter(file, str(number), "/data")

    assert lineage.enter(file, "last", "/data") == tuple(str(n) for n in range(3, 19))


@pytest.mark.parametrize("content", ["", "{}", '{"guardians": 7}', '{"guardians": [7]}'])
def test_a_damaged_file_names_nobody_and_is_written_anew(file: str, content: str) -> None:
    Path(file).write_text(content)

    assert lineage.enter(file, "a", "/data") == ()
    assert lineage.enter(file, "b", "/data") == ("a",)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[StandIn]:
    made = StandIn(tmp_path)
    made.spawn()
    yield made
    made.close()


def test_a_guardian_tells_the_agent_whose_place_it_took(host: StandIn) -> None:
    first = host.agent.status()
    assert first.predecessors == ()
    host.agent.quit()
    eventually(lambda: not host.socket.exists())
    host.spawn()

    assert host.agent.status().predecessors == (first.nonce,)
