"""The OpenAPI description of the HTTP interface, which every node serves, and the page of it.

`python -m raftha.api.description > docs/api.md` prints the page. A test asks a node for each path
and method here and each one that it knows, so that neither says what the other does not.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct, field

from raftha import __version__
from raftha.api import (
    configurations,
    members,
    operations,
    routes,
    schedules,
    standing,
    switches,
    wishes,
)

PATH: Final = "/openapi.json"
FAILSAFE: Final = "/failsafe"

_JSON: Final = "application/json"
_REFUSED: Final = {"$ref": "#/components/schemas/Refusal"}
_COMMON: Final = {
    401: "the password of `restapi.authentication` is missing or wrong",
    403: "the caller may not do this from where it is",
    503: "not possible now; the reason says why",
}
_OF_CHANGE: Final = {
    400: "the request cannot be read, or contradicts itself",
    411: "the body comes in chunks: its length is needed before",
    413: "the body is larger than 64 KiB",
}
_ACCEPTED: Final = {
    200: "done",
    202: "under way, or scheduled",
    412: "refused; the reason says why",
}
_TIMED: Final = {409: "another one is scheduled", 422: "a time that has passed, or is none"}


class Parameter(Struct, frozen=True, kw_only=True):
    """What may stand behind the question mark."""

    name: str
    doc: str
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})


class Call(Struct, frozen=True, kw_only=True):
    """A method of a path. `body` is the type of the request, `codes` are its own answers."""

    method: str
    path: str
    doc: str
    codes: Mapping[int, str]
    parameters: tuple[Parameter, ...] = ()
    body: Any = None
    content: str = _JSON
    answer: str = "object"


_LAG: Final = Parameter(
    name="lag",
    doc="503 if it is further behind: bytes, or a number with kB, MB, GB or TB",
    schema={"type": "string", "pattern": r"^\d{1,9}([kKMGT]?B)?$"},
)
_STATE: Final = Parameter(name="replication_state", doc="503 if it is another, such as `streaming`")
_MODE: Final = Parameter(
    name="mode",
    doc="which lag counts: of what was replayed, or received",
    schema={"type": "string", "enum": ["apply", "write"]},
)
_READ: Final = {200: "the answer"}


def calls() -> Iterator[Call]:
    """Everything that a node answers, but for HEAD and OPTIONS, which are as GET with no body."""
    yield from _checks()
    yield from _documents()
    yield from _changes()
    yield from _deletions()


def _checks() -> Iterator[Call]:
    for path, check in routes.CHECKS.items():
        parameters: tuple[Parameter, ...] = (_LAG, _STATE)
        if check in (standing.primary, standing.leader, standing.health, standing.liveness):
            parameters = ()
        elif check is standing.readiness:
            parameters = (_LAG, _MODE)
        codes = {200: "yes", 503: "no; `verdict` says why", 400: "a parameter cannot be read"}
        doc = inspect.getdoc(check) or ""
        yield Call(method="get", path=path, doc=doc, codes=codes, parameters=parameters)


_HISTORY: Final = (
    "The promotions, a row for each: Patroni's timeline that ended, position in bytes, reason, time"
    " and new leader; then the old leader, the seconds in which nobody could write, and the bytes"
    " of WAL that were left behind, each null where it is not known."
)


def _documents() -> Iterator[Call]:
    none = {**_READ, 204: "there is none yet"}
    name = Parameter(name="name", doc="the last change of this name alone")
    last = Parameter(
        name="last",
        doc="so many lines at most",
        schema={"type": "integer", "minimum": 1, "maximum": 600},
    )
    prefix = Parameter(name="prefix", doc="the keys that begin with this")
    after = Parameter(
        name="after",
        doc="what changed after this revision instead",
        schema={"type": "integer", "minimum": 0, "maximum": 10**17},
    )
    local = Parameter(name="local", doc="of the node's own replica, at once")
    wrong = {400: "a parameter cannot be read"}
    for path, doc, codes, parameters, answer in (
        ("/patroni", "This node, in Patroni's words and ours.", _READ, (), "object"),
        ("/cluster", "All members, as asked now.", _READ, (), "object"),
        ("/history", _HISTORY, _READ, (), "array"),
        ("/events", "What happened on this node.", {**_READ, **wrong}, (last,), "object"),
        ("/members", "Who votes.", none, (name,), "object"),
        ("/operation", "The last switchover or failover.", none, (), "object"),
        ("/peer", "What another member asks before it takes over.", _READ, (), "object"),
        ("/doctor", "An examination of this machine.", _READ, (), "object"),
        (
            "/store",
            "The key store, for people who debug.",
            {**_READ, **wrong, 410: "the events are not kept any more"},
            (prefix, after, local),
            "object",
        ),
        ("/config", "The shared settings.", {**_READ, 502: "there are none"}, (), "object"),
        (FAILSAFE, _FAILSAFE, _OFF, (), "object"),
        (PATH, "This description.", _READ, (), "object"),
    ):
        yield Call(
            method="get", path=path, doc=doc, codes=codes, parameters=parameters, answer=answer
        )
    yield Call(
        method="get",
        path="/metrics",
        doc="For Prometheus.",
        codes=_READ,
        content="text/plain",
        answer="string",
    )


_FAILSAFE: Final = (
    "Patroni's failsafe mode, which is off: the members are the voters, so there is no outside"
    " store to lose."
)
_OFF: Final = {502: "always; the reason says why"}
_RELOAD: Final = (
    "Read the file of this node again. The answer names the options that changed, and in `waiting`"
    " those that wait for a restart of the agent; a file that cannot be used is refused, and the"
    " old settings stay."
)


def _changes() -> Iterator[Call]:
    acts = {**_OF_CHANGE, **_ACCEPTED}
    for path in operations.PATHS:
        verb = path.removeprefix("/")
        doc = f"Begin a {verb}, and wait for its end."
        yield Call(
            method="post", path=path, doc=doc, codes={**acts, **_TIMED}, body=operations.BODY
        )
    for path, body, doc in (
        (wishes.RESTART, wishes.RESTART_BODY, "Restart PostgreSQL of this member."),
        (wishes.REINITIALIZE, wishes.REMAKING_BODY, "Make this standby anew."),
        (wishes.RELOAD, wishes.NOTHING_BODY, _RELOAD),
        ("/pause", switches.BODY, "Begin the maintenance pause."),
        ("/resume", switches.BODY, "End the maintenance pause."),
        ("/stop", switches.BODY, "Stop PostgreSQL of the whole cluster."),
        ("/start", switches.BODY, "Start PostgreSQL of the whole cluster."),
    ):
        codes = {**acts, **_TIMED} if path == wishes.RESTART else acts
        yield Call(method="post", path=path, doc=doc, codes=codes, body=body)
    yield Call(
        method="post",
        path=members.PATH,
        doc="Give a node a vote, or take it.",
        codes=acts,
        body=members.BODY,
    )
    yield Call(method="post", path=FAILSAFE, doc=_FAILSAFE, codes={**_OF_CHANGE, **_OFF})
    for method, words in (
        ("patch", "Change shared settings; null removes a key."),
        ("put", "Replace the shared settings."),
    ):
        yield Call(
            method=method,
            path=configurations.PATH,
            doc=words,
            codes={**_OF_CHANGE, 200: "the new settings", 409: "others came first"},
            body=dict[str, Any],
        )


def _deletions() -> Iterator[Call]:
    for path in schedules.PATHS:
        yield Call(
            method="delete",
            path=path,
            doc=f"Take a {path.removeprefix('/')} off the schedule.",
            codes={
                200: "done",
                400: "a parameter cannot be read",
                404: "none is scheduled",
                409: "it has begun, or is another one by now",
                412: "refused",
            },
            parameters=(Parameter(name="name", doc="of this member"),),
        )


def document() -> dict[str, Any]:
    """The description itself."""
    paths: dict[str, dict[str, Any]] = {}
    for call in calls():
        described = _described(call)
        paths.setdefault(call.path, {})[call.method] = described
        if call.method == "get":
            silent = {**described, "responses": _without_content(described["responses"])}
            paths[call.path] |= {"head": silent, "options": silent}
    return {
        "openapi": "3.1.0",
        "info": {"title": "raftha", "version": __version__, "license": {"name": "MIT"}},
        "paths": paths,
        "components": {
            "schemas": {
                "Refusal": {
                    "type": "object",
                    "properties": {
                        "reason": {"type": "string"},
                        "verdict": {"type": "string"},
                        "message": {"type": "string"},
                        "age_seconds": {"type": "number"},
                    },
                }
            },
            "securitySchemes": {"basic": {"type": "http", "scheme": "basic"}},
        },
    }


def _described(call: Call) -> dict[str, Any]:
    codes = {**_COMMON, **call.codes}
    found: dict[str, Any] = {
        "summary": call.doc.partition("\n")[0],
        "responses": {str(code): _response(call, code, words) for code, words in codes.items()},
    }
    if call.parameters:
        found["parameters"] = [
            {"name": each.name, "in": "query", "description": each.doc, "schema": each.schema}
            for each in call.parameters
        ]
    if call.body is not None:
        found["requestBody"] = {"content": {_JSON: {"schema": _schema(call.body)}}}
    return found


def _response(call: Call, code: int, words: str) -> dict[str, Any]:
    if code == 204:
        return {"description": words}
    good = code == 200
    content = call.content if good else _JSON
    schema = {"type": call.answer} if good else _REFUSED
    return {"description": words, "content": {content: {"schema": schema}}}


def _without_content(responses: Mapping[str, Any]) -> dict[str, Any]:
    return {code: {"description": each["description"]} for code, each in responses.items()}


def _schema(body: Any) -> dict[str, Any]:
    """In place, without references."""
    found, parts = msgspec.json.schema_components([body], ref_template="{name}")
    (schema,) = found
    while "$ref" in schema:
        schema = parts[schema["$ref"]]
    properties = {
        name: parts[each["$ref"]] if "$ref" in each else each
        for name, each in schema.get("properties", {}).items()
    }
    return {**schema, "properties": properties} if properties else dict(schema)


DOCUMENT: Final = msgspec.json.encode(document()) + b"\n"


def page() -> str:
    """The description for people."""
    return _HEAD + "".join(_section(call) for call in calls())


_HEAD: Final = """\
<!-- Generated by `python -m raftha.api.description > docs/api.md`: change raftha/api instead. -->

