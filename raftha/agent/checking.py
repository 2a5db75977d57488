"""What a member has against a change of PostgreSQL's settings: by its own rules, and by asking the
PostgreSQL that is installed here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from raftha.config.proposal import PARAMETERS, Proposal
from raftha.errors import PostgresError, Problem
from raftha.instants import Seconds
from raftha.pg import conf, hba
from raftha.pg.instance import Instance

TIMEOUT: Final = Seconds(2.0)
"""For one parameter; it takes 20 ms."""


class Checking:
    """Called from the threads of the API."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance

    def check(self, proposal: Proposal) -> tuple[Problem, ...]:
        """Raises PostgresError or ConfigError if PostgreSQL cannot be asked."""
        shared = proposal.config.postgresql
        problems = list(conf.forbidden(proposal.parameters))
        problems += conf.contradictions(shared.parameters)
        if proposal.touches("postgresql.pg_hba"):
            problems += (*hba.problems(shared.pg_hba), *hba.unreadable(shared.pg_hba))
        if proposal.touches("postgresql.pg_ident"):
            problems += hba.unreadable_map(shared.pg_ident)
        forbidden = {problem.where for problem in problems}
        asked = {
            name: value
            for name, value in proposal.parameters.items()
            if f"{PARAMETERS}.{name}" not in forbidden
        }
        if asked:
            problems += self._instance.refused_parameters(asked, TIMEOUT)
            problems += self._instance.missing_libraries(asked, TIMEOUT)
        return tuple(problems)

    def unable(self, parameters: Mapping[str, str]) -> str | None:
        """Why a server with these parameters would not start here; None if nothing is known."""
        try:
            return (
                "; ".join(map(str, self._instance.missing_libraries(parameters, TIMEOUT))) or None
            )
        except PostgresError:
            return None
