"""Takes secrets out of text before somebody else gets it.

Two nets: the secrets that are known, in every form in which they travel, and what looks like one.
The second takes out more than it must; a log is still read well without it. PURE.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import quote

import yaml

STARS: Final = "***"
SHORTEST: Final = 4
"""A known secret that is shorter is left to the second net: it would be found in every word."""

_NO_SECRET: Final = "server_tokens"
_NAME: Final = r"[\w.-]*(?:passw(?:or)?d|passphrase|secret|token|api_?key|pgpass)[\w.-]*"
_QUOTED: Final = r"""(?:"(?:[^"\\\n]|\\.)*"|'(?:[^'\n]|'')*')"""
_VALUE: Final = rf"""(?:{_QUOTED}|[^\s,;}}&"']+)"""
_SECRET_KEY: Final = re.compile(rf"(?i){_NAME}")
_GIVEN: Final = re.compile(rf"(?i)\b{_NAME}[\"']?[ \t]*[=:][ \t]*({_VALUE})")
_LOOKS: Final = (
    (
        re.compile(
            r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.S
        ),
        STARS,
    ),
    (re.compile(rf"(?i)(\b{_NAME}[\"']?[ \t]*(?:=>|[=:])[ \t]*){_VALUE}"), rf"\1{STARS}"),
    (re.compile(rf"(?i)(\bPASSWORD[ \t]+){_QUOTED}"), rf"\1{STARS}"),
    (re.compile(r"(?i)(\b(?:Basic|Bearer)[ \t]+)[A-Za-z0-9+/=._~-]{6,}"), rf"\1{STARS}"),
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s/:@\"']*:)[^\s/@\"']+(?=@)", re.I), rf"\1{STARS}"),
    (re.compile(r"SCRAM-SHA-256\$[^\s\"',]+"), STARS),
    (re.compile(r"\bmd5[0-9a-f]{32}\b"), STARS),
)


def harvest(text: str) -> set[str]:
    """What a configuration, be it broken, gives as secrets: they are taken out elsewhere too."""
    found = set()
    for match in _GIVEN.finditer(text):
        try:
            value = yaml.safe_load(match[1])
        except yaml.YAMLError:
            value = match[1]
        found |= {match[1].strip("\"'"), str(value)}
    return found


class Censor:
    """Knows some secrets. An empty one is none."""

    def __init__(self, secrets: Iterable[str]) -> None:
        known = {form for secret in secrets for form in _forms(secret)}
        self._known = sorted((form for form in known if len(form) >= SHORTEST), key=len)[::-1]

    def clean(self, text: str) -> str:
        """The text without what it knows and without what looks like a secret."""
        for secret in self._known:
            text = text.replace(secret, STARS)
        for look, instead in _LOOKS:
            text = look.sub(instead, text)
        return text


def censored(key: str, value: object) -> object:
    """The value of a setting without what looks like a secret, by its key or by itself."""
    if isinstance(value, Mapping):
        return {name: censored(name, below) for name, below in value.items()}
    if isinstance(value, list):
        return [censored(key, each) for each in value]
    if value is None or isinstance(value, bool):
        return value
    if key != _NO_SECRET and _SECRET_KEY.fullmatch(key):
        return STARS
    return Censor(()).clean(value) if isinstance(value, str) else value


def _forms(secret: str) -> set[str]:
    """As it stands, in an address, in JSON, in SQL, and in a header behind any user name."""
    found = {
        secret,
        quote(secret, safe=""),
        quote(secret),
        secret.replace("'", "''"),
        secret.replace("\\", "\\\\").replace('"', '\\"'),
    }
    # What stands before it shifts base64 by zero to two bytes.
    for shift in range(3):
        coded = base64.b64encode(b"\0" * shift + secret.encode()).decode().rstrip("=")
        found.add(coded[(0, 2, 3)[shift] :][: max(0, len(coded) - 4)])
    return found
