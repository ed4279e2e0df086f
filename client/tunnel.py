"""A tunnel through the server to one of its upstreams, as the client holds it."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from ssl import SSLContext
from typing import Final

from client.credentials import Credentials
from client.errors import TunnelClosed
from client.wire import Wire, open_wire
from transfer.protocol import limits
from transfer.protocol.messages import ErrorMessage, ProxyReadyMessage, parse_client_message

QUIET_CODES: Final = frozenset([1000, 1001, 1005])
"""Closes that iteration ends at without an error, as websockets does: normal, going away, no status."""


class Tunnel:
    """Messages to an upstream and back: text as `str`, binary as `bytes`, up to 16 MiB each."""

    def __init__(self, wire: Wire, ready: ProxyReadyMessage) -> None:
        self._wire = wire
        self.url = ready.url
        self.subprotocol = ready.subprotocol
        """What was negotiated with the upstream."""

    async def send(self, message: str | bytes) -> None:
        """Returns when the socket has taken it: a slow upstream slows the sender. Raises TunnelClosed."""
        await self._wire.send_through(message)

    async def recv(self) -> str | bytes:
        """The next message. Cancelling it loses nothing. Raises TunnelClosed."""
        return await self._wire.receive_through()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close it, here and at the upstream."""
        await self._wire.close(code, reason)

    async def __aiter__(self) -> AsyncIterator[str | bytes]:
        """Every message until it is closed. Raises TunnelClosed unless that was in order."""
        try:
            while True:
                yield await self.recv()
        except TunnelClosed as closed:
            if closed.code not in QUIET_CODES:
                raise


@asynccontextmanager
async def open_tunnel(
    server: str,
    target: str,
    subprotocols: Sequence[str],
    credentials: Credentials | None = None,
    *,
    tls: SSLContext | None = None,
) -> AsyncIterator[Tunnel]:
    """A tunnel to `target`: a name, or a URL. Raises ProxyDenied, ProxyFailed, TooMany, BadMessage, Unauthorized;
    ConnectionBroken and CannotConnect where the server itself is away."""
    fields = {"type": "proxy", "url" if "://" in target else "upstream": target, "subprotocols": list(subprotocols)}
    header = parse_client_message(json.dumps(fields))
    async with open_wire(server, credentials, tls=tls, max_size=limits.MAX_ECHO_BYTES) as wire:
        await wire.send(header)
        answer = await wire.receive_proxy_answer()
        if isinstance(answer, ErrorMessage):
            raise answer.error
        yield Tunnel(wire, answer)
