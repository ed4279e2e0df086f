"""What a connection may take, and what is said to those who take more; uvicorn's configuration carries both."""

from dataclasses import dataclass
from typing import Any, Final

import uvicorn
from starlette.responses import Response
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from transfer.admission import Places
from transfer.problems import problem_response
from transfer.protocol import limits
from transfer.protocol.errors import Timeout, TooLarge, TooMany

RETRY_AFTER_SECONDS: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """What a connection may take, whatever it is used for. `transfer.settings` describes each."""

    handshake_timeout: float = limits.HANDSHAKE_SECONDS
    max_head_bytes: int = limits.MAX_HEAD_BYTES
    max_head_fields: int = limits.MAX_HEAD_FIELDS
    message_timeout: float = limits.MESSAGE_SECONDS
    min_upload_rate: float = limits.MIN_UPLOAD_RATE
    max_connections: int = limits.MAX_CONNECTIONS
    max_connections_per_address: int = limits.MAX_CONNECTIONS_PER_ADDRESS


class EngineConfig(uvicorn.Config):
    """uvicorn's configuration of one server, with limits; for the protocols of this package."""

    def __init__(self, app: ASGIApp, connection_limits: ConnectionLimits, **options: Any) -> None:
        super().__init__(app, **options)
        self.limits = connection_limits
        self.places = Places(connection_limits.max_connections, connection_limits.max_connections_per_address)
        self.answers = Answers.of(connection_limits)


@dataclass(frozen=True, slots=True)
class Answers:
    """What is said to those who pass a limit, ready to be sent."""

    too_many: bytes
    head_too_large: bytes
    too_slow: bytes

    @classmethod
    def of(cls, allowed: ConnectionLimits) -> "Answers":
        size, fields = allowed.max_head_bytes, allowed.max_head_fields
        return cls(
            too_many=_raw(
                problem_response(
                    503,
                    TooMany.code,
                    "the server has as many connections as it takes, or as it takes from one address: come back later",
                    retryable=True,
                    headers={"retry-after": str(RETRY_AFTER_SECONDS)},
                )
            ),
            head_too_large=_raw(
                problem_response(
                    431,
                    TooLarge.code,
                    f"the head of a request is at most {size} bytes and {fields} fields",
                    facts={"limit": size},
                )
            ),
            too_slow=_raw(
                problem_response(408, Timeout.code, "the request was not complete in time", retryable=Timeout.retryable)
            ),
        )


def _raw(response: Response) -> bytes:
    """An answer as it goes over the wire, where no application gives it."""
    fields = b"".join(b"%s: %s\r\n" % field for field in response.raw_headers)
    return STATUS_LINE[response.status_code] + fields + b"connection: close\r\n\r\n" + bytes(response.body)
