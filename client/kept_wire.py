"""A WebSocket that is kept from one operation to the next."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from client.wire import Opener, Wire


class KeptWire:
    """Made when it is first needed, and made anew when it broke or an operation failed on it. Operations take turns."""

    def __init__(self, open_wire: Opener) -> None:
        self._open_wire = open_wire
        self._turn = asyncio.Lock()
        self._wire: Wire | None = None
        self._stack = AsyncExitStack()

    @asynccontextmanager
    async def exclusive(self) -> AsyncIterator[Wire]:
        """The WebSocket, for one operation."""
        async with self._turn:
            if self._wire is not None and not self._wire.is_open:
                await self.close()
            if self._wire is None:
                self._wire = await self._stack.enter_async_context(self._open_wire())
            try:
                yield self._wire
            except BaseException:
                await self.close()
                raise

    @property
    def is_open(self) -> bool:
        """Whether there is one, and neither side has begun to close it."""
        return self._wire is not None and self._wire.is_open

    async def close(self) -> None:
        """Close it, if it is open."""
        self._wire = None
        await self._stack.aclose()
