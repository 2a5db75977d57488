"""Checks a password against the verifier that PostgreSQL stores. PURE."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import unicodedata
from typing import Final

_VERIFIER: Final = re.compile(r"SCRAM-SHA-256\$(\d+):([^$]+)\$([^:]+):([^:]+)")
_MOST_ITERATIONS: Final = 1_000_000


def matches(verifier: str | None, password: str) -> bool:
    """Whether `verifier` (pg_authid.rolpassword) is one of `password`; False for any other form.

    A wrong False only costs a new verifier. Passwords outside ASCII may give one, because the
    full rules of SASLprep are not applied here.
    """
    match = _VERIFIER.fullmatch(verifier or "")
    if match is None or int(match[1]) > _MOST_ITERATIONS:
        return False
    try:
        salt = base64.b64decode(match[2], validate=True)
        stored = base64.b64decode(match[3], validate=True)
    except (binascii.Error, ValueError):
        return False
    prepared = unicodedata.normalize("NFKC", password).encode()
    salted = hashlib.pbkdf2_hmac("sha256", prepared, salt, max(1, int(match[1])))
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    return hmac.compare_digest(hashlib.sha256(client_key).digest(), stored)
