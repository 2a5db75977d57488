"""`POST /stop` and `POST /start`: PostgreSQL of the whole cluster, stopped and started.

The answer comes once it is written. What each member makes of it shows in `/cluster`.
"""

from __future__ import annotations

from typing import Final

import msgspec

from raftha.api.outcome import STATUS
from raftha.api.reply import Reply, refusal
from raftha.api.responder import HaltChanges
from raftha.model.operation import OperationState

PATHS: Final = {"/stop": True, "/start": False}


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    """Nothing can be said so far; what is said is refused rather than passed over."""


BODY: Final = _Body
_BODY: Final = msgspec.json.Decoder(_Body)


def perform(path: str, body: bytes, halts: HaltChanges) -> Reply:
    """Answer a POST. 200 done, 400 bad request, 412 refused, 503 outcome not known."""
    try:
        _BODY.decode(body or b"{}")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return refusal(400, f"the body is not a request: {error}")
    told = halts.change(halts=PATHS[path])
    if told.state is not OperationState.DONE:
        return refusal(STATUS[told.state], told.message)
    return Reply(status=200, body={"message": told.message, "age_seconds": 0.0})
