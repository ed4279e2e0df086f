"""Certificates for tests: an authority, and pairs of its making in files.

authority = Authority(tmp_path)
pair = authority.issue("127.0.0.1")
"""

import ssl
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509 import load_der_x509_certificate, load_pem_x509_certificate


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key."""

    certificate: Path
    key: Path

    @property
    def serial(self) -> int:
        return load_pem_x509_certificate(self.certificate.read_bytes()).serial_number

    @property
    def options(self) -> list[str]:
        """For `towline serve`."""
        return ["--tls-cert", str(self.certificate), "--tls-key", str(self.key)]

    def replace_by(self, other: "Pair") -> None:
        """Have another certificate and key in the same files."""
        self.certificate.write_bytes(other.certificate.read_bytes())
        self.key.write_bytes(other.key.read_bytes())

    def encrypt_key(self) -> None:
        """Have the key need a passphrase."""
        key = load_pem_private_key(self.key.read_bytes(), None)
        encryption = BestAvailableEncryption(b"secret")
        self.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))


class Authority:
    """Issues certificates; `file` is what its clients trust."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._authority = trustme.CA()
        self._folder = folder
        self._name = name
        self._issued = 0
        self.file = folder / f"{name}.pem"
        self._authority.cert_pem.write_to_path(self.file)

    def issue(self, *names: str, expires: datetime | None = None) -> Pair:
        """A new certificate for these names, with a key of its own."""
        self._issued += 1
        issued = self._authority.issue_cert(*names, not_after=expires)
        pair = Pair(*(self._folder / f"{self._name}-{self._issued}.{part}" for part in ("crt", "key")))
        for file in (pair.certificate, pair.key):
            file.touch(mode=0o600)
        issued.private_key_pem.write_to_path(pair.key)
        for blob in issued.cert_chain_pems:
            blob.write_to_path(pair.certificate, append=True)
        return pair

    def context(self) -> ssl.SSLContext:
        """For a client that trusts it."""
        return ssl.create_default_context(cafile=self.file)


def serial_of(connected: ssl.SSLObject | ssl.SSLSocket) -> int:
    """Of the certificate that the other side has shown."""
    shown = connected.getpeercert(binary_form=True)
    assert shown is not None
    return load_der_x509_certificate(shown).serial_number
