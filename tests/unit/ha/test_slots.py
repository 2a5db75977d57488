"""The slots of a primary: which are missing, and which cannot keep WAL much longer."""

from __future__ import annotations

from msgspec.structs import replace

from raftha.ha.actions import EnsureSlots
from raftha.ha.explain import problems
from raftha.ha.situation import Situation
from raftha.ha.slots import missing_slots
from raftha.model.postgres import ServerStatus, StrainedSlot
from raftha.model.report import Level
from raftha.model.settings import DynamicConfig, DynamicPostgres
from tests.unit.ha import builders as b
from tests.unit.ha import servers as pg

LOST = StrainedSlot(name="n3", kept_bytes=0, left_bytes=0)
NEAR = StrainedSlot(name="n3", kept_bytes=900 << 20, left_bytes=100 << 20)


def primary(*strained: StrainedSlot, slots: tuple[str, ...] = ("n2", "n3")) -> ServerStatus:
    return pg.primary(slots=slots, strained_slots=strained)


def situation(server: ServerStatus, config: DynamicConfig | None = None) -> Situation:
    cluster = b.cluster() if config is None else b.cluster(config=config)
    return b.situation(b.view(cluster=cluster, server=server))


def test_a_slot_that_lost_its_wal_is_made_anew() -> None:
    decision = b.decided(b.view(server=primary(LOST)))
    assert EnsureSlots(("n3",)) in decision.actions


def test_a_slot_near_its_limit_is_left_in_peace() -> None:
    server = primary(NEAR)
    assert missing_slots(situation(server), server) == ()


def test_without_use_slots_none_is_missing() -> None:
    config = replace(b.ON, postgresql=DynamicPostgres(use_slots=False))
    server = primary(slots=())
    assert missing_slots(situation(server, config), server) == ()


def test_a_slot_near_its_limit_is_told_with_whose_it_is_and_what_to_do() -> None:
    (notice,) = problems(situation(primary(NEAR)))
    assert notice.level is Level.WARNING
    assert notice.what == "the slot n3 of n3 keeps 900 MiB of WAL and loses it after 100 MiB more"
    assert "max_slot_wal_keep_size" in notice.remedy


def test_the_slot_of_no_member_is_told_too() -> None:
    (notice,) = problems(situation(primary(StrainedSlot(name="x", kept_bytes=0, left_bytes=0))))
    assert notice.what == "the slot x has lost the WAL that it kept"
