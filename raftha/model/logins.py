"""How the three users of PostgreSQL log in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct, field

TLS_MODES: Final = ("require", "verify-ca", "verify-full")
"""The values of `sslmode` with which libpq never does without TLS."""


class Secret:
    """A password or key that shows itself only when asked: never in logs, reprs or errors."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


class Credentials(Struct, frozen=True, kw_only=True):
    """How a user of PostgreSQL logs in: `options` are connection parameters of libpq by name, none
    of them secret; `key_password` opens the key among them."""

    username: str
    password: Secret | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    key_password: Secret | None = None

    @property
    def needs_tls(self) -> bool:
        """It connects with TLS or not at all."""
        return self.options.get("sslmode") in TLS_MODES

    @property
    def has_only_certificate(self) -> bool:
        """Nothing but a certificate says who it is."""
        return self.password is None and "sslcert" in self.options

    @property
    def uses_gss(self) -> bool:
        """It may be known by a ticket of Kerberos alone."""
        modes = ("prefer", "require")
        by_ticket = self.options.get("gssencmode") in modes or "krbsrvname" in self.options
        return self.password is None and "sslcert" not in self.options and by_ticket


class Authentication(Struct, frozen=True, kw_only=True):
    """`postgresql.authentication`: the three roles that the agent makes and uses."""

    superuser: Credentials
    replication: Credentials
    rewind: Credentials

    @property
    def users(self) -> tuple[Credentials, Credentials, Credentials]:
        """All of them; the last two may be the first again."""
        return self.superuser, self.replication, self.rewind
