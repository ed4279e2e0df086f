"""The JSON messages: pydantic models, one discriminated union per direction, and the strict reading of JSON.

Unknown fields are ignored, unknown types refused. `parse_client_message` and `parse_server_message` raise only
`TransferError`s, whose sentence says which field was wrong and with which value.
"""

import base64
import json
import re
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    PlainSerializer,
    SecretStr,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails

from transfer.protocol import errors, limits
from transfer.protocol.digest import (
    DEFAULT_ALGORITHM,
    Digest,
    UnsupportedAlgorithm,
    check_algorithm,
)
from transfer.protocol.errors import BadMessage, TransferError
from transfer.protocol.leaves import split_leaves
from transfer.protocol.names import InvalidName, Name
from transfer.protocol.ranges import Range
from transfer.protocol.tokens import VISITOR, parse_token


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("not a string")
    return value


def _parse_name(value: object) -> Name:
    return value if isinstance(value, Name) else Name.parse(_text(value))


def _parse_digest(value: object) -> Digest:
    return value if isinstance(value, Digest) else Digest.parse(_text(value))


def _parse_time(value: object) -> datetime:
    """The time in UTC, so that it can be kept and read again: `0001-01-01T00:00:00+01:00` is in no year there."""
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(_text(value))
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("not an RFC 3339 time") from None
    raise ValueError("not an RFC 3339 time: the offset from UTC is missing")


def _parse_range(value: object) -> Range:
    if not isinstance(value, list | tuple) or len(value) != 2 or any(type(edge) is not int for edge in value):
        raise ValueError("not a pair of integers [start, end]")
    start, end = value
    if not 0 <= start < end <= limits.MAX_SIZE:
        raise ValueError("not 0 ≤ start < end")
    return Range(start, end)


def _parse_secret(value: object) -> SecretStr:
    return value if isinstance(value, SecretStr) else parse_token(_text(value))


def _distinct(values: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(values)) < len(values):
        raise ValueError("one appears twice")
    return values


