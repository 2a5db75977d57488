"""`POST /members`: take in an operator's wish about who votes, and wait for its outcome.

As with other operations, what was handed over is never repeated here.
"""

from __future__ import annotations

from threading import Event
from typing import Final

import msgspec

from raftha.api.outcome import answer, wait_for_end
from raftha.api.reply import Reply, refusal
from raftha.api.responder import MemberChanges
from raftha.clock import Clock
from raftha.config.values import NAMES, Invalid, is_name, parse_address
from raftha.model.membership import MemberVerb
from raftha.model.report import MemberChangeRequest

PATH: Final = "/members"


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    verb: MemberVerb
    name: str
    address: str | None = None
    dry_run: bool = False
    wait: bool = True


BODY: Final = _Body
_BODY: Final = msgspec.json.Decoder(_Body)


def perform(body: bytes, changes: MemberChanges, clock: Clock, stopping: Event) -> Reply:
    """Answer a POST. 200 done, 202 accepted, 400 bad request, 412 refused, 503 outcome not known.
    `stopping` ends the wait."""
    try:
        asked = _BODY.decode(body)
        address = None if asked.address is None else str(parse_address(asked.address))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return refusal(400, f"the body is not a request: {error}{_choice(str(error))}")
    except Invalid as error:
        return refusal(400, f"the address {error.what}: {error.remedy}")
    if not asked.name.strip():
        return refusal(400, "name the member")
    if asked.verb is MemberVerb.ADD and not is_name(asked.name.strip()):
        return refusal(400, f"{asked.name!r} is no name of a node: {NAMES}")
    accepted = changes.ask(
        MemberChangeRequest(
            verb=asked.verb, name=asked.name.strip(), address=address, dry_run=asked.dry_run
        )
    )
    if not asked.wait:
        return answer(accepted)
    return answer(wait_for_end(accepted, lambda: changes.latest(accepted.name), clock, stopping))


def _choice(why: str) -> str:
    """What may stand there, where it is the verb that is wrong."""
    return f"; it is one of {', '.join(MemberVerb)}" if "$.verb" in why else ""
