"""One file as an HTTP response: which bytes of it, and what is said about them (RFC 9110, 9530, 6266)."""

import base64
import re
from collections.abc import AsyncGenerator, Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Final
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.responses import Response

from storage.errors import WriteFailed
from storage.store import Content, StoredFile
from transfer.problems import problem_response
from transfer.protocol.digest import Digest
from transfer.protocol.errors import BadMessage
from transfer.protocol.limits import MIB
from transfer.protocol.names import Name
from transfer.protocol.ranges import Range
from transfer.streamed import Counting, Sharing, StreamedResponse, Watching, nobody_counts

READ_BYTES: Final = MIB
DOWNLOAD_RESPONSES: Final[dict[int | str, dict[str, object]]] = {
    200: {"description": "The content", "content": {"*/*": {}}},
    206: {"description": "The range of it that was asked for", "content": {"*/*": {}}},
    304: {"description": "The caller has it already"},
}


_SINGLE_RANGE: Final = re.compile(r"bytes=[ \t]*([0-9]{0,30})-([0-9]{0,30})[ \t]*", re.IGNORECASE)
_ENTITY_TAG: Final = re.compile(r'(?:W/)?("[^"]*")')
_NOT_IN_FALLBACK: Final = re.compile(r'[^ -~]|["%\\]|=(?=\?)')
"""Browsers decode `%2e`, and `=?UTF-8?Q?=2e?=` (RFC 2047), which then may be any name."""
_INERT: Final = re.compile(
    r"(?:(?:audio|font|video)/[a-z0-9.+-]+|image/(?:apng|avif|bmp|gif|heic|jpeg|png|tiff|webp)"
    r"|application/(?:gzip|json|octet-stream|zip)|text/(?:csv|plain)(?:; ?charset=utf-8)?)",
    re.IGNORECASE,
)
"""Types of which no browser makes a document, a script, a style sheet or a worker."""


class Unsatisfiable(Exception):
    """The range begins behind the content's end."""


def download(
    content: Content,
    method: str,
    headers: Headers,
    watching: Watching,
    sharing: Sharing,
    *,
    said_besides: Mapping[str, str] | None = None,
    counting: Counting = nobody_counts,
) -> Response:
    """The answer to a GET or HEAD with these request headers. `content` stays open until it was sent, as fast as
    `sharing` says, and `watching` may cut it off; `said_besides` are headers of the caller's, and `counting` hears how
    much was sent."""
    file = content.file
    described = description(file) | dict(said_besides or {})
    if is_known(headers.get("if-none-match"), described["etag"]):
        return Response(None, 304, {key: described[key] for key in ("etag", "cache-control")})
    if method == "HEAD":
        return Response(None, 200, described | {"content-length": str(file.size)})
    try:
        span = requested_range(headers, described["etag"], file.size)
    except Unsatisfiable:
        return _unsatisfiable(file.size)
    if span is None:
        whole = described | {"content-length": str(file.size)}
        return StreamedResponse(_read(content, 0, file.size), whole, watching, sharing=sharing, counting=counting)
    shown = f"bytes {span.start}-{span.end - 1}/{file.size}"
    partial = described | {"content-length": str(span.size), "content-range": shown}
    pieces = _read(content, span.start, span.end)
    return StreamedResponse(pieces, partial, watching, 206, sharing=sharing, counting=counting)


def wanted_bytes(file: StoredFile, method: str, headers: Headers) -> Range | None:
    """The bytes that `download` answers these request headers with; None where it sends none of the content."""
    etag = entity_tag(file)
    if method == "HEAD" or is_known(headers.get("if-none-match"), etag):
        return None
    try:
        return requested_range(headers, etag, file.size) or Range(0, file.size)
    except Unsatisfiable:
        return None


def description(file: StoredFile) -> dict[str, str]:
    """The headers that hold for the whole content, whichever part of it is sent."""
    headers = {
        "content-type": served_type(file.content_type),
        "content-disposition": disposition(file.name),
        "etag": entity_tag(file),
        "accept-ranges": "bytes",
        "cache-control": "private, no-cache",
        "x-content-type-options": "nosniff",
        "content-security-policy": "sandbox; default-src 'none'",
        "cross-origin-resource-policy": "same-origin",
    }
    if (digest := _repr_digest(file.digest)) is not None:
        headers["repr-digest"] = digest
    if file.modified is not None and file.modified <= datetime.now(UTC):
        headers["last-modified"] = format_datetime(file.modified.astimezone(UTC), usegmt=True)
    return headers


def served_type(stored: str) -> str:
    """The type that browsers are told. `Content-Disposition` and the policy are only for what is navigated to: what a
    page loads as a script, a worker or a style sheet, or fetches into a blob, goes by this type alone."""
    return stored if _INERT.fullmatch(stored) else "application/octet-stream"


def disposition(name: Name) -> str:
    """Save it under the name's last segment (RFC 6266): in ASCII as far as that goes, and exactly."""
    fallback = _NOT_IN_FALLBACK.sub("_", name.last)
    plain = f'attachment; filename="{fallback}"'
    return plain if fallback == name.last else f"{plain}; filename*=UTF-8''{quote(name.last, safe='')}"


def entity_tag(file: StoredFile) -> str:
    """Its strong entity tag: the digest says which content it is."""
    return f'"{file.digest}"'


def is_meant(if_match: str | None, etag: str) -> bool:
    """Whether the client speaks of this content (RFC 9110, section 13.1.1: a weak tag is none of it)."""
    return if_match is None or if_match.strip() == "*" or etag in map(str.strip, if_match.split(","))


def is_known(if_none_match: str | None, etag: str) -> bool:
    """Whether the client has this content already (RFC 9110, section 13.1.2)."""
    return if_none_match is not None and (if_none_match.strip() == "*" or etag in _ENTITY_TAG.findall(if_none_match))


def requested_range(headers: Headers, etag: str, size: int) -> Range | None:
    """The one range that is wanted; None for everything: no range, several, another unit, no syntax, or a content
    that is not the one it was of (`If-Range`). Raises Unsatisfiable."""
    wanted = headers.getlist("range")
    match = _SINGLE_RANGE.fullmatch(wanted[0]) if len(wanted) == 1 else None
    if match is None or headers.get("if-range", etag) != etag:
        return None
    first, last = match.groups()
    if first and last and int(last) < int(first):
        return None
    if first and int(first) < size:
        return Range(int(first), min(int(last) + 1, size) if last else size)
    if not first and last and int(last) > 0:
        return Range(max(size - int(last), 0), size) if size else None
    if first or last:
        raise Unsatisfiable
    return None


def _unsatisfiable(size: int) -> Response:
    detail = f"the range begins behind the end of {size} bytes"
    return problem_response(
        416, BadMessage.code, detail, facts={"size": size}, headers={"content-range": f"bytes */{size}"}
    )


def _repr_digest(digest: Digest) -> str | None:
    """RFC 9530; BLAKE3 is not in its registry."""
    if digest.algorithm != "sha256":
        return None
    return f"sha-256=:{base64.b64encode(bytes.fromhex(digest.hex)).decode()}:"


async def _read(content: Content, start: int, end: int) -> AsyncGenerator[bytes, None]:
    """The bytes of a range. Raises WriteFailed when the disk does not have them."""
    while start < end:
        piece = await content.read(start, min(READ_BYTES, end - start))
        if not piece:
            raise WriteFailed
        yield piece
        start += len(piece)
