"""`POST /pause` and `POST /resume`: begin and end the maintenance pause.

The answer comes once it is written. What each member makes of it shows in `/cluster`.
"""

from __future__ import annotations

from typing import Final

import msgspec

from raftha.api.outcome import answer
from raftha.api.reply import Reply, refusal
from raftha.api.responder import PauseChanges

PATHS: Final = {"/pause": True, "/resume": False}


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    """Nothing can be said so far; what is said is refused rather than passed over."""


BODY: Final = _Body
_BODY: Final = msgspec.json.Decoder(_Body)


def perform(path: str, body: bytes, pauses: PauseChanges) -> Reply:
    """Answer a POST. 200 done, 400 bad request, 412 refused, 503 outcome not known."""
    try:
        _BODY.decode(body or b"{}")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return refusal(400, f"the body is not a request: {error}")
    return answer(pauses.change(paused=PATHS[path]))
