"""Work that goes on side by side, and whose results come in one stream."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Generic, TypeVar

Result = TypeVar("Result")
Lane = Callable[[], Coroutine[None, None, None]]


class Lanes(Generic[Result]):
    """`results` of all lanes, as they come; a lane gives its own by `tell`."""

    def __init__(self) -> None:
        self._results: asyncio.Queue[Result | None] = asyncio.Queue()

    def tell(self, result: Result) -> None:
        """Give a result to whoever reads them."""
        self._results.put_nowait(result)

    async def results(self, *lanes: Lane) -> AsyncIterator[Result]:
        """Until all lanes have ended. One that raises ends the others, and what it raised comes after the results that
        were there by then. Cancelling it, and leaving it, ends all of them."""
        running = asyncio.create_task(side_by_side(*lanes))
        running.add_done_callback(lambda _: self._results.put_nowait(None))
        try:
            while (result := await self._results.get()) is not None:
                yield result
            await running
        finally:
            running.cancel()
            await asyncio.wait([running])


async def side_by_side(*lanes: Lane) -> None:
    """Until all have ended. One that raises ends the others."""
    tasks = [asyncio.create_task(lane()) for lane in lanes]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    for task in done:
        task.result()
