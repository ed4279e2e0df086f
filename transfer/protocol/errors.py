"""The errors of the protocol: a class for each code.

    TransferError
    ├── BadMessage              bad_message           400
    ├── UnsupportedType         unsupported_type      400
    ├── UnsupportedDigest       unsupported_digest    400
    ├── Unauthorized            unauthorized          401  closes 1008
    ├── Forbidden               forbidden             403
    ├── InvalidName             invalid_name          400
    ├── Exists                  exists                409
    ├── NotFound                not_found             404
    ├── PreconditionFailed      precondition_failed   412
    ├── TooLarge                too_large             413
    ├── QuotaExceeded           quota_exceeded        507
    ├── InsufficientStorage     insufficient_storage  507
    ├── SizeMismatch            size_mismatch         409
    ├── DigestRequired          digest_required       400
    ├── DigestMismatch          digest_mismatch       409
    ├── Superseded              superseded            409  closes 4409
    ├── Busy                    busy                  503  retryable
    ├── StorageFailure          storage_failure       503  retryable
    ├── ProxyDenied             proxy_denied          403
    ├── ProxyFailed             proxy_failed          502  retryable
    ├── TooMany                 too_many              429
    ├── Timeout                 timeout               408  retryable, closes 4408
    ├── ShuttingDown            shutting_down         503  retryable, closes 1012
    ├── Internal                internal              500  retryable, closes 1011
    └── UnknownError            whatever a newer server says

The same error travels in a WebSocket frame (`ErrorMessage`) and as `application/problem+json` (RFC 9457). Facts are
JSON values beside the sentence.
"""

from typing import ClassVar

from pydantic import JsonValue


class TransferError(Exception):
    """A refusal or failure with a stable code. `str()` is a sentence for people, lower case, without a full stop."""

    code: ClassVar[str]
    retryable: bool = False
    """Whether waiting helps: the same request, sent again by itself, can succeed later."""
    close_code: ClassVar[int | None] = None
    http_status: ClassVar[int] = 400

    def __init__(self, message: str, /, **facts: JsonValue) -> None:
        super().__init__(message)
        self.message = message
        self.facts = facts
        self.ref: int | None = None

    def __str__(self) -> str:
        return self.message


class BadMessage(TransferError):
    """Not JSON, not an object, a field of the wrong type or out of range, a frame of the wrong kind."""

    code = "bad_message"


class UnsupportedType(TransferError):
    """A `type` that is not known here."""

    code = "unsupported_type"


class UnsupportedDigest(TransferError):
    """A digest algorithm that is not known here."""

    code = "unsupported_digest"


class Unauthorized(TransferError):
    """No valid token, or none any more."""

    code = "unauthorized"
    close_code = 1008
    http_status = 401


class Forbidden(TransferError):
    """The token lacks the scope, or the name is outside of its prefix."""

    code = "forbidden"
    http_status = 403


class InvalidName(TransferError):
    """A name that breaks a rule; says which."""

    code = "invalid_name"


class Exists(TransferError):
    """The name is taken by other content; carries its size and digest."""

    code = "exists"
    http_status = 409


class NotFound(TransferError):
    """No such upload or file, or not the caller's: the same answer."""

    code = "not_found"
    http_status = 404


class PreconditionFailed(TransferError):
    """The file is not what `If-Match` says: it was replaced meanwhile."""

    code = "precondition_failed"
    http_status = 412


class TooLarge(TransferError):
    """Over the limit of one file."""

    code = "too_large"
    http_status = 413


class QuotaExceeded(TransferError):
    """Over the caller's quota."""

    code = "quota_exceeded"
    http_status = 507


class InsufficientStorage(TransferError):
    """The disk's free floor would be passed."""

    code = "insufficient_storage"
    http_status = 507


class SizeMismatch(TransferError):
    """More bytes than announced, or EOF before all were there; the upload is kept."""

    code = "size_mismatch"
    http_status = 409


class DigestRequired(TransferError):
    """EOF without a digest; the upload is kept."""

    code = "digest_required"


class DigestMismatch(TransferError):
    """EOF with another digest than the bytes have; the upload is kept for repair."""

    code = "digest_mismatch"
    http_status = 409


class Superseded(TransferError):
    """Another connection has the lease."""

    code = "superseded"
    close_code = 4409
    http_status = 409


class Busy(TransferError):
    """The former holder's last write has not returned yet."""

    code = "busy"
    retryable = True
    http_status = 503


class StorageFailure(TransferError):
    """A write or sync failed; what was acked is safe."""

    code = "storage_failure"
    retryable = True
    http_status = 503


class ProxyDenied(TransferError):
    """An upstream that is not allowed; never says why."""

    code = "proxy_denied"
    http_status = 403


class ProxyFailed(TransferError):
    """An upstream that could not be reached, or did not become a WebSocket; never says why."""

    code = "proxy_failed"
    retryable = True
    http_status = 502


class TooMany(TransferError):
    """Over a limit of numbers. Of what the caller has itself, uploads and tunnels, it has to end some; of connections,
    which others have too, some end anyway, and what came too fast may come again: that is `retryable`."""

    code = "too_many"
    http_status = 429

    def __init__(self, message: str, /, *, retryable: bool = False, **facts: JsonValue) -> None:
        super().__init__(message, **facts)
        self.retryable = retryable


class Timeout(TransferError):
    """No header or chunk in time."""

    code = "timeout"
    retryable = True
    close_code = 4408
    http_status = 408


class ShuttingDown(TransferError):
    """The server drains; resume after it is back."""

    code = "shutting_down"
    retryable = True
    close_code = 1012
    http_status = 503


class Internal(TransferError):
    """A bug; details only in the server's log."""

    code = "internal"
    retryable = True
    close_code = 1011
    http_status = 500


class UnknownError(TransferError):
    """A code that this client does not know; `code` and `retryable` are the server's."""

    def __init__(self, code: str, message: str, /, *, retryable: bool, **facts: JsonValue) -> None:
        super().__init__(message, **facts)
        self.code = code  # type: ignore[misc]
        self.retryable = retryable


ERRORS: dict[str, type[TransferError]] = {
    error.code: error for error in TransferError.__subclasses__() if error is not UnknownError
}


def error_of(code: str, message: str, *, retryable: bool, facts: dict[str, JsonValue]) -> TransferError:
    """The error that a peer named by its code. What the class says of `retryable` counts, where it says it."""
    known = ERRORS.get(code)
    if known is None:
        return UnknownError(code, message, retryable=retryable, **facts)
    if known is TooMany:
        return TooMany(message, retryable=retryable, **facts)
    return known(message, **facts)
