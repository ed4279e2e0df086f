"""The server's certificate and its key, from their files: read at the start, and again whenever the operator says so.

A pair that cannot be used is refused before anybody is served with it, so a reload either has the whole new pair or
leaves the old one as it was.
"""

import ssl
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from transfer import logs

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

WIRE_PROTOCOL: Final = "http/1.1"
"""What is spoken inside of TLS (RFC 7301)."""
logger = logs.logger("towline.tls")


class CertificateRefused(Exception):
    """A certificate or key that cannot be used; `str()` is a sentence for the operator and names the file."""


class ServerCertificate:
    """A certificate with its key, and the context in which connections use them. Raises CertificateRefused."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._certificate = certificate
        self._key = key
        self.load()

    @property
    def context(self) -> ssl.SSLContext:
        """The one for new connections; those that are open keep theirs."""
        return self._context

    def load(self) -> datetime:
        """Read both files again; returns when the certificate expires. Raises CertificateRefused, and then everything
        is as it was."""
        (leaf, *_) = _certificates(self._certificate)
        self._context = _context(self._certificate, self._key)
        if stat.S_IROTH & self._key.stat().st_mode:
            logger.warning("everybody on this machine can read the key", file=str(self._key))
        if leaf.not_valid_after_utc <= datetime.now(UTC):
            logger.warning("the certificate has expired", file=str(self._certificate))
        return leaf.not_valid_after_utc


def _certificates(file: Path) -> "list[Certificate]":
    """The certificates in a file, the server's own first."""
    from cryptography.x509 import load_pem_x509_certificates  # 9 MiB, and most servers speak no TLS themselves

    try:
        return load_pem_x509_certificates(_content(file, "certificate"))
    except ValueError:
        raise CertificateRefused(f"the certificate {file} is not one in PEM") from None


def _context(certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols([WIRE_PROTOCOL])
    _content(key, "key")
    try:
        context.load_cert_chain(certificate, key, password=lambda: _passphrase(key))
    except ssl.SSLError as refused:
        if refused.reason == "KEY_VALUES_MISMATCH":
            raise CertificateRefused(f"the key {key} is not that of the certificate {certificate}") from None
        raise CertificateRefused(f"the key {key} is not one in PEM, or not for this certificate") from None
    return context


def _passphrase(key: Path) -> str:
    """Nobody is there to be asked for it."""
    raise CertificateRefused(f"the key {key} needs a passphrase: give one without")


def _content(file: Path, role: str) -> bytes:
    try:
        return file.read_bytes()
    except OSError as failed:
        raise CertificateRefused(f"the {role} {file} cannot be read: {(failed.strerror or '').lower()}") from None
