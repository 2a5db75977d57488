"""The options by which the three users of PostgreSQL log in, under the names that libpq has for
them too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from raftha.config.schema import Kind, Option, Reload

PREFIX: Final = "postgresql.authentication."
SERVICE_NAME: Final = "postgresql.krbsrvname"
USERS: Final = ("superuser", "replication", "rewind")
TLS_FILES: Final = ("sslcert", "sslkey", "sslcrl", "sslcrldir")
"""Those that name a file or directory, `sslrootcert` aside, which may be a word."""

SYSTEM: Final = "system"
"""The `sslrootcert` of the authorities that the machine trusts."""

_WORDS: Final = {
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "sslnegotiation": ("postgres", "direct"),
    "gssencmode": ("disable", "prefer", "require"),
    "channel_binding": ("disable", "prefer", "require"),
}
WORDS: Final = tuple(_WORDS)
LIBPQ_KEYS: Final = (*WORDS, *TLS_FILES, "sslrootcert")
"""What goes to libpq as it is, for each user by itself."""

_DOCS: Final = {
    "superuser": ("The superuser that the agent uses.", "postgres", "none"),
    "replication": ("The role that standbys replicate with.", "replicator", "none"),
    "rewind": (
        "The role that pg_rewind connects with.",
        "the superuser",
        "none, or the superuser's if there is no rewind user",
    ),
}


def _option(
    path: str, kind: Kind, doc: str, default: str = "none", words: tuple[str, ...] = ()
) -> Option:
    return Option(path=path, kind=kind, reload=Reload.RELOAD, doc=doc, default=default, words=words)


_TLS: Final = (
    (
        "sslmode",
        Kind.WORD,
        "How far its connections to other members use TLS and verify the server. From `require` on"
        " raftha's own lines of pg_hba.conf let this user in with TLS alone.",
        "prefer",
    ),
    (
        "sslcert",
        Kind.PATH,
        "The certificate that it shows. Without a password it logs in by that alone (`cert`).",
        "none",
    ),
    ("sslkey", Kind.PATH, "The private key of that certificate.", "none"),
    (
        "sslpassword",
        Kind.SECRET,
        "The password of that key. A server that was started while no user had one streams with it"
        " once it has been restarted.",
        "none",
    ),
    (
        "sslrootcert",
        Kind.TEXT,
        "The file of the authorities that a server's certificate must be signed by; `system` stands"
        " for those that the machine trusts, from libpq 16 on.",
        "none",
    ),
    ("sslcrl", Kind.PATH, "A file of certificates that are revoked.", "none"),
    ("sslcrldir", Kind.PATH, "A directory of such files.", "none"),
    (
        "sslnegotiation",
        Kind.WORD,
        "How TLS begins; `direct` needs libpq 17, servers of 17 and an `sslmode` of `require` or"
        " more.",
        "postgres",
    ),
)
_BESIDE: Final = (
    (
        "gssencmode",
        Kind.WORD,
        "Whether its connections are encrypted by GSSAPI. With another word than `disable` and"
        " neither password nor certificate the lines of `pg_hba` say how it is let in.",
        "disable",
    ),
    (
        "channel_binding",
        Kind.WORD,
        "Whether it gives its password only to a server that proves to be the end of the TLS"
        " connection.",
        "prefer",
    ),
)


def _of(user: str) -> Iterator[Option]:
    doc, name, password = _DOCS[user]
    prefix = f"{PREFIX}{user}."
    yield _option(prefix + "username", Kind.TEXT, doc, name)
    yield _option(prefix + "password", Kind.SECRET, "Its password.", password)
    for key, kind, said, default in (*_TLS, *_BESIDE):
        yield _option(prefix + key, kind, said, default, _WORDS.get(key, ()))


LOGIN_OPTIONS: Final = (
    *(option for user in USERS for option in _of(user)),
    _option(
        SERVICE_NAME,
        Kind.TEXT,
        "The Kerberos service name of the servers, for all three users.",
        "postgres",
    ),
)
