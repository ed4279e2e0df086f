"""A refusal over HTTP, of a request or of an upgrade, as the protocol's error (RFC 9457, RFC 9110)."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from transfer.protocol import errors
from transfer.protocol.errors import BadMessage, TooMany, TransferError
from transfer.protocol.limits import KIB
from transfer.protocol.messages import read_object

PROBLEM: Final = "application/problem+json"
MAX_PROBLEM_BYTES: Final = 64 * KIB


class _Problem(BaseModel):
    """This protocol's code and sentence; what else is in it are the facts."""

    model_config = ConfigDict(extra="allow")

    code: str
    detail: str = ""
    title: str = ""
    retryable: bool = False

    @property
    def error(self) -> TransferError:
        usual = {"type", "status", "instance", "message", "self"}
        facts = {key: value for key, value in (self.model_extra or {}).items() if key not in usual}
        return errors.error_of(self.code, self.detail or self.title, retryable=self.retryable, facts=facts)


def read_problem(body: bytes | bytearray, *, retry_after: str | None) -> TransferError | None:
    """The error that a problem's body tells of; None where it tells of none. A server that says when to come back
    means that it helps."""
    try:
        error = _Problem.model_validate(read_object(body.decode())).error
    except (BadMessage, UnicodeDecodeError, ValidationError):
        return None
    if (seconds := seconds_of(retry_after)) is not None:
        error.facts["retry_after"] = seconds
        error.retryable = error.retryable or isinstance(error, TooMany)
    return error


def media_type(header: str | None) -> str:
    """`text/html` of `Text/HTML; charset=utf-8`."""
    return (header or "").partition(";")[0].strip().lower()


def seconds_of(retry_after: str | None) -> float | None:
    """How long to wait (RFC 9110, section 10.2.3): so many seconds, or until a time. None for anything else."""
    text = (retry_after or "").strip()
    if text.isascii() and text.isdecimal() and len(text) < 10:
        return float(text)
    try:
        moment = parsedate_to_datetime(text) if text else None
    except ValueError:
        return None
    if moment is None:
        return None
    return max(0.0, (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
