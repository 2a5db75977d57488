"""Who changes voters on a node, for the tests of HTTP and of the CLI: answers what it was told."""

from __future__ import annotations

from collections.abc import Callable

from raftha.model.membership import MemberVerb
from raftha.model.operation import OperationState
from raftha.model.report import MemberChange, MemberChangeRequest, PauseChange
from raftha.model.restarting import ServerChange, ServerRequest, WishKind


def change(
    state: OperationState = OperationState.RUNNING, message: str = "add n4: asked for"
) -> MemberChange:
    return MemberChange(
        id="c-1",
        verb=MemberVerb.ADD,
        name="n4",
        address="10.0.0.4:2380",
        state=state,
        message=message,
    )


class FakeChanges:
    """`progress` is what `latest` says, one call after another, the last for ever; `asked` keeps
    what was asked for, `judged` what was to be judged alone. It knows of one name only."""

    def __init__(self) -> None:
        self.accepted = change()
        self.progress: list[MemberChange | None] = [None]
        self.asked: list[MemberChangeRequest] = []
        self.judged: list[MemberChangeRequest] = []
        self.judgement = change(OperationState.DONE, "it would be asked for")

    def ask(self, asked: MemberChangeRequest) -> MemberChange:
        if asked.dry_run:
            self.judged.append(asked)
            return self.judgement
        self.asked.append(asked)
        return self.accepted

    def latest(self, name: str) -> MemberChange | None:
        if name != self.accepted.name:
            return None
        return self.progress.pop(0) if len(self.progress) > 1 else self.progress[0]


class FakePauses:
    """Who begins and ends a pause on a node; `asked` keeps what was asked for."""

    def __init__(self) -> None:
        self.answer = PauseChange(
            paused=True, state=OperationState.DONE, message="the cluster is paused"
        )
        self.asked: list[bool] = []

    def change(self, *, paused: bool) -> PauseChange:
        self.asked.append(paused)
        return self.answer


class FakeWishes:
    """Who has a server restarted; `asked` keeps what was asked for, `happens` is called then.
    `answers` is what is said at once, `end` what is said afterwards."""

    def __init__(self) -> None:
        self.answers = ServerChange(
            id="w-1",
            kind=WishKind.RESTART,
            state=OperationState.RUNNING,
            message="restart asked for",
        )
        self.end = ServerChange(
            id="w-1", kind=WishKind.RESTART, state=OperationState.DONE, message="n1 is restarted"
        )
        self.asked: list[ServerRequest] = []
        self.happens: Callable[[ServerRequest], object] = lambda _asked: None

    def ask(self, asked: ServerRequest) -> ServerChange:
        self.asked.append(asked)
        if self.answers.state is OperationState.RUNNING:
            self.happens(asked)
        return self.answers

    def latest(self) -> ServerChange | None:
        return self.end
