"""`POST /pause`, `/resume`, `/stop` and `/start`: a state of the whole cluster, begun and ended.

The answer comes once it is written. What each member makes of it shows in `/cluster`.
"""

from __future__ import annotations

from typing import Final

import msgspec

from raftha.api.outcome import STATUS, answer
from raftha.api.reply import Reply, refusal
from raftha.api.responder import Responder
from raftha.model.operation import OperationState

_PAUSES: Final = {"/pause": True, "/resume": False}
_HALTS: Final = {"/stop": True, "/start": False}
PATHS: Final = (*_PAUSES, *_HALTS)


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    """Nothing can be said so far; what is said is refused rather than passed over."""


BODY: Final = _Body
_BODY: Final = msgspec.json.Decoder(_Body)


def perform(path: str, body: bytes, responder: Responder) -> Reply:
    """Answer a POST. 200 done, 400 bad request, 412 refused, 503 outcome not known."""
    try:
        _BODY.decode(body or b"{}")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return refusal(400, f"the body is not a request: {error}")
    if path in _PAUSES:
        return answer(responder.pauses.change(paused=_PAUSES[path]))
    told = responder.halts.change(halts=_HALTS[path])
    if told.state is not OperationState.DONE:
        return refusal(STATUS[told.state], told.message)
    return Reply(status=200, body={"message": told.message, "age_seconds": 0.0})
