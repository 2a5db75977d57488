"""Slots of servers, and settings of slots, as they come into the views."""

from __future__ import annotations

from typing import Any, Final

from hypothesis import strategies as st

from raftha.instants import Seconds
from raftha.model.postgres import SlotState
from raftha.model.settings import PermanentSlot, SlotMatcher
from tests.unit.ha.servers import lsn

PERMANENT: Final = PermanentSlot(name="backup")
LOGICAL: Final = PermanentSlot(name="sub", plugin="pgoutput", database="app")
SETTINGS: Final[dict[str, st.SearchStrategy[Any]]] = {
    "member_slots_ttl": st.sampled_from([Seconds(0.0), Seconds(1800.0)]),
    "slots": st.sampled_from([(), (PERMANENT,), (PERMANENT, LOGICAL)]),
    "ignore_slots": st.sampled_from([(), (SlotMatcher(name="sub"),)]),
}
PLACES: Final = st.none() | st.integers(4000, 6000).map(lsn)
AGES: Final = st.none() | st.integers(0, 2**31 - 1)
STATES: Final = st.lists(
    st.builds(
        SlotState,
        name=st.sampled_from(["n1", "n2", "n3", "backup", "sub", "other"]),
        position=PLACES,
        plugin=st.sampled_from(["", "pgoutput"]),
        active=st.booleans(),
        lost=st.booleans(),
        xmin_age=AGES,
        catalog_xmin=st.none() | st.integers(3, 2**32 - 1),
        catalog_xmin_age=AGES,
        failover=st.booleans(),
        synced=st.booleans(),
    ),
    max_size=3,
    unique_by=lambda slot: slot.name,
).map(tuple)
OF_A_SERVER: Final[dict[str, st.SearchStrategy[Any]]] = {
    "version": st.sampled_from([150018, 180004]),
    "wal_level": st.sampled_from(["replica", "logical"]),
    "redo": PLACES,
    "slot_states": STATES,
}
