"""What `scope["extensions"]` has for the application, beside what ASGI says: all of it for a WebSocket, and for a
request the transport, and the drain."""

from typing import Final

TRANSPORT: Final = "towline.transport"
"""The transport, for an application that has to abort it."""
ARRIVALS: Final = "towline.arrivals"
"""A `transfer.deadlines.Arrivals`: what has come from the peer."""
GONE: Final = "towline.gone"
"""An `asyncio.Event`: set once nothing more comes from the peer, also while nobody receives. What came before is still
to be received, and the disconnect behind it."""
DRAIN: Final = "towline.drain"
"""Takes a function: it is called, once, when the server stops, instead of closing the WebSocket at once; the
application then closes it with 1012 when nothing is on the way any more. A response that does not end by itself asks
for it too, and ends then."""
MESSAGE_LIMIT: Final = "towline.message_limit"
"""Takes a number of bytes: the most that each message may have which begins from now on. Without it that is what
`/ws` takes."""
