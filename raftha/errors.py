"""Errors of the product. Each message says what failed, which thing, and what to do about it.

The three store errors say whether the command happened: no, no, maybe. An `OutcomeUnknown` is never
turned into success or failure by a guess: read the store, then decide.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct


class RafthaError(Exception):
    """The root of every error that the product raises on purpose."""


class Problem(Struct, frozen=True):
    """One mistake in an input: where it is, what is wrong, what to do."""

    where: str
    what: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" + (f" ({self.remedy})" if self.remedy else "")


class ConfigError(RafthaError):
    """A configuration was refused; it carries every problem found, not only the first."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


class StoreError(RafthaError):
    """A command to the key store did not return a success."""


class CompareFailed(StoreError):
    """It did not happen: a guard of the command did not hold."""


class StoreUnavailable(StoreError):
    """It did not happen: no majority could be reached, or the command was never sent."""


class OutcomeUnknown(StoreError):
    """It may have happened, or may still: the answer was lost."""


class Compacted(StoreError):
    """A watch asked for revisions that the store no longer keeps: read everything again."""


class StorageFailed(RafthaError):
    """The Raft directory cannot be read or written; the process must stop at once."""


class PostgresError(RafthaError):
    """PostgreSQL, or one of its programs, did not do what was asked."""


class PostgresUnavailable(PostgresError):
    """The server did not answer in time or refused the connection."""


class CommandFailed(PostgresError):
    """A program of PostgreSQL ended with an error; the message holds its last lines."""


class GuardianError(RafthaError):
    """The guardian could not be reached or refused."""


class GuardianGone(GuardianError):
    """The guardian process is not there, or no longer answers."""


class GuardianRefused(GuardianError):
    """The guardian refused an act because the proof for it (epoch, deadline) is missing."""
