"""The options of a node's own HTTP interface."""

from __future__ import annotations

from typing import Final

from raftha.config.schema import Kind, Option, Reload


def _option(path: str, kind: Kind, doc: str, default: str = "none") -> Option:
    """One that a running server does not take over."""
    return Option(path=path, kind=kind, reload=Reload.AGENT_RESTART, doc=doc, default=default)


def _live(
    path: str, kind: Kind, doc: str, default: str = "none", words: tuple[str, ...] = ()
) -> Option:
    """One that it does."""
    return Option(path=path, kind=kind, reload=Reload.RELOAD, doc=doc, default=default, words=words)


REST_OPTIONS: Final = (
    Option(
        path="restapi.listen",
        kind=Kind.BIND,
        reload=Reload.AGENT_RESTART,
        required=True,
        doc="The address that the HTTP interface listens on. `*` stands for every IPv4 address,"
        " `[::]` for IPv6 too.",
    ),
    _option(
        "restapi.connect_address",
        Kind.ADDRESS,
        "The address at which others reach it.",
        default="restapi.listen, where that names one host",
    ),
    _live(
        "restapi.authentication.username",
        Kind.TEXT,
        "The user name asked of requests that change something. The members ask one another for"
        " nothing that needs it, unless `restapi.authenticate_reads` is on.",
    ),
    _live(
        "restapi.authentication.password",
        Kind.SECRET,
        "The password asked of requests that change something.",
    ),
    _live(
        "restapi.certfile",
        Kind.PATH,
        "The certificate of the HTTP interface; it turns HTTPS on. `keyfile` and `cafile` go with"
        " it. A reload takes other files; to turn HTTPS on or off takes a restart of the agent, and"
        " what says who may ask waits with it.",
    ),
    _live("restapi.keyfile", Kind.PATH, "Its private key.", default="none"),
    _live(
        "restapi.cafile",
        Kind.PATH,
        "The certificate authority that peers and clients are checked against.",
    ),
    _live(
        "restapi.verify_client",
        Kind.VERIFY,
        "With `required` every client must show a certificate of `restapi.cafile`, health checks"
        " too; with `optional` those that ask for a change. A change needs the name and password of"
        " `restapi.authentication` besides, where that is set.",
    ),
    _live(
        "restapi.allowlist",
        Kind.HOSTS,
        "From where changes are accepted, such as `[10.0.0.0/24, admin.example.com]`. It counts"
        " besides the password and certificates; without either it is enough by itself. A name is"
        " looked up once a minute at most.",
        default="everywhere",
    ),
    _live(
        "restapi.allowlist_include_members",
        Kind.BOOLEAN,
        "Accept changes from the hosts of the members' `restapi.connect_address`, and, without"
        " `restapi.allowlist`, from nowhere else.",
        default="false",
    ),
    _live(
        "restapi.authenticate_reads",
        Kind.BOOLEAN,
        "Ask for the password or, with `restapi.verify_client`, a certificate for every request,"
        " health checks and metrics too. Set it to the same on all nodes.",
        default="false",
    ),
    _live(
        "restapi.keyfile_password",
        Kind.SECRET,
        "The password of `restapi.keyfile`, where that is encrypted. For a new key with another"
        " password put the key in its place first, then write its password here and reload: until"
        " then the server goes on with the old one.",
    ),
    _live(
        "restapi.ciphers",
        Kind.TEXT,
        "The ciphers of TLS 1.2 that the HTTP interface accepts, as OpenSSL writes them:"
        " `ECDHE+AESGCM:!aNULL`. Those of TLS 1.3 are OpenSSL's own.",
        default="OpenSSL's choice",
    ),
    _live(
        "restapi.http_extra_headers",
        Kind.HEADERS,
        "Headers that go with each answer, such as `X-Frame-Options: SAMEORIGIN`.",
    ),
    _live(
        "restapi.https_extra_headers",
        Kind.HEADERS,
        "Headers that go with each answer over HTTPS besides, such as"
        " `Strict-Transport-Security: max-age=31536000`. They win over those of the same name in"
        " `http_extra_headers`.",
    ),
    _live(
        "restapi.server_tokens",
        Kind.WORD,
        "What the header `Server` tells: `ProductOnly` says `raftha`, `Minimal` its version too,"
        " `Original` that of Python besides.",
        default="Minimal",
        words=("Original", "Minimal", "ProductOnly"),
    ),
    _live(
        "restapi.patroni_metrics",
        Kind.BOOLEAN,
        "Whether `/metrics` has the names that begin with `patroni_` beside those of raftha, so"
        " that dashboards made for Patroni go on.",
        default="true",
    ),
    Option(
        path="restapi.request_queue_size",
        kind=Kind.INTEGER,
        reload=Reload.AGENT_RESTART,
        doc="How many connections may wait to be accepted; the kernel turns further ones away, or"
        " has them try again. Its own limit is `net.core.somaxconn`.",
        default="64",
        minimum=1,
        maximum=65535,
    ),
)
