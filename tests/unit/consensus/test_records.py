"""What another release or another node wrote is refused in clear words, and left as it is."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from raftha.clock import SystemClock
from raftha.consensus.stable import Owner, Standing
from raftha.consensus.state import LogEntry
from raftha.consensus.storage import FILE_NAME, SqliteStore
from raftha.errors import StorageFailed

OWNER = Owner(scope="s", name="n1")


def store_of(directory: Path, owner: Owner, incarnation: str = "new") -> SqliteStore:
    return SqliteStore(directory, owner=owner, clock=SystemClock(), new_incarnation=incarnation)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (9, "a newer release of raftha wrote it; start that one here"),
        (
            1,
            "an older release .* while the other voters are up, remove raft.sqlite and .* joins",
        ),
    ],
)
def test_a_directory_of_another_format_is_left_as_it_is(
    tmp_path: Path, found: int, said: str
) -> None:
    store = store_of(tmp_path, OWNER)
    store.load()
    store.close()
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    connection.executescript(f"UPDATE identity SET format = {found}")
    connection.close()
    was = (tmp_path / FILE_NAME).read_bytes()
    with pytest.raises(StorageFailed, match=rf"has format {found}, this release reads .*{said}"):
        store_of(tmp_path, OWNER).load()
    assert not list(tmp_path.glob("raft-void*"))
    assert (tmp_path / FILE_NAME).read_bytes() == was


@pytest.mark.parametrize(
    ("owner", "is_taken"),
    [
        (Owner(scope="s", name="N1"), True),
        (Owner(scope="s", name="n2"), False),
        (Owner(scope="other", name="n1"), False),
    ],
)
def test_the_directory_of_another_node_is_refused_and_left_as_it_is(
    tmp_path: Path, owner: Owner, is_taken: bool
) -> None:
    filled = store_of(tmp_path, OWNER)
    filled.load()
    filled.append(LogEntry(b"c1", 1, 1))
    filled.close()
    was = (tmp_path / FILE_NAME).read_bytes()
    store = store_of(tmp_path, owner)
    if is_taken:
        assert store.load().entries == (LogEntry(b"c1", 1, 1),)
        return
    with pytest.raises(StorageFailed, match=r"is the Raft directory of node 'n1' of cluster 's'"):
        store.load()
    assert (tmp_path / FILE_NAME).read_bytes() == was
    assert not list(tmp_path.glob("raft-void*"))


def test_a_directory_without_a_promise_follows_a_correction_of_the_name(tmp_path: Path) -> None:
    """The node was given a wrong name, and refused for it; it is another one to everybody now."""
    misnamed = store_of(tmp_path, OWNER, "first")
    misnamed.load()
    misnamed.append(LogEntry(b"\x01", 1, 0))
    misnamed.close()

    corrected = store_of(tmp_path, Owner(scope="s", name="n2"), "second")
    assert corrected.load().incarnation == "second"
    corrected.close()

    again = store_of(tmp_path, Owner(scope="s", name="n2"), "third")
    assert again.load().incarnation == "second"


@pytest.mark.parametrize(
    "promise",
    [
        lambda store: store.save_ballot(1, None),
        lambda store: store.save_standing(Standing(joining=True)),
    ],
)
def test_a_promise_binds_a_directory_to_its_name(
    tmp_path: Path, promise: Callable[[SqliteStore], None]
) -> None:
    store = store_of(tmp_path, OWNER)
    store.load()
    promise(store)
    store.close()
    with pytest.raises(StorageFailed, match="is the Raft directory of node"):
        store_of(tmp_path, Owner(scope="s", name="n2")).load()
