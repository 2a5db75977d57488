"""By which profile's timers this node takes part in the Raft group, from one start to the next.

They follow the cluster's settings as this node's own Raft directory holds them when it is opened.
So there is nothing beside it that could be lost, damaged or out of date by itself: a node that was
away for a change runs by the older settings until it is started again, and says so.
"""

from __future__ import annotations

import logging
from typing import Final

from raftha.config.dynamic import read_stored
from raftha.consensus.commands import NewerFormat, WireError
from raftha.consensus.remains import replay
from raftha.consensus.stable import Persisted
from raftha.ha.configuring import settings_in
from raftha.ha.keys import Keys
from raftha.logs import event
from raftha.model.cluster import Cluster
from raftha.model.ids import MemberName
from raftha.model.report import Level, Notice
from raftha.model.settings import TIMINGS, NodeConfig, Profile, RaftTimings
from raftha.model.trouble import Trouble

LOG = logging.getLogger(__name__)

PENDING: Final = "profile"
"""The shared setting that waits, as answers name it."""


class Timers:
    """`profile` is that of the node's file until `choose`, which is called once, at the start."""

    def __init__(self, config: NodeConfig) -> None:
        self._key = Keys(config.scope).config
        self.profile: Profile = config.bootstrap.dynamic.profile

    def choose(self, persisted: Persisted) -> RaftTimings:
        """The timers for a Raft directory with this content. What cannot be read costs the timers
        of the file, and a warning: no set of timers is unsafe beside another."""
        try:
            self._follow(persisted)
        except (WireError, NewerFormat, ValueError) as error:
            event(LOG, logging.WARNING, "Raft timers by the file", why=str(error))
        event(LOG, logging.INFO, "Raft timers", profile=self.profile)
        return TIMINGS[self.profile]

    def behind(self, name: MemberName, cluster: Cluster) -> tuple[Notice, ...]:
        """What is to be said where the cluster's settings ask for others than run here."""
        wanted = cluster.config.profile
        if cluster.config_revision is None or wanted is self.profile:
            return ()
        return (
            Notice(
                code=Trouble.AGENT_RESTART_PENDING,
                subject=name,
                what=f"its Raft timers are those of profile {self.profile}; those of {wanted}, the "
                "profile of the cluster's settings, wait for the next start of its agent",
                remedy=f"restart the agent of {name}: systemctl restart raftha",
                level=Level.WARNING,
            ),
        )

    def _follow(self, persisted: Persisted) -> None:
        machine, _ = replay(persisted)
        entry = machine.entries.get(self._key)
        if entry is None:
            return
        config, strange = read_stored(settings_in(entry), self._key)
        for problem in strange:
            event(LOG, logging.WARNING, "setting not understood", why=str(problem))
        self.profile = config.profile
