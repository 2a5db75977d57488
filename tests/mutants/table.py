"""All mutants, by the part of the product that they are of."""

from __future__ import annotations

from typing import Final

from tests.mutants import (
    agent,
    archives,
    backing_off,
    births,
    consensus_links,
    consensus_log,
    consensus_members,
    consensus_room,
    consensus_rounds,
    consensus_store,
    consensus_wishes,
    decisions,
    guardian,
    hooks,
    http,
    logins,
    methods,
    partings,
    pauses,
    pledges,
    postgresql,
    receipts,
    recovery,
    scheduled,
    settings,
    slots,
    streams,
    synchronous,
)
from tests.mutants.mutant import Mutant

AREAS: Final[dict[str, tuple[Mutant, ...]]] = {
    "consensus": (
        *consensus_log.MUTANTS,
        *consensus_members.MUTANTS,
        *consensus_rounds.MUTANTS,
        *consensus_wishes.MUTANTS,
        *consensus_store.MUTANTS,
        *consensus_links.MUTANTS,
        *consensus_room.MUTANTS,
    ),
    "guardian": (*guardian.MUTANTS, *receipts.MUTANTS),
    "decisions": (
        *decisions.MUTANTS,
        *synchronous.MUTANTS,
        *backing_off.MUTANTS,
        *partings.MUTANTS,
        *pauses.DECISIONS,
        *pledges.DECISIONS,
        *streams.DECISIONS,
        *births.MUTANTS,
        *scheduled.DECISIONS,
        *settings.DECISIONS,
        *slots.DECISIONS,
        *hooks.DECISIONS,
        *archives.DECISIONS,
        *methods.DECISIONS,
    ),
    "postgresql": (
        *postgresql.MUTANTS,
        *logins.MUTANTS,
        *settings.POSTGRESQL,
        *slots.FILES,
        *methods.FILES,
    ),
    "agent": (
        *agent.MUTANTS,
        *pauses.LEASE,
        *pledges.AGENT,
        *settings.AGENT,
        *http.MUTANTS,
        *hooks.AGENT,
        *archives.AGENT,
        *methods.AGENT,
    ),
    "recovery": (*recovery.MUTANTS, *pauses.RECOVERY),
}
MUTANTS: Final = tuple(mutant for mutants in AREAS.values() for mutant in mutants)
