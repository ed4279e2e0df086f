"""Slows a connection down to the rates of its caller: its reader waits here, and TCP slows down the client."""

import asyncio
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Self

from transfer.pacing import Share, granted_unless
from transfer.rates import Rates


class Throttle:
    """One connection's, within `with`. `caller` says whose rates they are. `gone` is set when nothing more comes from
    the client: what came before is taken at once."""

    def __init__(self, rates: Rates, caller: Callable[[], str], gone: asyncio.Event) -> None:
        self._rates = rates
        self._caller = caller
        self._gone = gone
        self._shares: tuple[str, Share, Share] | None = None
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

    def _current(self) -> tuple[str, Share, Share]:
        """The caller and their shares; they may become somebody else."""
        caller = self._caller()
        if self._shares is None or self._shares[0] != caller:
            self._stack.close()
            enter = self._stack.enter_context
            self._shares = caller, enter(self._rates.operations.share(caller)), enter(self._rates.uploads.share(caller))
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
