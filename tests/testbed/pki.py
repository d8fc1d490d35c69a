"""The keys of a control plane: a certificate authority, what it signs, and the key of the service accounts."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFETIME = datetime.timedelta(days=1)
_BACKDATED = datetime.timedelta(minutes=5)

_PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class Authority:
    """A certificate authority that lives as long as its folder."""

    def __init__(self, folder: Path) -> None:
        """Make its key and certificate, `ca.crt`."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.certificate_file = folder / "ca.crt"
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("testbed-ca")
        usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
        certificate = (
            _builder(self._name, self._name, self._key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def serving(self, name: str, hosts: list[str]) -> tuple[Path, Path]:
        """Certificate and key of a server that is called by these names and addresses."""
        names = x509.SubjectAlternativeName([_general(host) for host in hosts])
        return self._pair(name, ExtendedKeyUsageOID.SERVER_AUTH, names)

    def client(self, name: str) -> tuple[Path, Path]:
        """Certificate and key of a client of this name."""
        return self._pair(name, ExtendedKeyUsageOID.CLIENT_AUTH)

    def _pair(self, name: str, use: x509.ObjectIdentifier, *others: x509.ExtensionType) -> tuple[Path, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_name(name), self._name, key)
        for extension in (x509.ExtendedKeyUsage([use]), *others):
            builder = builder.add_extension(extension, critical=False)
        path = self.folder / f"{name}.crt"
        path.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        return path, _write_key(self.folder / f"{name}.key", key)


def service_account_key(folder: Path) -> Path:
    """The key that signs the tokens of service accounts: RSA, the one kind that each of its readers takes."""
    folder.mkdir(parents=True, exist_ok=True)
    return _write_key(folder / "service-accounts.key", rsa.generate_private_key(65537, 2048))


def _builder(subject: x509.Name, issuer: x509.Name, key: _PrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + _LIFETIME)
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _general(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _write_key(path: Path, key: _PrivateKey) -> Path:
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path
