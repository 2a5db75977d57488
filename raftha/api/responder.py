"""What the HTTP layer needs of the agent behind it: one Protocol, six questions."""

from __future__ import annotations

from typing import Protocol

from raftha.model.report import (
    ClusterReport,
    NodeReport,
    OperationReport,
    OperationRequest,
    PeerReport,
)


class Responder(Protocol):
    """Answers for the node. Every method is called from several threads at once.

    An answer that cannot be given raises a RafthaError, which the asker sees as 503 with its text.
    """

    def node(self) -> NodeReport:
        """The report of the last tick; never blocks."""

    def peer(self) -> PeerReport | None:
        """This member measured now, in up to a second; None on a witness."""

    def cluster(self) -> ClusterReport:
        """The whole cluster; asks the other members, in about a second."""

    def operate(self, request: OperationRequest) -> OperationReport:
        """Commit an operator's request. RUNNING means accepted; blocks a few seconds at most."""

    def operation(self) -> OperationReport | None:
        """The latest operator's request, and how far it has come."""
