"""Which guardians were here before this one, beside the socket and outside the data directory.

They are all dead, for whoever holds the lock is the only one. A key that was won with one of them
was won on this host, for this directory: whoever has proved that nothing of the server is left here
may speak for it. A node of the same name on another machine knows nothing of that guardian, which
may live on there with its server.
"""

from __future__ import annotations

import json

from raftha.guardian import ledger
from raftha.guardian.typed import Final

KEPT: Final = 16
"""How many are remembered. A key outlives its guardian by a lease, in which few can come and go."""

Entry = tuple[str, str]
"""(nonce, resolved data directory) of one guardian."""


def load(path: str) -> tuple[Entry, ...]:
    """The guardians that were here, the last one last; none if it is not known."""
    try:
        with open(path, encoding="utf-8") as file:
            return tuple(
                (str(nonce), str(pgdata)) for nonce, pgdata in json.load(file)["guardians"]
            )
    except (OSError, ValueError, KeyError, TypeError):
        return ()  # nothing is proved then, and the lease of such a key lapses


def enter(path: str, nonce: str, pgdata: str) -> tuple[str, ...]:
    """Add a guardian that holds the lock; the nonces of those before it that guarded the same
    directory. Raises OSError; then the next one will not know of this."""
    known = load(path)
    ledger.replace(path, {"guardians": (*known, (nonce, pgdata))[-KEPT:]})
    return tuple(before for before, directory in known if directory == pgdata)
