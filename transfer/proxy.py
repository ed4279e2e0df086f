"""Proxy mode: which upstream a client may have, and the tunnel to it, from `/ws` or at `/proxy/{upstream}`.

It is nobody's way into the inner network: only the operator's upstreams are reachable, nothing of the client's request
goes along but its subprotocols and messages, and a refusal never says what was found at the other end.
"""

import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.asyncio.client import ClientConnection
from websockets.frames import CloseCode

from transfer import logs
from transfer.access.auth import Authenticator, address_of
from transfer.access.principal import Principal
from transfer.access.watch import Watch
from transfer.dialing import NotAllowed, NotReached, dial, resolve, upgrade
from transfer.engine.scope import MESSAGE_LIMIT
from transfer.own_echo import ECHO_URL, OwnEcho
from transfer.pace.rates import Rates, caller_of
from transfer.problems import shown
from transfer.protocol.errors import ProxyDenied, ProxyFailed, TooMany, Unauthorized
from transfer.protocol.limits import MAX_ECHO_BYTES
from transfer.protocol.messages import ProxyHeader, ProxyReadyMessage
from transfer.settings import ProxySettings
from transfer.tunnel import Tunnel, close_upstream
from transfer.upstreams import Route, route_to_name, route_to_url

HOPS_HEADER: Final = "towline-hops"
MAX_HOPS: Final = 4
"""How many Towline servers one tunnel may pass; a loop has more."""
LOGGER: Final = "towline.proxy"


class Proxy:
    """What all tunnels of a server share."""

    def __init__(self, settings: ProxySettings, authenticator: Authenticator, watch: Watch, rates: Rates) -> None:
        self._rates = rates
        self._settings = settings
        self._authenticator = authenticator
        self._watch = watch
        self._own_echo = OwnEcho()
        self._tunnels: Counter[str] = Counter()

    async def serve(self, websocket: WebSocket, upstream: str) -> None:
        """`GET /proxy/{upstream}`: a tunnel from the first frame on. Raises TransferError before the upgrade."""
        principal = await self._authenticator.caller(websocket)
        self._rates.take_request(caller_of(principal, address_of(websocket)))
        principal.require("proxy")
        log = logs.SessionLog(LOGGER, websocket, principal.subject)
        route = route_to_name(self._settings.upstreams, upstream)
        try:
            offered = websocket.scope["subprotocols"]
            async with self._opened(route, upstream, websocket, offered, log, principal) as connection:
                await websocket.accept(subprotocol=connection.subprotocol)
                with log:
                    await self.carry(websocket, connection, log, principal)
        except WebSocketDisconnect:
            log.logger.info("left before the tunnel was open", upstream=_without_secrets(upstream))

    @asynccontextmanager
    async def opened(
        self, header: ProxyHeader, websocket: WebSocket, log: logs.SessionLog, principal: Principal
    ) -> AsyncIterator[ClientConnection]:
        """The upstream that a header of `/ws` asks for. Raises Forbidden, ProxyDenied, ProxyFailed, TooMany."""
        principal.require("proxy")
        asked = header.upstream if header.upstream is not None else header.url
        assert asked is not None
        find = route_to_name if header.upstream is not None else route_to_url
        route = find(self._settings.upstreams, asked)
        async with self._opened(route, asked, websocket, header.subprotocols, log, principal) as connection:
            yield connection

    async def carry(
        self, websocket: WebSocket, connection: ClientConnection, log: logs.SessionLog, principal: Principal
    ) -> None:
        """Be a tunnel until it ends, or the principal's right does; `log` is told what went through it, both ways, and
        who ended it."""
        settings = self._settings
        tunnel = Tunnel(websocket, connection, idle_timeout=settings.idle_timeout, max_bytes=settings.max_bytes)
        try:
            async with self._watch.closing(websocket, principal):
                ending = await tunnel.carry()
                by = "" if ending.by == "client" else f" by the {ending.by}"
                log.ended(f"closed {ending.code}{by}")
        finally:
            log.bytes += tunnel.upward_bytes + tunnel.downward_bytes
        log.ended(Unauthorized.code)

    @asynccontextmanager
    async def _opened(
        self,
        route: Route | None,
        asked: str,
        websocket: WebSocket,
        subprotocols: Sequence[str],
        log: logs.SessionLog,
        principal: Principal,
    ) -> AsyncIterator[ClientConnection]:
        log.mode("proxy")
        hops = _hops(websocket)
        if route is None or hops >= MAX_HOPS:
            log.logger.info("proxy_denied", asked=_without_secrets(asked), hops=hops)
            raise _denied(asked)
        with self._one_of_few(principal.owner):
            connection = await self._dial(route, hops, subprotocols, log)
            try:
                websocket.scope["extensions"][MESSAGE_LIMIT](MAX_ECHO_BYTES)
                yield connection
            finally:
                await close_upstream(connection, CloseCode.GOING_AWAY, "")

    async def _dial(
        self, route: Route, hops: int, subprotocols: Sequence[str], log: logs.SessionLog
    ) -> ClientConnection:
        headers = {name: value.get_secret_value() for name, value in route.upstream.headers.items()}
        seconds = self._settings.open_timeout
        headers |= {HOPS_HEADER: str(hops + 1)}
        try:
            if route.url is None:
                connecting = self._own_echo.connect()
                return await upgrade(connecting, ECHO_URL, headers=headers, subprotocols=subprotocols, seconds=seconds)
            return await dial(
                route.url,
                allow_private=route.upstream.allow_private,
                headers=headers,
                subprotocols=subprotocols,
                resolve=resolve,
                seconds=seconds,
            )
        except NotAllowed as cause:
            log.logger.warning("proxy_denied", asked=_without_secrets(route.asked), cause=_without_secrets(str(cause)))
            raise _denied(route.asked) from cause
        except NotReached as cause:
            log.logger.warning("proxy_failed", asked=_without_secrets(route.asked), cause=_without_secrets(str(cause)))
            sentence = f"the upstream {shown(route.asked)} cannot be reached, or is no WebSocket: try again later"
            raise ProxyFailed(sentence) from cause

    @contextmanager
    def _one_of_few(self, principal: str) -> Iterator[None]:
        limit = self._settings.max_tunnels
        if self._tunnels[principal] >= limit:
            raise TooMany(f"{limit} tunnels are open: close one of them first", limit=limit)
        self._tunnels[principal] += 1
        try:
            yield
        finally:
            self._tunnels.subtract([principal])
            self._tunnels = +self._tunnels  # those that have some


def ready(header: ProxyHeader, connection: ClientConnection) -> ProxyReadyMessage:
    """The answer to a header whose tunnel is open. Of a named upstream it does not tell where that is."""
    url = header.url if header.url is not None else f"/proxy/{header.upstream}"
    return ProxyReadyMessage(url=url, subprotocol=connection.subprotocol)


def _denied(asked: str) -> ProxyDenied:
    return ProxyDenied(f"this server does not forward to {shown(asked)}: ask its operator which upstreams it has")


def _without_secrets(text: str) -> str:
    """A text with URLs as it may stand in the log: without their queries, and without anybody's name and password."""
    return re.sub(r"//[^/?#\s]*@", "//", re.sub(r"[?#]\S*", "", text))


def _hops(websocket: WebSocket) -> int:
    """How many Towline servers a request has passed; what is no number has passed too many."""
    values = websocket.headers.getlist(HOPS_HEADER)
    if not values:
        return 0
    return int(values[0]) if len(values) == 1 and values[0] in map(str, range(MAX_HOPS)) else MAX_HOPS
