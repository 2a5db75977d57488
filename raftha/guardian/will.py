"""The receipt: what a guardian has told the others once it has nothing left to guard.

An agent that leads says beforehand which program tells the cluster, and whom. When the agent and
the primary are both gone and not a process of the instance is left, the lease protects nothing any
more, and the cluster need not wait for its end. The epoch is burned first, on the disk, so that no
primary is ever started here under it again; only then is the program run, with what was burned.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from raftha.guardian import launch
from raftha.guardian.protocol import EpochPair
from raftha.guardian.typed import NamedTuple


class Death(NamedTuple):
    """A primary that is gone: its epoch, and the revision of the renewal it lived by last."""

    epoch: EpochPair
    renewal: int


class Will:
    """Which program to run. `note` writes the guardian's log."""

    def __init__(
        self,
        nonce: str,
        note: Callable[[str], None],
        run: Callable[[launch.Order], int] = launch.launch,
    ) -> None:
        self._nonce = nonce
        self._note = note
        self._launch = run
        self._order: launch.Order | None = None

    @property
    def is_made(self) -> bool:
        """Whether there is anybody to be told."""
        return self._order is not None

    def make(self, order: launch.Order) -> None:
        """From now on it is this program."""
        self._order = order

    def carry_out(self, death: Death) -> int | None:
        """Run the program for a death that is burned durably. Its number; whoever called reaps it.
        It ends with this process."""
        if self._order is None:
            return None
        facts = {"epoch": death.epoch, "renewal": death.renewal, "guardian": self._nonce}
        words = json.dumps(facts)
        try:
            pid = self._launch(self._order._replace(argv=(*self._order.argv, words)))
        except (launch.LaunchFailed, OSError) as problem:
            self._note(f"no receipt can be sent: {problem}")
            return None
        self._note(f"the others are told by {pid}: {words}")
        return pid
