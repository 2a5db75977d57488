"""A watch sees every change in order, or is told that it cannot."""

from __future__ import annotations

import pytest

from raftha.consensus.watch import WatchHub
from raftha.errors import Compacted
from raftha.model.ids import Revision
from raftha.model.store import Changed, Entry, Key


def change(revision: int, key: str = "k") -> Changed:
    number = Revision(revision)
    entry = Entry(key=Key(key), value=b"", create_revision=number, mod_revision=number)
    return Changed(number, entry)


def add(hub: WatchHub, *events: Changed) -> None:
    hub.add(events, events[-1].revision)


def test_events_come_once_and_in_order() -> None:
    hub, woken = WatchHub(), []
    watch = hub.open("", lambda: woken.append(1), None)
    add(hub, change(1), change(2))
    add(hub, change(3))
    assert [event.revision for event in watch.poll()] == [1, 2, 3]
    assert watch.poll() == ()
    assert len(woken) == 2


def test_only_the_prefix_is_seen_and_wakes() -> None:
    hub, woken = WatchHub(), []
    watch = hub.open("members/", lambda: woken.append(1), None)
    add(hub, change(1, "leader"))
    assert woken == []
    add(hub, change(2, "members/n1"))
    assert [event.revision for event in watch.poll()] == [2]
    assert woken == [1]


def test_a_watch_can_begin_in_the_past_or_now() -> None:
    hub = WatchHub()
    add(hub, change(1), change(2), change(3))
    past = hub.open("", lambda: None, Revision(1))
    assert [event.revision for event in past.poll()] == [2, 3]
    assert hub.open("", lambda: None, None).poll() == ()


def test_a_gap_is_an_error_and_never_silent() -> None:
    hub = WatchHub(kept=2)
    watch = hub.open("", lambda: None, None)
    add(hub, change(1), change(2), change(3))
    with pytest.raises(Compacted, match="read the store again"):
        watch.poll()
    assert len(hub.open("", lambda: None, Revision(1)).poll()) == 2


def test_events_of_one_revision_are_kept_or_dropped_together() -> None:
    hub = WatchHub(kept=2)
    add(hub, change(1, "a"), change(1, "b"), change(2))
    with pytest.raises(Compacted):
        hub.open("", lambda: None, Revision(0)).poll()
    assert len(hub.open("", lambda: None, Revision(1)).poll()) == 1


def test_a_snapshot_breaks_the_history() -> None:
    hub, woken = WatchHub(), []
    add(hub, change(1))
    watch = hub.open("", lambda: woken.append(1), None)
    hub.restart(Revision(9))
    assert woken == [1]
    with pytest.raises(Compacted):
        watch.poll()
    assert hub.open("", lambda: None, None).poll() == ()


def test_a_closed_watch_is_not_woken() -> None:
    hub, woken = WatchHub(), []
    watch = hub.open("", lambda: woken.append(1), None)
    watch.close()
    watch.close()
    add(hub, change(1))
    assert woken == []


def test_a_change_of_the_group_itself_wakes_everybody_and_is_no_event() -> None:
    hub, woken = WatchHub(), []
    watch = hub.open("members/", lambda: woken.append(1), None)
    hub.stir()
    assert woken == [1]
    assert watch.poll() == ()
