"""How the command line shows itself to nodes, where a file says so: Patroni's section `ctl`. PURE.

The agent has no use for it; what it leaves open the command line takes from `restapi`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from raftha.config.reading import Reading
from raftha.config.schema import Kind, Option, Reload
from raftha.model.settings import BasicAuth, Secret, TlsFiles


class Ctl(Struct, frozen=True, kw_only=True):
    """`ctl:` of a node's file. `keyfile` is `certfile` where that holds the key too."""

    insecure: bool = False
    authentication: BasicAuth | None = None
    cafile: Path | None = None
    certfile: Path | None = None
    keyfile: Path | None = None
    password: Secret | None = None

    def files(self, own: TlsFiles | None) -> TlsFiles | None:
        """What to show and to check over HTTPS, where `own` are those of the node itself."""
        cafile = self.cafile or (own.cafile if own else None)
        if cafile is None:
            return None
        if self.certfile is None:
            return replace(own, cafile=cafile) if own else None
        return TlsFiles(
            cafile=cafile,
            certfile=self.certfile,
            keyfile=self.keyfile or self.certfile,
            password=self.password,
        )


def _option(path: str, kind: Kind, doc: str, default: str) -> Option:
    return Option(path=path, kind=kind, reload=Reload.COMMAND, doc=doc, default=default)


CTL_OPTIONS: Final = (
    _option(
        "ctl.insecure",
        Kind.BOOLEAN,
        "Whether the command line accepts any certificate of a node, as with `--insecure`.",
        "false",
    ),
    _option(
        "ctl.authentication.username",
        Kind.TEXT,
        "The user name that the command line shows.",
        "restapi.authentication.username",
    ),
    _option(
        "ctl.authentication.password",
        Kind.SECRET,
        "The password that the command line shows.",
        "restapi.authentication.password",
    ),
    _option(
        "ctl.cacert",
        Kind.PATH,
        "The certificate authority that the command line checks nodes against.",
        "restapi.cafile",
    ),
    _option(
        "ctl.certfile",
        Kind.PATH,
        "The certificate that the command line shows.",
        "restapi.certfile, with its key",
    ),
    _option("ctl.keyfile", Kind.PATH, "Its private key.", "ctl.certfile, which holds it then"),
    _option(
        "ctl.keyfile_password",
        Kind.SECRET,
        "The password of `ctl.keyfile`, where that is encrypted.",
        "none",
    ),
)


def check_ctl(reading: Reading) -> None:
    """Warn of what acts on nothing: it is no reason to keep a node from starting."""
    has_own = reading.wrote("restapi.cafile")
    if reading.wrote("ctl.certfile") and not (has_own or reading.wrote("ctl.cacert")):
        reading.warn("ctl.certfile", "has no effect without an authority", "add ctl.cacert")
    if reading.wrote("ctl.cacert") and not (has_own or reading.wrote("ctl.certfile")):
        remedy = "add ctl.certfile, or HTTPS to restapi"
        reading.warn("ctl.cacert", "has no effect without a certificate to show", remedy)
    for key in ("keyfile", "keyfile_password"):
        if reading.wrote(f"ctl.{key}") and not reading.wrote("ctl.certfile"):
            reading.warn(f"ctl.{key}", "has no effect without ctl.certfile", "add it")


def build_ctl(reading: Reading, folder: Path) -> Ctl:
    """`folder` is what relative paths are relative to."""
    username = reading.get("ctl.authentication.username", str)
    password = reading.get("ctl.authentication.password", Secret)
    cafile, certfile, keyfile = (
        reading.get(f"ctl.{key}", Path) for key in ("cacert", "certfile", "keyfile")
    )
    return Ctl(
        insecure=reading.get("ctl.insecure", bool) or False,
        authentication=(
            BasicAuth(username=username, password=password) if username and password else None
        ),
        cafile=folder / cafile if cafile else None,
        certfile=folder / certfile if certfile else None,
        keyfile=folder / keyfile if keyfile else None,
        password=reading.get("ctl.keyfile_password", Secret),
    )
