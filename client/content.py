"""Contents that come over HTTP: what an answer says of one in its headers. Nothing here sends or receives."""

import base64
import binascii
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from urllib.parse import unquote

from transfer.protocol.digest import Digest


@dataclass(frozen=True, slots=True)
class ContentInfo:
    """What the server says of a content before it sends any. `digest` only when it is SHA-256; `file_name` is what it
    proposes to save it as, as it came."""

    etag: str
    size: int
    digest: Digest | None
    modified: datetime | None
    file_name: str | None = None


@dataclass(frozen=True, slots=True)
class Content:
    """An answer that brings content: `chunks` are its bytes from `offset` on; reading them may raise
    ConnectionBroken."""

    info: ContentInfo
    offset: int
    chunks: AsyncIterator[bytes]


def described(status: int, headers: Mapping[str, str]) -> tuple[int, ContentInfo]:
    """Where the bytes of an answer begin, and what it says of the whole. Raises ValueError where it says too little."""
    start, size = _extent(status, headers)
    etag = headers.get("ETag")
    if etag is None or size is None:
        raise ValueError("it does not say which content it has, or how long it is")
    return start, ContentInfo(
        etag=etag,
        size=size,
        digest=_sha256_of(headers.get("Repr-Digest", "")),
        modified=_time_of(headers.get("Last-Modified")),
        file_name=_file_name_of(headers.get("Content-Disposition", "")),
    )


def _extent(status: int, headers: Mapping[str, str]) -> tuple[int, int | None]:
    """Where the bytes begin, and how many the whole has."""
    if status != 206:
        return 0, _number(headers.get("Content-Length"))
    unit, _, rest = headers.get("Content-Range", "").partition(" ")
    span, _, size = rest.partition("/")
    start = _number(span.partition("-")[0])
    if unit != "bytes" or start is None:
        raise ValueError("it answered with a part that it does not say the place of")
    return start, _number(size)


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdecimal() else None


def _sha256_of(header: str) -> Digest | None:
    """The SHA-256 of a Repr-Digest (RFC 9530): `sha-256=:base64:`, among others perhaps."""
    for member in header.split(","):
        algorithm, _, value = member.strip().partition("=")
        if algorithm == "sha-256":
            try:
                raw = base64.b64decode(value.strip().strip(":"), validate=True)
            except binascii.Error:
                return None
            return Digest("sha256", raw.hex()) if len(raw) == 32 else None
    return None


def _file_name_of(disposition: str) -> str | None:
    """The file name that an answer proposes (RFC 6266, section 4.3)."""
    exact = re.search(r"filename\*=UTF-8''([^;\s]+)", disposition, re.IGNORECASE)
    if exact is not None:
        return unquote(exact[1])
    plain = re.search(r'filename="([^"]*)"', disposition, re.IGNORECASE)
    return None if plain is None else plain[1]


def _time_of(header: str | None) -> datetime | None:
    try:
        return parsedate_to_datetime(header) if header else None
    except ValueError:
        return None