# HTTP

Every node answers on `restapi.listen`, with Patroni's paths, meaning and codes where Patroni has
the same. `GET /openapi.json` is this page for programs. HEAD and OPTIONS answer as GET, without a
body: health checks of balancers use them.

- Bodies are JSON, but for `/metrics` and what is refused before it is read (no HTTP, too large),
  which is told in plain text. A refusal has its `reason`. Whatever can grow old has its
  `age_seconds`.
- A change that says all by its path needs no body. A body comes in one piece, with its
  `Content-Length`: one in chunks is refused (411), and the connection closed.
- `restapi.http_extra_headers` go with each answer but for what is refused before it is read.
- A change asks for all that is configured, as with Patroni: the name and password of
  `restapi.authentication`; a certificate that `restapi.cafile` has signed where
  `restapi.verify_client` is `optional` or `required` (both, where both are set); an address of
  `restapi.allowlist`. Without any of them changes are accepted from the machine itself.
- Reading is open, but for `/store` and `/doctor`, which ask for what a change asks for, and unless
  `restapi.authenticate_reads` is on: then the password or a certificate is enough, and a password
  that is sent must be right.
- Beside the codes below each may answer 401 and 403 (who is it, and from where), 503 (not
  possible now), 405 and 404.
- Health checks take also `tag_NAME=VALUE`: 503 if the node's tag is another.
- A body has at most 64 KiB, a head 16 KiB. A connection may be silent for 5 s; while requests
  wait for a worker, whoever a worker has waited for longer than 50 ms is hung up on. Four slow
  questions (those that ask other nodes or wait for an end) run at once; one more is told at once
  that the node is busy, with `Retry-After`. Health checks never wait behind them.
"""


def _section(call: Call) -> str:
    parts = [f"\n## {call.method.upper()} {call.path}\n\n{call.doc}\n\n"]
    parts.append("| code | meaning |\n|---|---|\n")
    parts += [f"| {code} | {words} |\n" for code, words in sorted(call.codes.items())]
    rows = [(each.name, each.doc) for each in call.parameters]
    if rows:
        parts.append("\n| parameter | meaning |\n|---|---|\n")
        parts += [f"| `{name}` | {doc} |\n" for name, doc in rows]
    if call.body is not None and call.body is not dict[str, Any]:
        names = _schema(call.body).get("properties", {})
        if names:
            keys = ", ".join(f"`{name}`" for name in names)
            parts.append(f"\nKeys of the body: {keys}.\n")
    return "".join(parts)


if __name__ == "__main__":
    sys.stdout.write(page())
