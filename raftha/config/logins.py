"""The users of PostgreSQL, put together from a node's file, and what their options say together.
PURE."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from raftha.config.login_options import (
    LIBPQ_KEYS,
    PREFIX,
    SERVICE_NAME,
    SYSTEM,
    TLS_FILES,
    USERS,
    WORDS,
)
from raftha.config.reading import Reading
from raftha.model.logins import TLS_MODES, Authentication, Credentials, Secret


def build_logins(reading: Reading, folder: Path) -> Authentication:
    """`folder` is what relative paths are relative to."""
    superuser = _credentials(reading, "superuser", folder, "postgres")
    wrote_rewind = reading.wrote(f"{PREFIX}rewind.username")
    return Authentication(
        superuser=superuser,
        replication=_credentials(reading, "replication", folder, "replicator"),
        rewind=_credentials(reading, "rewind", folder, "") if wrote_rewind else superuser,
    )


def check_logins(reading: Reading) -> None:
    """Add what the options of each user say together to the problems."""
    for user in USERS:
        _check_certificate(reading, f"{PREFIX}{user}.")
        _check_verification(reading, f"{PREFIX}{user}.")
    rewind = f"{PREFIX}rewind."
    if reading.wrote(rewind + "username"):
        return
    for key in ("password", *LIBPQ_KEYS, "sslpassword"):
        if reading.wrote(rewind + key):
            reading.refuse(rewind + key, "is given without a username", f"add {rewind}username")


def _check_certificate(reading: Reading, prefix: str) -> None:
    for key, other in (("sslcert", "sslkey"), ("sslkey", "sslcert"), ("sslpassword", "sslkey")):
        if reading.wrote(prefix + key) and not reading.wrote(prefix + other):
            reading.refuse(prefix + key, f"has no effect without {other}", f"add {prefix}{other}")
    password = reading.get(prefix + "sslpassword", Secret)
    if password is not None and password.reveal()[-1].isspace():
        what = "ends with a blank, which libpq would leave out"
        reading.refuse(prefix + "sslpassword", what, "encrypt the key with another password")


def _check_verification(reading: Reading, prefix: str) -> None:
    mode = reading.get(prefix + "sslmode", str) or "prefer"
    root = reading.get(prefix + "sslrootcert", str)
    if mode.startswith("verify-") and root is None and not reading.wrote(prefix + "sslrootcert"):
        what = f"{mode} has no authority to verify a server by"
        reading.refuse(prefix + "sslmode", what, f"add {prefix}sslrootcert")
    if root == SYSTEM and mode != "verify-full":
        what = f"{SYSTEM} is not safe with sslmode {mode}, and libpq refuses it"
        reading.refuse(prefix + "sslrootcert", what, f"write {prefix}sslmode: verify-full")
    for key, wanted in (("sslnegotiation", "direct"), ("channel_binding", "require")):
        if reading.get(prefix + key, str) == wanted and mode not in TLS_MODES:
            what = f"{wanted} needs TLS, which sslmode {mode} may do without"
            remedy = f"write {prefix}sslmode: require, verify-ca or verify-full"
            reading.refuse(prefix + key, what, remedy)


def _credentials(reading: Reading, user: str, folder: Path, name: str) -> Credentials:
    prefix = f"{PREFIX}{user}."
    return Credentials(
        username=reading.get(prefix + "username", str) or name,
        password=reading.get(prefix + "password", Secret),
        options=_options(reading, prefix, folder),
        key_password=reading.get(prefix + "sslpassword", Secret),
    )


def _options(reading: Reading, prefix: str, folder: Path) -> Mapping[str, str]:
    found = {key: reading.get(prefix + key, str) for key in WORDS}
    for key in TLS_FILES:
        path = reading.get(prefix + key, Path)
        found[key] = None if path is None else str(folder / path)
    root = reading.get(prefix + "sslrootcert", str)
    found["sslrootcert"] = root if root in (None, SYSTEM) else str(folder / root)
    found["krbsrvname"] = reading.get(SERVICE_NAME, str)
    return {key: value for key, value in found.items() if value is not None}
