"""Programs of the operator's that raftha runs when something happens to the server of a node."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct, field


class Callback(StrEnum):
    """What happened. The program of a callback is told that word, the role and the scope."""

    ON_START = "on_start"
    ON_STOP = "on_stop"
    ON_RESTART = "on_restart"
    ON_RELOAD = "on_reload"
    ON_ROLE_CHANGE = "on_role_change"


class Hooks(Struct, frozen=True, kw_only=True):
    """Each program is given by its words: itself, then its arguments; none where there is none.

    `callbacks` run after the fact, beside everything else. `before_stop` runs before a server is
    stopped in order, `pre_promote` before one is promoted, and may forbid it.
    """

    callbacks: Mapping[Callback, tuple[str, ...]] = field(default_factory=dict)
    before_stop: tuple[str, ...] = ()
    pre_promote: tuple[str, ...] = ()
