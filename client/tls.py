"""Whether a server is who it says: certificates are always verified, and what is wrong with one is a sentence."""

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from client.errors import CannotConnect

UNKNOWN_AUTHORITY: Final = frozenset([2, 18, 19, 20, 21])
"""Verify codes of OpenSSL (x509_vfy.h): no issuer that is known here, or one's own signature."""
WRONG_NAME: Final = frozenset([62, 64])
NO_TLS: Final = frozenset(["WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"])
"""What OpenSSL calls an answer that is no TLS."""


def tls_context(server: str, ca_file: Path | str | None = None) -> ssl.SSLContext | None:
    """What connections to this server are made with: it trusts the authorities in `ca_file`, or those of the system.
    None for plain HTTP. Raises CannotConnect."""
    if urlsplit(server).scheme != "https":
        return None
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except ssl.SSLError:
        raise CannotConnect(server, f"there are no certificates in PEM in {ca_file}") from None
    except OSError as failed:
        raise CannotConnect(server, f"{ca_file} cannot be read: {(failed.strerror or '').lower()}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def tls_refusal(failed: BaseException) -> str | None:
    """What is wrong with the server's TLS, where another attempt would find the same; None for any other failure."""
    for cause in causes(failed):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _not_verified(cause)
        if isinstance(cause, ssl.SSLError) and cause.reason in NO_TLS:
            return "it does not speak TLS: write http:// instead of https://"
    return None


def _not_verified(refused: ssl.SSLCertVerificationError) -> str:
    problem = refused.verify_message.rstrip(".")
    if refused.verify_code in UNKNOWN_AUTHORITY:
        advice = "give the file of its authority with --ca-file or TOWLINE_CA_FILE"
        return f"its certificate is not trusted ({problem}): {advice}"
    if refused.verify_code in WRONG_NAME:
        return f"its certificate is for another name ({problem}): give the name that is in it"
    return f"its certificate is not valid ({problem}): it needs another one"


def causes(error: BaseException) -> Iterator[BaseException]:
    """What led to an error, the error itself first."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        if isinstance(seen, BaseExceptionGroup):
            yield from seen.exceptions
        seen = seen.__cause__ or seen.__context__
