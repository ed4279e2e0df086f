"""uvicorn's configuration, and in it what a connection may take."""

from collections.abc import Callable
from dataclasses import dataclass
from ssl import SSLContext
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from transfer.admission import Places
from transfer.engine.answers import Answers
from transfer.protocol import limits


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
    connection_rate: float = limits.CONNECTION_RATE
    connection_burst: float = limits.CONNECTION_BURST
    forwarded_peers: tuple[str, ...] = ()


class EngineConfig(uvicorn.Config):
    """uvicorn's configuration of one server, with limits; for the protocols of this package."""

    def __init__(
        self,
        app: ASGIApp,
        connection_limits: ConnectionLimits,
        *,
        tls: Callable[[], SSLContext] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(app, **options)
        self.tls = tls
        """The context of the next connection, for `TlsProtocol`; uvicorn itself knows nothing of TLS."""
        self.limits = connection_limits
        self.places = Places(
            connection_limits.max_connections,
            connection_limits.max_connections_per_address,
            rate=connection_limits.connection_rate,
            burst=connection_limits.connection_burst,
            proxies=connection_limits.forwarded_peers,
        )
        self.answers = Answers.prepared(connection_limits.max_head_bytes, connection_limits.max_head_fields)
