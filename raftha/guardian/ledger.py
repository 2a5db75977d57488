"""The burned epochs on disk, beside the socket and outside the data directory.

An epoch that was fenced must stay dead if the guardian is restarted: whoever was told of the fence
may have promoted another server since.
"""

from __future__ import annotations

import json
import os

from raftha.guardian.protocol import EpochPair, Message


class LedgerDamaged(Exception):
    """The file cannot be trusted. Somebody must look: nothing is guessed from it."""


def load(path: str) -> tuple[EpochPair, ...]:
    """The burned epochs in ascending order; none if there is no file. Raises LedgerDamaged."""
    try:
        with open(path, encoding="ascii") as file:
            pairs = json.load(file)["burned"]
        return tuple(sorted((int(generation), int(revision)) for generation, revision in pairs))
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise LedgerDamaged(
            f"{path} does not list the fenced epochs ({problem}): move it away only if no other "
            "member was promoted since this one was last primary"
        ) from problem


def save(path: str, burned: tuple[EpochPair, ...]) -> None:
    """Write them down durably. Raises OSError."""
    replace(path, {"burned": burned})


def replace(path: str, content: Message) -> None:
    """Replace a file durably. Raises OSError."""
    temporary = path + ".tmp"
    with open(temporary, "w", encoding="ascii") as file:
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())
    os.rename(temporary, path)
    directory = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
