"""A certificate authority and certificates for addresses of this machine, for tests of TLS."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Key = ec.EllipticCurvePrivateKey
AUTHORITY: Final = "raftha test authority"


def make_certificates(
    directory: Path,
    *names: str,
    address: str = "127.0.0.1",
    begin: timedelta = timedelta(hours=-1),
    end: timedelta = timedelta(days=1),
    authority: Path | None = None,
    password: str = "",
) -> None:
    """Write `ca.pem`, and for each name its `.pem` and `.key`, good for loopback and `address`,
    from `begin` to `end`, counted from now. With `authority`, the one in that folder signs; with
    `password`, the keys of the names are encrypted."""
    now = datetime.now(UTC)
    dates = now + begin, now + end
    hosts = {"127.0.0.1", "::1", address}
    if authority is None:
        ca_key = ec.generate_private_key(ec.SECP256R1())
        ca = _signed(AUTHORITY, ca_key, ca_key, hosts, dates, is_ca=True)
        (directory / "ca.pem").write_bytes(ca.public_bytes(serialization.Encoding.PEM))
        _write_key(directory / "ca.key", ca_key)
    else:
        ca_key = _read_key(authority / "ca.key")
        (directory / "ca.pem").write_bytes((authority / "ca.pem").read_bytes())
    for name in names:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _signed(name, key, ca_key, hosts, dates, is_ca=False)
        (directory / f"{name}.pem").write_bytes(
            certificate.public_bytes(serialization.Encoding.PEM)
        )
        _write_key(directory / f"{name}.key", key, password)


def _write_key(path: Path, key: Key, password: str = "") -> None:
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password:
        encryption = serialization.BestAvailableEncryption(password.encode())
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    )
    path.chmod(0o600)


def _read_key(path: Path) -> Key:
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    assert isinstance(key, Key)
    return key


def _signed(
    name: str,
    key: Key,
    signer: Key,
    hosts: set[str],
    dates: tuple[datetime, datetime],
    *,
    is_ca: bool,
) -> x509.Certificate:
    addresses = [x509.IPAddress(ip_address(host)) for host in sorted(hosts)]
    return (
        x509.CertificateBuilder()
        .subject_name(_named(name))
        .issuer_name(_named(AUTHORITY))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(dates[0])
        .not_valid_after(dates[1])
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(addresses), critical=False)
        .sign(signer, hashes.SHA256())
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
