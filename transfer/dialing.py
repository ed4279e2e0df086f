"""Connecting to an upstream: resolve once, look at every address, connect to one of those, follow nothing.

What is compared is what is connected to: the name is not resolved again, no redirect is followed, and no proxy is taken
from the environment.
"""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidMessage, InvalidStatus
from websockets.typing import Subprotocol

from transfer.addresses import is_public
from transfer.protocol.limits import MAX_ECHO_BYTES
from transfer.upstreams import WebSocketUrl

PING_SECONDS: Final = 20.0
CLOSE_SECONDS: Final = 2.0
USER_AGENT: Final = "towline"
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""From a host and a port to numeric addresses. Raises OSError."""
logger = logging.getLogger("towline.proxy.websockets")
logger.setLevel(logging.CRITICAL)


class NotAllowed(Exception):
    """It leads where it must not; `str()` says where, for the log."""


class NotReached(Exception):
    """There is no WebSocket; `str()` says why, for the log."""


async def resolve(host: str, port: int) -> Sequence[str]:
    """What the system's resolver says."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


async def dial(
    url: WebSocketUrl,
    *,
    allow_private: bool,
    headers: Mapping[str, str],
    subprotocols: Sequence[str],
    resolve: Resolve,
    seconds: float,
) -> ClientConnection:
    """A WebSocket to `url`, within so many seconds. Raises NotAllowed, NotReached."""
    connecting = _connected(url, resolve, allow_private=allow_private)
    return await upgrade(connecting, url, headers=headers, subprotocols=subprotocols, seconds=seconds)


async def upgrade(
    connecting: Coroutine[Any, Any, socket.socket],
    url: WebSocketUrl,
    *,
    headers: Mapping[str, str],
    subprotocols: Sequence[str],
    seconds: float,
) -> ClientConnection:
    """A WebSocket to `url` over the connection that `connecting` makes, both within so many seconds. Raises NotAllowed,
    NotReached."""
    try:
        async with asyncio.timeout(seconds):
            return await _upgrade(await connecting, url, headers, subprotocols)
    except InvalidStatus as refused:
        if refused.response.status_code in range(300, 400):
            raise NotAllowed(f"{url} redirects") from refused
        raise NotReached(f"{url} answers {refused.response.status_code}") from refused
    except (OSError, UnicodeError, TimeoutError, InvalidHandshake, InvalidMessage) as failed:
        raise NotReached(f"{url}: {str(failed) or type(failed).__name__}") from failed


async def _connected(url: WebSocketUrl, resolve: Resolve, *, allow_private: bool) -> socket.socket:
    """A connection to where `url` leads. Raises NotAllowed, OSError, UnicodeError."""
    addresses = await resolve(url.address, url.port)
    if not allow_private and (inner := [address for address in addresses if not is_public(address)]):
        raise NotAllowed(f"{url.host} is {inner[0]}, which is not public")
    return await _connect(addresses, url.port)


async def _connect(addresses: Sequence[str], port: int) -> socket.socket:
    """The first of these that answers. Raises OSError."""
    failure = OSError("it has no address")
    for address in addresses:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        connecting = socket.socket(family, socket.SOCK_STREAM)
        try:
            connecting.setblocking(False)
            await asyncio.get_running_loop().sock_connect(connecting, (address, port))
        except OSError as failed:
            connecting.close()
            failure = failed
        except BaseException:
            connecting.close()
            raise
        else:
            return connecting
    raise failure


class _ConnectOnce(connect):
    """Takes a redirect for the failure that it is here."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


async def _upgrade(
    carrier: socket.socket, url: WebSocketUrl, headers: Mapping[str, str], subprotocols: Sequence[str]
) -> ClientConnection:
    """Stalled readers are part of a tunnel's life, so no pong is waited for: the tunnel has its own idle time."""
    try:
        return await _ConnectOnce(
            str(url),
            sock=carrier,
            additional_headers=headers,
            user_agent_header=USER_AGENT,
            subprotocols=[Subprotocol(offered) for offered in subprotocols] or None,
            compression=None,
            max_size=MAX_ECHO_BYTES,
            max_queue=1,
            open_timeout=None,
            ping_interval=PING_SECONDS,
            ping_timeout=None,
            close_timeout=CLOSE_SECONDS,
            proxy=None,
            logger=logger,
        )
    except BaseException:
        carrier.close()
        raise
