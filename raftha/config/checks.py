"""What several options of a node's file mean together. PURE.

Each check looks only at options that were read well, so that one mistake is told once.
"""

from __future__ import annotations

import posixpath
from pathlib import PurePath
from typing import Final

from raftha.config.ctl_options import check_ctl
from raftha.config.logins import check_logins
from raftha.config.managed import parameters_at, warn_managed
from raftha.config.method_options import check_methods
from raftha.config.program_options import check_names
from raftha.config.reading import Reading
from raftha.config.schema import DYNAMIC_PREFIX
from raftha.config.values import Listen, is_loopback, is_wildcard
from raftha.model.settings import Address, VerifyClient

_TLS_KEYS: Final = ("cafile", "certfile", "keyfile")


def check_node(reading: Reading, folder: PurePath, witness: bool) -> None:
    """Add what the options of one file say together to its problems and warnings.

    `folder` is what relative paths are relative to.
    """
    _check_namespace(reading)
    _check_raft_security(reading)
    _check_voters(reading)
    _check_rest(reading)
    _check_rest_exposure(reading)
    _check_pair(reading, "ctl.authentication.")
    check_ctl(reading)
    _check_tags(reading)
    _check_nostream(reading)
    _check_replicatefrom(reading)
    _check_bootstrap_hba(reading)
    check_methods(reading)
    if not witness:
        warn_managed(reading, "postgresql.parameters")
        warn_managed(reading, "postgresql.recovery_conf")
        _check_postgresql(reading)
        _check_directories(reading, folder)


def partners(reading: Reading) -> tuple[Address, ...]:
    """The other voters: each address once, without this node's own."""
    own = reading.get("raft.self_addr", Address)
    listed = reading.get("raft.partner_addrs", tuple) or ()
    return tuple(dict.fromkeys(address for address in listed if address != own))


def _check_namespace(reading: Reading) -> None:
    namespace = reading.get("namespace", str)
    if namespace is not None and namespace.strip("/") != "raftha":
        reading.warn("namespace", "ignored: keys are kept below /raftha", "remove it")


def _check_raft_security(reading: Reading) -> None:
    _check_together(reading, "raft.")
    has_tls = any(reading.wrote(f"raft.{key}") for key in _TLS_KEYS)
    if reading.wrote("raft.key_file") and has_tls:
        reading.refuse("raft.key_file", "cannot be used beside certificates", "keep one of the two")
    if reading.wrote("raft.key_file") or has_tls:
        return
    listed = reading.get("raft.partner_addrs", tuple) or ()
    addresses = [reading.get("raft.self_addr", Address), reading.get("raft.bind_addr", Address)]
    exposed = sorted(
        {str(address) for address in (*addresses, *listed) if address and not _local(address)}
    )
    if exposed:
        reading.refuse(
            "raft",
            "the Raft group has no key and no certificates, but is not on loopback only: "
            + ", ".join(exposed),
            "add raft.key_file, or raft.cafile, raft.certfile and raft.keyfile",
        )


def _check_together(reading: Reading, prefix: str) -> None:
    given = [key for key in _TLS_KEYS if reading.wrote(prefix + key)]
    absent = [key for key in _TLS_KEYS if key not in given]
    if given and absent:
        reading.refuse(
            prefix + given[0],
            "is not enough for TLS",
            "add " + " and ".join(prefix + k for k in absent),
        )


def _check_voters(reading: Reading) -> None:
    if reading.get("raft.self_addr", Address) is None:
        return
    if reading.wrote("raft.partner_addrs") and reading.get("raft.partner_addrs", tuple) is None:
        return
    voters = 1 + len(partners(reading))
    if voters == 1:
        reading.warn(
            "raft.partner_addrs",
            "a single voter has nobody to fail over to",
            "name the other nodes, three voters in all",
        )
    elif voters % 2 == 0:
        _warn_of_even(reading, voters)


def _warn_of_even(reading: Reading, voters: int) -> None:
    """Where all nodes share one list, a self_addr that is not in it makes one voter too many."""
    own = reading.get("raft.self_addr", Address)
    what = f"{voters} voters survive no more losses than {voters - 1}"
    remedy = "add a witness"
    listed = reading.get("raft.partner_addrs", tuple) or ()
    if len(listed) == voters - 1 > 1:
        what += f"; raft.self_addr, {own}, is not one of the {len(listed)} of raft.partner_addrs"
        remedy = "if those are meant to be all voters, correct raft.self_addr; else add a witness"
    reading.warn("raft.partner_addrs", what, remedy)


