"""Requests to a REST interface as any client sends them."""

from __future__ import annotations

import base64
import json
import ssl
import urllib.error
import urllib.request
from typing import Any


def ask(
    url: str,
    body: object = None,
    *,
    user: str | None = None,
    timeout_s: float = 2.0,
    context: ssl.SSLContext | None = None,
) -> tuple[int, Any]:
    """Status and decoded body; (0, None) when nobody answers. A POST where there is a `body`, which
    goes out as JSON. `user` is `name:password`."""
    headers = {"Content-Type": "application/json"}
    if user is not None:
        headers["Authorization"] = "Basic " + base64.b64encode(user.encode()).decode()
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers)
    try:
        with urllib.request.urlopen(request, timeout=timeout_s, context=context) as answer:
            return answer.status, decoded(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, decoded(error.read())
    except OSError:
        return 0, None


def decoded(body: bytes) -> Any:
    """JSON where it is JSON, text otherwise."""
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace")
