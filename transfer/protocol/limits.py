"""Sizes, windows and times: the protocol's defaults and bounds. Bytes and seconds."""

from typing import Final

KIB: Final = 1 << 10
MIB: Final = 1 << 20
GIB: Final = 1 << 30
TIB: Final = 1 << 40

PROTOCOL: Final = "towline.v1"
"""The WebSocket subprotocol."""

MAX_HEADER_BYTES: Final = 16 * KIB
MAX_JSON_DEPTH: Final = 8
MAX_TEXT_BYTES: Final = 64 * KIB
MAX_TEXT_FRAME_BYTES: Final = 6 * MAX_TEXT_BYTES + KIB
"""A text of 64 KiB in a frame whose every byte is written as a six-character escape."""
MAX_METADATA_BYTES: Final = 4 * KIB
MAX_CONTENT_TYPE_BYTES: Final = 255
MAX_TOKEN_BYTES: Final = 8_000
"""With what stands before it, a token fits in one line of the head of an upgrade, which has 8,192 bytes."""

MAX_MESSAGE_BYTES: Final = 4 * MIB
"""On `/ws`, after authentication."""
MAX_MESSAGE_BYTES_BEFORE_AUTH: Final = 64 * KIB
MAX_ECHO_BYTES: Final = 16 * MIB
"""On `/echo`, and in a tunnel."""
MAX_URL_CHARACTERS: Final = 2048
MAX_SUBPROTOCOLS: Final = 16
MAX_REPLY_BYTES: Final = 2 * MIB
"""The largest text frame that a client has to accept: the leaves of 65,536 leaves and what stands around them."""

MAX_SIZE: Final = (1 << 53) - 1
MAX_STREAM_SIZE: Final = TIB

CHUNK_SIZE: Final = MIB
WINDOW: Final = 32 * MIB
RECEIVE_BUDGET: Final = 256 * MIB

DURABLE_POINT_BYTES: Final = 8 * MIB
DURABLE_POINT_SECONDS: Final = 0.25
VERIFYING_SECONDS: Final = 1.0

SMALL_FILE_BYTES: Final = MIB
"""A file with `"offset":0` up to this size is kept in memory and published in a batch."""
FIRST_WINDOW: Final = 4 * MIB
"""What a client may send before the first `ready` of a connection."""
MAX_UNANSWERED: Final = 1_024
"""Operations that a client may have open without an answer."""

MAX_LISTING: Final = 1_000
PENDING_EXPIRY: Final = 24 * 3600.0
"""Seconds of silence after which an unfinished upload is dropped."""
TAKE_OVER_SECONDS: Final = 2.0
FAREWELL_SECONDS: Final = 0.5

HANDSHAKE_SECONDS: Final = 10.0
AUTH_SECONDS: Final = 5.0
HEADER_SECONDS: Final = 30.0
MESSAGE_SECONDS: Final = 60.0
RATE_PERIOD_SECONDS: Final = 60.0
MIN_UPLOAD_RATE: Final = float(KIB)
MAX_HEAD_BYTES: Final = 16 * KIB
MAX_HEAD_FIELDS: Final = 64
MAX_CONNECTIONS: Final = 4_096
MAX_CONNECTIONS_PER_ADDRESS: Final = 1_024
MAX_UNFINISHED_UPLOADS: Final = 10_000
MAX_EVENT_STREAMS: Final = 64
"""Of one caller: a tab of a browser has one, and all that a caller may see is sent to each."""

CONNECTION_RATE: Final = 200.0
"""A second, from one address. A command of the client makes one connection, and a script that calls it without a pause
some ten. Each costs the server about a millisecond."""
CONNECTION_BURST: Final = 1_000.0
"""About as many as may be open from there: all may come back at once when the server starts again."""
HEADER_RATE: Final = 10_000.0
"""A second, of one caller: about what one processor can do, so that small files are never held up by it."""
HEADER_BURST: Final = 10_000.0
REQUEST_RATE: Final = 500.0
REQUEST_BURST: Final = 2_000.0

CLOSE_SUPERSEDED: Final = 4409
CLOSE_TIMEOUT: Final = 4408
CLOSE_SHUTTING_DOWN: Final = 1012
