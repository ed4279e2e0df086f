"""What is said over HTTP where no application gives the answer, ready to be sent."""

from dataclasses import dataclass
from typing import Final

from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import STATUS_LINE
from websockets.http11 import MAX_LINE_LENGTH

from transfer.problems import problem_response
from transfer.protocol.errors import BadMessage, ShuttingDown, Timeout, TooLarge, TooMany

RETRY_AFTER_SECONDS: Final = 10
SLOW_DOWN_SECONDS: Final = 1
"""Whoever came too fast for a second is welcome in the next one."""


@dataclass(frozen=True, slots=True)
class Answers:
    """Whole responses; each ends the connection."""

    too_many: bytes
    too_fast: bytes
    head_too_large: bytes
    line_too_long: bytes
    too_slow: bytes
    shutting_down: bytes
    tls_expected: bytes

    @classmethod
    def prepared(cls, max_head_bytes: int, max_head_fields: int) -> "Answers":
        """The answers of a server with these limits."""
        return cls(
            too_many=_too_many(
                "the server has as many connections as it takes, or as it takes from one address: come back later",
                RETRY_AFTER_SECONDS,
            ),
            too_fast=_too_many(
                "more connections a second than the server takes from one address: come back later",
                SLOW_DOWN_SECONDS,
            ),
            head_too_large=_too_large(
                f"the head of a request is at most {max_head_bytes} bytes and {max_head_fields} fields", max_head_bytes
            ),
            line_too_long=_too_large(
                f"a line in the head of an upgrade is at most {MAX_LINE_LENGTH} bytes", MAX_LINE_LENGTH
            ),
            too_slow=_raw(
                problem_response(408, Timeout.code, "the request was not complete in time", retryable=Timeout.retryable)
            ),
            shutting_down=_raw(
                problem_response(
                    503,
                    ShuttingDown.code,
                    "the server stops: come back when it has started again",
                    retryable=ShuttingDown.retryable,
                    headers={"retry-after": str(RETRY_AFTER_SECONDS)},
                )
            ),
            tls_expected=_raw(
                problem_response(400, BadMessage.code, "this port speaks TLS: write https:// instead of http://")
            ),
        )


def _too_many(detail: str, seconds: int) -> bytes:
    """503 and not 429: the clients of WebSockets take that for a refusal, and do not come back."""
    headers = {"retry-after": str(seconds)}
    return _raw(problem_response(503, TooMany.code, detail, retryable=True, headers=headers))


def _too_large(detail: str, limit: int) -> bytes:
    return _raw(problem_response(431, TooLarge.code, detail, facts={"limit": limit}))


def _raw(response: Response) -> bytes:
    """An answer as it goes over the wire."""
    fields = b"".join(b"%s: %s\r\n" % field for field in response.raw_headers)
    return STATUS_LINE[response.status_code] + fields + b"connection: close\r\n\r\n" + bytes(response.body)
