"""What the HTTP layer needs of the agent behind it: eight Protocols, a few questions."""

from __future__ import annotations

from typing import Protocol

from raftha.model.configuring import ConfigAnswer, ConfigChange
from raftha.model.finding import Examination
from raftha.model.happening import Chapter
from raftha.model.ids import MemberName
from raftha.model.operation import Outcome
from raftha.model.report import (
    ClusterReport,
    MemberChange,
    MemberChangeRequest,
    NodeReport,
    OperationReport,
    OperationRequest,
    PauseChange,
    PeerReport,
    Reloaded,
)
from raftha.model.restarting import ServerChange, ServerRequest
from raftha.model.scheduling import ScheduleAnswer, ScheduledRestart
from raftha.model.stored import StoreEvents, StoreReport


class StoreReader(Protocol):
    """Shows the key store. Called from several threads at once; errors as for Responder."""

    def read(self, prefix: str, *, local: bool) -> StoreReport:
        """The keys that begin with this: of the node's own replica at once, or linearizable."""

    def events(self, prefix: str, after: int) -> StoreEvents:
        """What changed after a revision. Raises Compacted if that is not kept any more."""


class MemberChanges(Protocol):
    """Changes who votes. Called from several threads at once; errors as for Responder."""

    def ask(self, asked: MemberChangeRequest) -> MemberChange:
        """Commit an operator's wish. RUNNING means accepted; blocks a few seconds at most."""

    def latest(self, name: str) -> MemberChange | None:
        """The last wish for a name, and how far it has come; never blocks."""


class PauseChanges(Protocol):
    """Begins and ends the maintenance pause. Called from several threads at once."""

    def change(self, *, paused: bool) -> PauseChange:
        """Commit the operator's word; blocks a few seconds at most."""


class HaltChanges(Protocol):
    """Stops and starts the whole cluster. Called from several threads at once."""

    def change(self, *, halts: bool) -> Outcome:
        """Commit the operator's word; blocks a few seconds at most."""


class Configurations(Protocol):
    """The shared settings. Called from several threads at once."""

    def read(self) -> ConfigAnswer:
        """As this node's replica holds them; never blocks."""

    def change(self, asked: ConfigChange) -> ConfigAnswer:
        """Check and write a change; blocks a few seconds at most."""


class ServerWishes(Protocol):
    """What is asked of this member's server. Called from several threads at once."""

    def ask(self, asked: ServerRequest) -> ServerChange:
        """Take a wish; RUNNING means accepted. Blocks a few seconds at most."""

    def latest(self) -> ServerChange | None:
        """The latest wish, and how far it has come; never blocks."""


class Schedules(Protocol):
    """What is to be done at a time of day. Called from several threads at once; each blocks a few
    seconds at most."""

    @property
    def me(self) -> MemberName:
        """The node that is asked."""

    def switchover(
        self, due: float, leader: MemberName, candidate: MemberName | None
    ) -> ScheduleAnswer:
        """Schedule a switchover; `due` is Unix time."""

    def restart(self, plan: ScheduledRestart) -> ScheduleAnswer:
        """Schedule the restart of the server of this node."""

    def cancel_switchover(self) -> ScheduleAnswer:
        """Take the switchover off the schedule."""

    def cancel_restart(self, name: MemberName) -> ScheduleAnswer:
        """Take the restart of a member off the schedule."""


class Responder(Protocol):
    """Answers for the node. Every method is called from several threads at once.

    An answer that cannot be given raises a RafthaError, which the asker sees as 503 with its text.
    """

    def events(self, count: int) -> Chapter:
        """The last so many lines of what happened on this node; never blocks."""

    def asked(self, act: str, caller: str) -> None:
        """Keep for people that this act was asked for from there, and let in."""

    def declined(self, act: str, caller: str, status: int, why: str) -> None:
        """Keep that it came to nothing, or is not known to have come to anything."""

    def examine(self) -> Examination:
        """Measure this machine, and whom it reaches; a few seconds at most."""

    def hosts(self) -> tuple[str, ...]:
        """The hosts of the HTTP interface of every member and witness that is known."""

    @property
    def stored(self) -> StoreReader:
        """The key store as this node shows it."""

    @property
    def changes(self) -> MemberChanges:
        """Who changes the voters on this node."""

    @property
    def pauses(self) -> PauseChanges:
        """Who begins and ends the maintenance pause on this node."""

    @property
    def halts(self) -> HaltChanges:
        """Who stops and starts the cluster on this node."""

    @property
    def configurations(self) -> Configurations:
        """Who tells and changes the shared settings on this node."""

    @property
    def wishes(self) -> ServerWishes:
        """Who has the server of this node restarted or made anew. Raises RafthaError where there is
        none."""

    @property
    def schedules(self) -> Schedules:
        """Who schedules on this node."""

    def reload(self) -> Reloaded:
        """Read the file of this node again. Raises ConfigError or TlsError, and nothing has changed
        then."""

    def node(self) -> NodeReport:
        """The report of the last tick; never blocks."""

    def peer(self) -> PeerReport:
        """This node measured now, in up to a second."""

    def cluster(self) -> ClusterReport:
        """The whole cluster; asks the other members, in about a second."""

    def metrics(self) -> bytes:
        """Everything that is counted and measured, in Prometheus' text format; never blocks."""

    def operate(self, request: OperationRequest) -> OperationReport:
        """Commit an operator's request. RUNNING means accepted; blocks a few seconds at most."""

    def operation(self) -> OperationReport | None:
        """The latest operator's request, and how far it has come."""
