"""Makes the three roles that raftha uses, and nothing if they are as they should be.

A password leaves this process only as its SCRAM verifier, so no log of the server can hold it.
"""

from __future__ import annotations

from msgspec import Struct

from raftha.model.settings import Authentication, Secret
from raftha.pg import queries, scram
from raftha.pg.session import Session


class _Wanted(Struct, frozen=True, kw_only=True):
    name: str
    password: Secret | None
    superuser: bool
    replication: bool


def create_roles(session: Session, authentication: Authentication, timeout: float) -> bool:
    """Create or repair the roles; whether anything was written. `timeout` is for each statement.

    Raises PostgresError, also on a standby, where nothing can be written.
    """
    changed = False
    for role in _wanted(authentication):
        changed |= _ensure(session, role, timeout)
    return _ensure_rewind_rights(session, authentication.rewind.username, timeout) or changed


def _wanted(authentication: Authentication) -> tuple[_Wanted, ...]:
    """One entry for each name: two duties may share a role."""
    superuser, replication, rewind = (
        authentication.superuser,
        authentication.replication,
        authentication.rewind,
    )
    by_name = {who.username: who for who in (rewind, replication, superuser)}
    return tuple(
        _Wanted(
            name=name,
            password=who.password,
            superuser=name == superuser.username,
            replication=name == replication.username,
        )
        for name, who in by_name.items()
    )


def _ensure(session: Session, role: _Wanted, timeout: float) -> bool:
    rows = session.query(queries.ROLE, (role.name,), timeout)
    is_super, replicates, may_login, verifier = rows[0] if rows else (False, False, False, None)
    password_fits = role.password is None or scram.matches(verifier, role.password.reveal())
    rights_fit = is_super or (not role.superuser and (replicates or not role.replication))
    if may_login and rights_fit and password_fits:
        return False
    verb = "ALTER" if rows else "CREATE"
    options = ["LOGIN"]
    options += ["SUPERUSER"] if role.superuser else []
    options += ["REPLICATION"] if role.replication else []
    statement = f"{verb} ROLE {queries.identifier(role.name)} WITH {' '.join(options)}"
    values: tuple[str, ...] = ()
    if role.password is not None and not password_fits:
        statement += " PASSWORD %s"
        values = (session.encrypted(role.name, role.password.reveal(), timeout),)
    session.query(statement if values else statement.replace("%%", "%"), values, timeout)
    return True


def _ensure_rewind_rights(session: Session, role: str, timeout: float) -> bool:
    changed = False
    for function in queries.REWIND_FUNCTIONS:
        (allowed,) = session.query(queries.MAY_EXECUTE, (role, function), timeout)[0]
        if not allowed:
            statement = queries.grant_execute(function, role)
            session.query(statement.replace("%%", "%"), (), timeout)
            changed = True
    return changed
