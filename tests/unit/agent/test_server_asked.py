"""A restart that is asked of a member: what its agent looks at before the server is stopped."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any, cast

from msgspec.structs import replace

from raftha.agent.board import Board
from raftha.agent.wishes import ServerWishes
from raftha.model.operation import OperationState
from raftha.model.restarting import ServerRequest, WishKind
from raftha.model.settings import DynamicPostgres
from tests.unit.ha import builders as b
from tests.unit.ha import servers as pg

RESTART = ServerRequest(kind=WishKind.RESTART)


def asked(request: ServerRequest, lacks: str | None) -> tuple[OperationState, str, Board]:
    board = Board(config=cast(Any, None), postgres=cast(Any, None), last_tick=pg.T0)
    shared = DynamicPostgres(parameters={"shared_preload_libraries": "x", "work_mem": "4MB"})
    view = b.following(me=b.identity(parameters={"work_mem": "8MB"}))
    config = replace(view.cluster.config, postgresql=shared)
    view = replace(view, cluster=b.with_config(view.cluster, config))

    def unable(parameters: Mapping[str, str]) -> str | None:
        assert parameters == {"shared_preload_libraries": "x", "work_mem": "8MB"}
        return lacks

    wishes = ServerWishes(
        board=board,
        clock=pg.FakeClock(),
        situation=lambda: b.situation(view),
        unable=unable,
        random=Random(1),
    )
    told = wishes.ask(request)
    return told.state, told.message, board


def test_a_server_that_would_not_come_back_is_not_stopped() -> None:
    state, message, board = asked(RESTART, "x is not in /lib")
    assert (state, message, board.wish) == (OperationState.REFUSED, "x is not in /lib", None)


def test_one_that_lacks_nothing_is() -> None:
    state, _, board = asked(RESTART, None)
    assert state is OperationState.RUNNING
    assert board.wish is not None


def test_a_dry_run_is_judged_alike_and_leaves_nothing() -> None:
    state, message, board = asked(replace(RESTART, dry_run=True), None)
    assert (state, message, board.wish) == (OperationState.DONE, "n1 would do it now", None)
    assert asked(replace(RESTART, dry_run=True), "lacks")[0] is OperationState.REFUSED
