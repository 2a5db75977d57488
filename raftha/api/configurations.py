"""`/config`: GET tells the settings that the members share, PATCH and PUT change them.

The body of an answer is the settings as they were given, as in Patroni; their revision is the
`ETag`. A change with `If-Match` is made to the settings of that revision or not at all.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from raftha.api.reply import Reply, refusal
from raftha.api.responder import Configurations
from raftha.model.configuring import ConfigAnswer, ConfigChange, ConfigState

PATH: Final = "/config"
REPLACES: Final = {"PATCH": False, "PUT": True}

_BODY: Final = msgspec.json.Decoder(dict[str, Any])
_STATUS: Final = {
    ConfigState.INVALID: 400,
    ConfigState.CONFLICT: 409,
    ConfigState.TOO_LARGE: 413,
    ConfigState.ABSENT: 503,
    ConfigState.UNAVAILABLE: 503,
    ConfigState.UNKNOWN: 503,
}


def read(configurations: Configurations) -> Reply:
    """Answer a GET. 200, or 502 where there are none, as Patroni answers."""
    answer = configurations.read()
    if answer.document is None:
        return refusal(502, answer.message)
    return _shown(answer)


def perform(
    method: str, body: bytes, if_match: str | None, configurations: Configurations
) -> Reply:
    """Answer a PATCH or PUT. 200 the new settings, 400 refused with all reasons, 409 others came
    first, 413 too large, 503 not possible now or outcome not known."""
    try:
        revision = _revision(if_match)
    except ValueError as error:
        return refusal(400, str(error))
    try:
        document = _BODY.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return refusal(400, f"the body must be a JSON object of settings: {error}")
    asked = ConfigChange(document=document, replaces=REPLACES[method], revision=revision)
    answer = configurations.change(asked)
    if answer.document is not None:
        return _shown(answer)
    words = f"outcome unknown: {answer.message}"
    return refusal(
        _STATUS[answer.state], words if answer.state is ConfigState.UNKNOWN else answer.message
    )


def etag(revision: int) -> str:
    """How a revision is written in `ETag` and `If-Match`."""
    return f'"{revision}"'


def _revision(if_match: str | None) -> int | None:
    """Raises ValueError for what no node has ever sent."""
    if if_match is None or if_match.strip() == "*":
        return None
    text = if_match.strip()
    if len(text) > 22 or text[:1] != '"' or text[-1:] != '"' or not text[1:-1].isdecimal():
        raise ValueError(f"If-Match is no ETag of {PATH}, such as {etag(7)}, but {text[:22]!r}")
    return int(text[1:-1])


def _shown(answer: ConfigAnswer) -> Reply:
    assert answer.document is not None
    assert answer.revision is not None
    return Reply(status=200, body=dict(answer.document), headers=(("ETag", etag(answer.revision)),))
