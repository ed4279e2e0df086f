"""Who the client of a reverse proxy is: `X-Forwarded-For`, `-Proto` and `-Host`, from the operator's proxies alone.

Anybody can write such a header, so it is read only on connections whose peer is one of `forwarded_peers`. Of
`X-Forwarded-For`, to which each proxy adds the address that it saw, the last one counts that is not a proxy's own: what
stands before it is what the client says of itself. Of what is unreadable, or said twice, nothing is believed.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from transfer.edge.origins import origin_of
from transfer.edge.peers import Address, Peers, parse_address

SECURE: Final = {"http": False, "ws": False, "https": True, "wss": True}
"""Some proxies say `wss` of an upgrade."""


class Forwarded:
    """ASGI middleware, outermost: from here on `client`, `scheme` and the `Host` header are those of the client. The
    port is still that of the proxy's connection."""

    def __init__(self, app: ASGIApp, peers: Iterable[str]) -> None:
        self._app = app
        self._peers = Peers(peers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan" and scope.get("client") is not None:
            host, port = scope["client"]
            peer = parse_address(host)
            if peer is not None and peer in self._peers:
                client = client_of(_members(scope, b"x-forwarded-for"), peer, self._peers)
                _speak_for(client, port, scope)
        await self._app(scope, receive, send)


def client_of(hops: Sequence[str], peer: Address, peers: Peers) -> Address:
    """The last of the hops that is no proxy's; the farthest proxy that is known of, where there is none."""
    farthest = peer
    for hop in reversed(hops):
        address = parse_address(hop)
        if address is None or farthest not in peers:
            break
        farthest = address
    return farthest


def _speak_for(client: Address, port: int, scope: Scope) -> None:
    scope["client"] = (str(client), port)
    schemes, hosts = _members(scope, b"x-forwarded-proto"), _members(scope, b"x-forwarded-host")
    secure = SECURE.get(schemes[0].lower()) if len(schemes) == 1 else None
    if secure is not None:
        scope["scheme"] = ("ws" if scope["type"] == "websocket" else "http") + "s" * secure
    if len(hosts) == 1 and origin_of("http", hosts[0]) is not None:
        others = [field for field in scope["headers"] if field[0] != b"host"]
        scope["headers"] = [(b"host", hosts[0].encode("ascii")), *others]


def _members(scope: Scope, name: bytes) -> list[str]:
    """The members of a header that is a list, however many fields they came in (RFC 9110, section 5.3)."""
    fields = [value.decode("latin-1") for key, value in scope["headers"] if key == name]
    return [member.strip() for member in ",".join(fields).split(",")] if fields else []