def _check_rest(reading: Reading) -> None:
    _check_together(reading, "restapi.")
    _check_pair(reading, "restapi.authentication.")
    verifies = _verifies(reading)
    if verifies and not reading.wrote("restapi.cafile"):
        reading.refuse(
            "restapi.verify_client",
            "needs HTTPS",
            "add restapi.certfile, restapi.keyfile and restapi.cafile",
        )
    if (
        reading.get("restapi.authenticate_reads", bool)
        and not verifies
        and not reading.wrote("restapi.authentication.password")
    ):
        reading.refuse(
            "restapi.authenticate_reads",
            "has nothing to know a caller by",
            "add restapi.authentication, or restapi.verify_client",
        )
    _check_https_only(reading)
    listen = reading.get("restapi.listen", Address)
    _check_connect(reading, "restapi", () if listen is None else (listen.host,))


def _check_https_only(reading: Reading) -> None:
    if reading.wrote("restapi.certfile"):
        return
    for key in ("keyfile_password", "ciphers", "https_extra_headers"):
        path = f"restapi.{key}"
        if reading.wrote(path):
            remedy = "add restapi.certfile, restapi.keyfile and restapi.cafile, or remove it"
            reading.warn(path, "has no effect without HTTPS", remedy)


def _check_pair(reading: Reading, prefix: str) -> None:
    for key, other in (("username", "password"), ("password", "username")):
        if reading.wrote(prefix + key) and not reading.wrote(prefix + other):
            reading.refuse(prefix + key, f"is given without a {other}", f"add {prefix}{other}")


def _check_connect(reading: Reading, section: str, hosts: tuple[str, ...]) -> None:
    if hosts and is_wildcard(hosts[0]) and not reading.wrote(f"{section}.connect_address"):
        reading.refuse(
            f"{section}.connect_address",
            f"is missing, and {section}.listen names every address of the machine",
            "write the host and port that others connect to",
        )


def _check_rest_exposure(reading: Reading) -> None:
    listen = reading.get("restapi.listen", Address)
    guarded = reading.wrote("restapi.authentication.password")
    if listen is None or _local(listen) or guarded:
        return
    limited = reading.wrote("restapi.allowlist") or reading.get(
        "restapi.allowlist_include_members", bool
    )
    if not _verifies(reading) and not limited:
        reading.warn(
            "restapi.listen",
            "is not on loopback and asks for no password: requests that change something will be"
            " refused there",
            "add restapi.authentication, or restapi.verify_client: required",
        )


def _verifies(reading: Reading) -> bool:
    wanted = reading.get("restapi.verify_client", VerifyClient)
    return wanted not in (None, VerifyClient.NONE)


def _check_tags(reading: Reading) -> None:
    for flag, priority in (("nofailover", "failover_priority"), ("nosync", "sync_priority")):
        forbids = reading.get(f"tags.{flag}", bool)
        number = reading.get(f"tags.{priority}", int)
        if forbids is not None and number is not None and forbids is not (number == 0):
            reading.warn(
                f"tags.{flag}",
                f"contradicts tags.{priority}: {number}; {flag} wins",
                "remove one of the two",
            )


def _check_nostream(reading: Reading) -> None:
    if not reading.get("tags.nostream", bool):
        return
    given = (
        *parameters_at(reading, "postgresql."),
        *parameters_at(reading, DYNAMIC_PREFIX + "postgresql."),
    )
    if not any(name.lower() == "restore_command" for name in given):
        reading.warn(
            "tags.nostream",
            "this node gets its WAL by restore_command alone, and this file sets none",
            "set postgresql.parameters.restore_command, unless the settings of the cluster have it",
        )
    for other in ("replicatefrom", "clonefrom"):
        if reading.wrote(f"tags.{other}"):
            reading.warn(f"tags.{other}", "has no effect beside tags.nostream", "remove it")


def _check_replicatefrom(reading: Reading) -> None:
    named = reading.get("tags.replicatefrom", str)
    if named is not None and named == reading.get("name", str):
        reading.refuse(
            "tags.replicatefrom", "names this node itself", "name another member, or remove it"
        )


def _check_bootstrap_hba(reading: Reading) -> None:
    other = DYNAMIC_PREFIX + "postgresql.pg_hba"
    if reading.wrote("bootstrap.pg_hba") and reading.wrote(other):
        reading.refuse("bootstrap.pg_hba", f"says the same as {other}", "keep one of the two")


def _check_postgresql(reading: Reading) -> None:
    listen = reading.get("postgresql.listen", Listen)
    _check_connect(reading, "postgresql", () if listen is None else listen.hosts)
    check_logins(reading)
    check_names(reading)


def _check_directories(reading: Reading, folder: PurePath) -> None:
    """A data directory is renamed when a new copy is made: nothing else may live in it."""
    raft = reading.get("raft.data_dir", PurePath)
    data = reading.get("postgresql.data_dir", PurePath)
    if raft is None or data is None:
        return
    inner = PurePath(posixpath.normpath(folder / raft))
    if inner.is_relative_to(posixpath.normpath(folder / data)):
        reading.refuse(
            "raft.data_dir",
            f"{raft} lies in postgresql.data_dir, {data}",
            "choose a directory beside it",
        )


def _local(address: Address) -> bool:
    return is_loopback(address.host)
