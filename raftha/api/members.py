"""`POST /members`: take in an operator's wish about who votes, and wait for its outcome.

As with other operations, what was handed over is never repeated here.
"""

from __future__ import annotations

from threading import Event
from typing import Final

import msgspec

from raftha.api import codec
from raftha.api.operations import STATUS, WAIT_S
from raftha.api.reply import Reply, refusal
from raftha.api.responder import MemberChanges
from raftha.clock import Clock
from raftha.config.values import Invalid, parse_address
from raftha.instants import remaining
from raftha.model.membership import MemberVerb
from raftha.model.report import MemberChange, MemberChangeRequest, OperationState

PATH: Final = "/members"
_POLL_S: Final = 0.1


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    verb: MemberVerb
    name: str
    address: str | None = None
    wait: bool = True


_BODY: Final = msgspec.json.Decoder(_Body)


def perform(body: bytes, changes: MemberChanges, clock: Clock, stopping: Event) -> Reply:
    """Answer a POST. 200 done, 202 accepted, 400 bad request, 412 refused, 503 outcome not known.
    `stopping` ends the wait."""
    try:
        asked = _BODY.decode(body)
        address = None if asked.address is None else str(parse_address(asked.address))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return refusal(400, f"the body is not a request: {error}")
    except Invalid as error:
        return refusal(400, f"the address {error.what}: {error.remedy}")
    if not asked.name.strip():
        return refusal(400, "name the member")
    change = changes.ask(
        MemberChangeRequest(verb=asked.verb, name=asked.name.strip(), address=address)
    )
    if asked.wait and change.state is OperationState.RUNNING:
        change = _outcome(change, changes, clock, stopping)
    return Reply(status=STATUS[change.state], body={**codec.document(change), "age_seconds": 0.0})


def _outcome(
    accepted: MemberChange, changes: MemberChanges, clock: Clock, stopping: Event
) -> MemberChange:
    """The change's last word; the newest known if the wait ends first."""
    deadline = clock.now().plus(WAIT_S)
    newest = accepted
    while newest.state is OperationState.RUNNING and remaining(deadline, clock.now()) > 0:
        if stopping.wait(_POLL_S):
            break
        found = changes.latest(accepted.name)
        if found is not None and found.id == accepted.id:
            newest = found
    return newest
