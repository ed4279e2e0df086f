"""Slows a connection down to the rates of its caller: its reader waits here, and TCP slows down the client."""

import asyncio
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Self

from transfer.access.principal import Principal
from transfer.pace.pacing import Share, granted_unless
from transfer.pace.rates import Rates, caller_of


class Throttle:
    """One connection's, within `with`. Whose rates they are goes by who is calling, which may change, and from where.
    `gone` is set when nothing more comes from the client: what came before is taken at once."""

    def __init__(self, rates: Rates, principal: Callable[[], Principal], address: str, gone: asyncio.Event) -> None:
        self._rates = rates
        self._principal = principal
        self._address = address
        self._gone = gone
        self._shares: tuple[Principal, Share, Share] | None = None
        self._stack = ExitStack()
        self._seconds = 0.0
        self._since: float | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def seconds(self) -> float:
        """How long it has held the reader up in all, until now: that is not the client's slowness."""
        return self._seconds + (0.0 if self._since is None else time.monotonic() - self._since)

    async def operation(self) -> None:
        """Wait until one more may begin."""
        await self._until(self._current()[1].ask(1))

    async def content(self, size: int) -> None:
        """Wait until so many more bytes may be taken."""
        await self._until(self._current()[2].ask(size))

    def _current(self) -> tuple[Principal, Share, Share]:
        """Who is calling, and their shares."""
        principal = self._principal()
        if self._shares is None or self._shares[0] is not principal:
            self._stack.close()
            caller, enter = caller_of(principal, self._address), self._stack.enter_context
            operations, uploads = self._rates.operations.share(caller), self._rates.uploads.share(caller)
            self._shares = principal, enter(operations), enter(uploads)
        return self._shares

    async def _until(self, granted: "asyncio.Future[None] | None") -> None:
        if granted is None:
            return
        self._since = time.monotonic()
        gone = asyncio.create_task(self._gone.wait())
        try:
            await granted_unless(granted, gone)
        finally:
            gone.cancel()
            self._seconds, self._since = self.seconds, None