NameField = Annotated[Name, BeforeValidator(_parse_name), PlainSerializer(str)]
DigestField = Annotated[Digest, BeforeValidator(_parse_digest), PlainSerializer(str)]
TimeField = Annotated[datetime, BeforeValidator(_parse_time)]
RangeField = Annotated[Range, BeforeValidator(_parse_range), PlainSerializer(list)]
TokenField = Annotated[
    SecretStr,
    BeforeValidator(_parse_secret),
    PlainSerializer(lambda secret: secret.get_secret_value(), when_used="json"),
]
"""Only the frame itself has it: not what is printed or logged of a message, and no error."""
AlgorithmField = Annotated[str, BeforeValidator(lambda value: check_algorithm(_text(value)))]
Size = Annotated[int, Field(strict=True, ge=0, le=limits.MAX_SIZE)]
Positive = Annotated[int, Field(strict=True, ge=1, le=limits.MAX_SIZE)]
Identifier = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=128)]
Subprotocol = Annotated[str, StringConstraints(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$")]
"""A token (RFC 9110, section 5.6.2)."""
Ranges = Annotated[tuple[RangeField, ...], Field(strict=False)]
IfExists = Literal["error", "replace", "rename"]


class Message(BaseModel):
    """What every message has in common."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True, arbitrary_types_allowed=True, defer_build=True)

    def to_json(self) -> str:
        """The text frame of this message; fields that are not set are left out."""
        return self.model_dump_json(exclude_none=True)


class Operation(Message):
    """A message that begins an operation."""

    ref: Annotated[int, Field(ge=0, le=limits.MAX_SIZE)] | None = None


# ---------------------------------------------------------------------------------------------- client to server


class UploadHeader(Operation):
    """Begin, continue, or send a part of an upload."""

    type: Literal["upload"] = "upload"
    name: NameField
    size: Size | None = None
    upload_id: Identifier | None = None
    lease: Identifier | None = None
    resume: bool = True
    if_exists: IfExists = "error"
    digest_algorithm: AlgorithmField = DEFAULT_ALGORITHM
    digest: DigestField | None = None
    modified: TimeField | None = None
    content_type: (
        Annotated[
            str,
            Field(
                max_length=limits.MAX_CONTENT_TYPE_BYTES,
                pattern=r"^[!-~]+/[!-~][ -~]*$",
            ),
        ]
        | None
    ) = None
    metadata: dict[str, str] = Field(default_factory=dict)
    offset: Annotated[int, Field(ge=0, le=0)] | None = None
    range: RangeField | None = None
    rewrite: bool = False

    @field_validator("metadata")
    @classmethod
    def _small_metadata(cls, metadata: dict[str, str]) -> dict[str, str]:
        size = len(json.dumps(metadata, ensure_ascii=False).encode()) if metadata else 0
        if size > limits.MAX_METADATA_BYTES:
            raise ValueError(f"{size} bytes, more than {limits.MAX_METADATA_BYTES}")
        return metadata

    @model_validator(mode="after")
    def _fields_fit(self) -> Self:
        if self.lease is not None and self.upload_id is None:
            raise ValueError("lease without upload_id")
        if self.range is not None and (self.upload_id is None or self.lease is None):
            raise ValueError("range without upload_id and lease")
        if self.rewrite and self.range is None:
            raise ValueError("rewrite without range")
        if self.offset is not None and self.upload_id is not None:
            raise ValueError("offset with upload_id")
        return self


class EofMessage(Operation):
    """All bytes were sent. With `upload_id` and `lease` it is an operation of its own, after ranges."""

    type: Literal["eof"] = "eof"
    digest: DigestField | None = None
    upload_id: Identifier | None = None
    lease: Identifier | None = None

    @model_validator(mode="after")
    def _fields_fit(self) -> Self:
        if (self.upload_id is None) != (self.lease is None):
            raise ValueError("upload_id and lease come together")
        return self


class CancelMessage(Message):
    """Drop the upload and its bytes."""

    type: Literal["cancel"] = "cancel"


class TextHeader(Operation):
    """Echo this text."""

    type: Literal["text"] = "text"
    text: str

    @field_validator("text")
    @classmethod
    def _small_text(cls, text: str) -> str:
        if (size := len(text.encode())) > limits.MAX_TEXT_BYTES:
            raise ValueError(f"{size} bytes, more than {limits.MAX_TEXT_BYTES}")
        return text


class ProxyHeader(Operation):
    """Become a tunnel to an upstream, by its name or by its URL."""

    type: Literal["proxy"] = "proxy"
    upstream: Annotated[str, StringConstraints(min_length=1, max_length=limits.MAX_URL_CHARACTERS)] | None = None
    url: Annotated[str, StringConstraints(min_length=1, max_length=limits.MAX_URL_CHARACTERS)] | None = None
    subprotocols: Annotated[
        tuple[Subprotocol, ...], Field(strict=False, max_length=limits.MAX_SUBPROTOCOLS), AfterValidator(_distinct)
    ] = ()

    @model_validator(mode="after")
    def _fields_fit(self) -> Self:
        if (self.upstream is None) == (self.url is None):
            raise ValueError("either upstream or url")
        return self


class AuthMessage(Operation):
    """Say who one is: before the first header, or again, to go on when the token in use expires. `visitor` tells those
    apart who come through one request link."""

    type: Literal["auth"] = "auth"
    token: TokenField
    visitor: Annotated[str, StringConstraints(pattern=VISITOR)] | None = None


ClientMessage = UploadHeader | EofMessage | CancelMessage | TextHeader | ProxyHeader | AuthMessage

# ---------------------------------------------------------------------------------------------- server to client


class FileEntry(Message):
    """A file, as listings and `complete` show it. Visitors of a request link are not told whose it is, and where."""

    name: NameField
    size: Size
    digest: DigestField
    content_type: str
    modified: TimeField | None = None
    created: TimeField
    owner: str | None = None
    metadata: dict[str, str] = Field(default_factory=dict)
    url: str | None = None


class Existing(Message):
    """The content that has the name already."""

    size: Size
    digest: DigestField


class ReadyMessage(Operation):
    """Where to go on."""

    type: Literal["ready"] = "ready"
    upload_id: str
    lease: str
    name: NameField
    size: Size | None = None
    offset: Size
    chunk_size: Positive
    window: Positive
    leaf_size: Positive
    leaves: str = ""
    missing: Ranges | None = None
    existing: Existing | None = None
    digest_algorithms: Annotated[tuple[str, ...], Field(strict=False)] = ()


class AckMessage(Operation):
    """Every byte below `offset` survives a power cut."""

    type: Literal["ack"] = "ack"
    offset: Size
    window: Positive | None = None


class MissingMessage(Operation):
    """These ranges are to be sent again: the disk changed what it had stored."""

    type: Literal["missing"] = "missing"
    ranges: Ranges


class VerifyingMessage(Operation):
    """The server still hashes; it is at `offset`."""

    type: Literal["verifying"] = "verifying"
    offset: Size


class CompleteMessage(Operation):
    """The file is published."""

    type: Literal["complete"] = "complete"
    file: FileEntry
    unchanged: bool | None = None


class CancelledMessage(Operation):
    """The upload and its bytes are gone."""

    type: Literal["cancelled"] = "cancelled"


class EchoMessage(Operation):
    """The text that came."""

    type: Literal["echo"] = "echo"
    text: str


class ProxyReadyMessage(Operation):
    """The connection is a tunnel from now on."""

    type: Literal["ready"] = "ready"
    url: str
    subprotocol: str | None = None


class AuthorizedMessage(Operation):
    """The token of an `auth` is good; until `expires`, where it does."""

    type: Literal["authorized"] = "authorized"
    subject: str
    expires: TimeField | None = None


class ErrorMessage(Operation):
    """An operation that ended without success; facts are further fields."""

    model_config = ConfigDict(extra="allow")

    type: Literal["error"] = "error"
    code: str
    message: str
    retryable: bool = False

    @classmethod
    def of(cls, error: TransferError, ref: int | None = None) -> Self:
        fields = {"code": error.code, "message": error.message, "retryable": error.retryable}
        return cls.model_validate(error.facts | fields | {"type": "error", "ref": ref})

    @property
    def error(self) -> TransferError:
        return errors.error_of(
            self.code,
            self.message,
            retryable=self.retryable,
            facts=self.model_extra or {},
        )


def encode_leaves(joined: bytes) -> str:
    """Leaf checksums as `ready` and `digest_mismatch` carry them."""
    return base64.b64encode(joined).decode("ascii")


def decode_leaves(text: str) -> list[bytes]:
    """The checksums, 16 bytes each. Raises BadMessage."""
    try:
        return split_leaves(base64.b64decode(text, validate=True))
    except ValueError as refused:
        raise BadMessage(f"the leaves are not base64 of checksums: {refused}") from None


ServerMessage = (
    ReadyMessage
    | AckMessage
    | MissingMessage
    | VerifyingMessage
    | CompleteMessage
    | CancelledMessage
    | EchoMessage
    | AuthorizedMessage
    | ErrorMessage
)
ProxyAnswer = ProxyReadyMessage | ErrorMessage
"""What a `proxy` header is answered with; `ready` has other fields there."""

# ------------------------------------------------------------------------------------------------------ reading

_LATER: Final = ConfigDict(defer_build=True)
_CLIENT: TypeAdapter[ClientMessage] = TypeAdapter(Annotated[ClientMessage, Field(discriminator="type")], config=_LATER)
_SERVER: TypeAdapter[ServerMessage] = TypeAdapter(Annotated[ServerMessage, Field(discriminator="type")], config=_LATER)
_PROXY: TypeAdapter[ProxyAnswer] = TypeAdapter(Annotated[ProxyAnswer, Field(discriminator="type")], config=_LATER)
_SHOWN_CHARACTERS: Final = 80
_ID: Final = re.compile(r"(?<![0-9A-Za-z])(?=[0-9]*[a-f])([0-9a-f]{6})[0-9a-f]{18,}(?![0-9A-Za-z])")
"""An upload's id, a lease, or the secret of a token: whoever hears of one may go on with what it is of."""
_SECRET_FIELD: Final = "token"
_SECRET_FIELDS: Final = (_SECRET_FIELD, "password")
Reply = TypeVar("Reply")


def parse_client_message(text: str) -> ClientMessage:
    """Read a client's text frame. Raises BadMessage, UnsupportedType, UnsupportedDigest or InvalidName, with the
    `ref` of the message where it had one."""
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > limits.MAX_TEXT_FRAME_BYTES:
        raise _too_long(size, limits.MAX_TEXT_FRAME_BYTES)
    fields = read_object(text)
    try:
        if size > limits.MAX_HEADER_BYTES and fields.get("type") != "text":
            raise _too_long(size, limits.MAX_HEADER_BYTES)
        return _CLIENT.validate_python(fields)
    except ValidationError as refused:
        error = _refusal(refused, fields)
    except BadMessage as refused:
        error = refused
    error.ref = _ref_of(fields)
    raise error


def parse_server_message(text: str) -> ServerMessage:
    """Read a server's text frame. Raises what `parse_client_message` does. Its texts can be shown: none has a lone
    surrogate."""
    return read_reply(_SERVER, text)


def parse_proxy_answer(text: str) -> ProxyAnswer:
    """Read what answers a `proxy` header. Raises what `parse_client_message` does."""
    return read_reply(_PROXY, text)


def read_reply(kinds: TypeAdapter[Reply], text: str) -> Reply:
    """Read what a server says, as one of these. Raises what `parse_client_message` does."""
    fields = read_object(text)
    if (not text.isascii() or "\\u" in text) and _has_lone_surrogates(fields):
        raise BadMessage(f"a text with a lone surrogate: {_excerpt(text)}")
    try:
        return kinds.validate_python(fields)
    except ValidationError as refused:
        raise _refusal(refused, fields) from None


def read_object(text: str) -> dict[str, Any]:
    """Strict JSON: one object, no NaN or infinity, no duplicate keys, depth ≤ 8. Raises BadMessage."""
    try:
        value = _DECODER.decode(text)
    except RecursionError:
        raise BadMessage("JSON nested too deeply", limit=limits.MAX_JSON_DEPTH) from None
    except ValueError as refused:
        raise BadMessage(f"not strict JSON: {refused}: {_excerpt(text)}") from None
    if not isinstance(value, dict):
        raise BadMessage(f"expected a JSON object, got {_excerpt(text)}")
    opened = text.count("{") + text.count("[")
    if opened > limits.MAX_JSON_DEPTH and _deeper_than(value, limits.MAX_JSON_DEPTH):
        raise BadMessage(
            f"JSON nested deeper than {limits.MAX_JSON_DEPTH}",
            limit=limits.MAX_JSON_DEPTH,
        )
    return value


def _no_duplicates(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a key appears twice")
    return fields


def _no_constants(constant: str) -> JsonValue:
    raise ValueError(f"{constant} is not JSON (RFC 8259, section 6)")


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_no_duplicates, parse_constant=_no_constants)


def _deeper_than(value: JsonValue, depth: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    if depth == 0:
        return True
    return any(_deeper_than(inner, depth - 1) for inner in (value.values() if isinstance(value, dict) else value))


def _has_lone_surrogates(value: JsonValue) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def _excerpt(text: str) -> str:
    """The beginning of a message that could not be read, unless it may be that of a token, or a password."""
    return "(not shown: it may have a token)" if any(field in text for field in _SECRET_FIELDS) else _shown(text)


def _shown(value: object) -> str:
    """What came, as it may stand in an error: ASCII, not long, and of ids only their beginning."""
    text = _ID.sub(r"\1..", ascii(value))
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"


def _ref_of(fields: dict[str, Any]) -> int | None:
    """The `ref` of a message that was refused, where it is one."""
    ref = fields.get("ref")
    return ref if type(ref) is int and 0 <= ref <= limits.MAX_SIZE else None


def _too_long(size: int, limit: int) -> BadMessage:
    return BadMessage(f"a header of {size} bytes is longer than {limit}", size=size, limit=limit)


def _refusal(refused: ValidationError, fields: dict[str, Any]) -> TransferError:
    """The error of the protocol for the first thing that pydantic found wrong."""
    first = refused.errors(include_url=False)[0]
    if first["type"] == "union_tag_not_found":
        return BadMessage("a message without a type: add the field type")
    if first["type"] == "union_tag_invalid":
        shown = _shown(fields.get("type"))
        if not isinstance(fields.get("type"), str):
            return BadMessage(f"the type is not a string: {shown}", field="type")
        return errors.UnsupportedType(f"type {shown} is not known here")
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, InvalidName):
        return errors.InvalidName(str(cause), rule=cause.rule)
    if isinstance(cause, UnsupportedAlgorithm):
        named = cause.algorithm[:64].encode("utf-8", "backslashreplace").decode()  # it may have lone surrogates
        return errors.UnsupportedDigest(str(cause), algorithm=named)
    return _bad_field(first, cause)


def _bad_field(first: ErrorDetails, cause: object) -> BadMessage:
    field = ".".join(str(part) for part in first["loc"][1:])
    problem = str(cause) if cause is not None else first["msg"].lower()
    if first["type"] == "missing":
        return BadMessage(f"the field {field} is missing", field=field)
    if not field:
        return BadMessage(f"fields that do not fit together: {problem}")
    shown = "" if _SECRET_FIELD in first["loc"] else f", got {_shown(first['input'])}"
    return BadMessage(f"the field {field} is wrong: {problem}{shown}", field=field)
