"""`GET /store`: the keys of the store, or what changed after a revision. For people who debug.

It asks for what a change asks for, though it changes nothing: a linearizable read costs every voter
a log entry, and what a later release stores may be less harmless than what this one does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from raftha.api import codec
from raftha.api.reply import Reply, refusal
from raftha.api.responder import StoreReader
from raftha.errors import Compacted

_PARAMETERS: Final = ("prefix", "local", "after")
_TRUE: Final = ("", "1", "true", "yes")
_MAX_DIGITS: Final = 18


def answer(query: Mapping[str, str], reader: StoreReader) -> Reply:
    """200 with the keys, or with the events after `after`; 400 for a question that cannot be read,
    410 where the events are not kept any more. May raise what the reader raises."""
    unknown = [name for name in query if name not in _PARAMETERS]
    if unknown:
        return refusal(400, f"{unknown[0]} is not known here; there are: {', '.join(_PARAMETERS)}")
    prefix, after = query.get("prefix", ""), query.get("after")
    if after is None:
        local = query.get("local", "no").lower() in _TRUE
        return Reply(status=200, body=codec.document(reader.read(prefix, local=local)))
    if not after.isascii() or not after.isdecimal() or len(after) > _MAX_DIGITS:
        return refusal(400, f"after={after}: use the number of a revision")
    try:
        events = reader.events(prefix, int(after))
    except Compacted as error:
        return refusal(410, str(error))
    return Reply(status=200, body={**codec.document(events), "age_seconds": 0.0})
