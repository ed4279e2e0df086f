"""What happens on a server, as far as one may see it, through any number of breaks.

First of all, and wherever something was missed, comes a `ResetEvent`: then is the time to list what one wants to know.
An `UploadEvent` or a `FileEvent` says what is another way since.
"""

import asyncio
from collections.abc import AsyncIterator
from ssl import SSLContext
from typing import Final
from urllib.parse import urlencode

from client.credentials import Credentials, TokenRefused
from client.errors import ConnectionBroken
from client.progress import Listener
from client.retry import Patience, pause
from client.wire import Wire, open_wire
from transfer.protocol.errors import TransferError, UnsupportedType
from transfer.protocol.events import EventMessage, FileEvent, ResetEvent, UploadEvent, parse_event

__all__ = ["EventMessage", "FileEvent", "ResetEvent", "UploadEvent", "follow"]
_PATH: Final = "/events"


async def follow(
    server: str,
    credentials: Credentials,
    patience: Patience,
    *,
    tls: SSLContext | None = None,
    after: str | None = None,
    listener: Listener,
) -> AsyncIterator[EventMessage]:
    """Each event, after the one with the id `after`; after a break it goes on with the next. `listener` hears when it
    waits for the network. Raises what refuses it, GaveUp, CannotConnect."""
    while True:
        try:
            query = "" if after is None else urlencode({"after": after})
            async with open_wire(server, credentials, tls=tls, path=_PATH, query=query) as wire:
                patience.progressed()
                async for event in _events_of(wire):
                    after = event.id
                    yield event
        except TokenRefused as refused:
            if not await refused.renewed():
                raise
            await asyncio.sleep(patience.next_delay(refused.message))
        except (ConnectionBroken, TransferError) as error:
            await pause(error, patience, listener)


async def _events_of(wire: Wire) -> AsyncIterator[EventMessage]:
    """Those that are known here, until it breaks."""
    while True:
        try:
            yield parse_event(await wire.receive_text())
        except UnsupportedType:  # of a server that is newer
            continue
