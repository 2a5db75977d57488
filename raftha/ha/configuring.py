"""The key of the shared settings: read as a document, written by compare-and-set. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from raftha.ha.keys import FORMAT, Keys, encode
from raftha.model.store import Entry, KeyAt, Put, Transact

LONGEST_SETTINGS_BYTES: Final = 15 << 10
"""Of the document, which one value of the store must hold."""

_FORMAT_KEY: Final = "format_version"


def settings_in(entry: Entry) -> dict[str, Any]:
    """What somebody gave, without the number of the format. Raises ValueError for what this version
    cannot read."""
    try:
        document = msgspec.json.decode(entry.value, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from error
    if document.pop(_FORMAT_KEY, None) != FORMAT:
        raise ValueError("it has the format of another version")
    return document


def size(document: Mapping[str, Any]) -> int:
    """Bytes of the document in the store."""
    return len(encode(document))


def writing(keys: Keys, entry: Entry, document: Mapping[str, Any]) -> Transact:
    """The settings replaced by this document, if they are still those of `entry`."""
    guard = KeyAt(keys.config, entry.mod_revision)
    return Transact((guard,), (Put(keys.config, encode(document)),))
