"""Views of a maintenance pause: n1 leads in one, or is without a lease, or follows."""

from __future__ import annotations

from typing import Any, Final

from msgspec.structs import replace

from raftha.model.cluster import Cluster, Disarmed
from raftha.model.ids import MemberName, Revision
from raftha.model.view import View
from tests.unit.ha import builders as b
from tests.unit.ha import servers as pg
from tests.unit.ha.builders import KEYS
from tests.unit.ha.servers import EPOCH, N1, N2

PAUSE: Final = replace(b.ON, pause=True)
ARMED: Final = pg.guardian(armed=True)
DISARMED: Final = pg.guardian(disarmed=True)
OWN_KEY: Final = KEYS.disarmed_of(N1)


def entry(name: MemberName = N1, **more: Any) -> Disarmed:
    given: dict[str, Any] = {
        "name": name,
        "revision": Revision(57),
        "epoch": EPOCH,
        "guardian": f"guardian-{name}",
        "process": "77@1",
        "incarnation": f"directory-{name}",
    }
    return Disarmed(**{**given, **more})


def with_entry(cluster: Cluster, *entries: Disarmed, paused: bool = True) -> Cluster:
    config = PAUSE if paused else b.ON
    return replace(cluster, config=config, disarmed={e.name: e for e in entries})


def leading(*entries: Disarmed, paused: bool = True, **more: Any) -> View:
    """n1 leads, paused unless told otherwise; its guardian has a deadline."""
    given: dict[str, Any] = {
        "cluster": with_entry(b.cluster(), *entries, paused=paused),
        "guardian": ARMED,
    }
    return b.view(**{**given, **more})


def alone(*entries: Disarmed, paused: bool = True, **more: Any) -> View:
    """The primary of n1 runs without a deadline and without a lease; nobody holds the key."""
    given: dict[str, Any] = {
        "cluster": with_entry(b.vacant(), *entries, paused=paused),
        "guardian": DISARMED,
        "lease": None,
    }
    return b.view(**{**given, **more})


def others(*entries: Disarmed, paused: bool = False, **more: Any) -> View:
    """n1 is a standby, the key of n2 has lapsed."""
    cluster = with_entry(b.followed(leader=None), *entries, paused=paused)
    return b.racing(cluster=replace(cluster, **more))


IN_A_PAUSE: Final = (
    leading(),
    leading(entry()),
    leading(entry(), paused=False, guardian=DISARMED, lease=b.lease(armed=False)),
    leading(entry(), paused=False),
    leading(entry(), guardian=pg.IDLE_GUARDIAN, server=None),
    leading(entry(), guardian=DISARMED, lease=b.lease(armed=False), stopping=True),
    alone(entry()),
    alone(entry(), paused=False),
    alone(caught_up=False),
    others(entry(N2)),
    others(paused=True),
)
"""Each way in which a pause, or what it has left, can look like."""
