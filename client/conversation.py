"""Two tasks on one connection: one hears, one does."""

import asyncio
from collections.abc import Coroutine

from client.errors import ConnectionBroken


async def converse(reading: Coroutine[None, None, None], driving: Coroutine[None, None, None]) -> None:
    """Until either ends. What is heard may end it at any await of `driving`: a source can make one wait for ever."""
    hearing, doing = asyncio.create_task(reading), asyncio.create_task(driving)
    try:
        await asyncio.wait([hearing, doing], return_when=asyncio.FIRST_COMPLETED)
        if doing.done() and isinstance(doing.exception(), ConnectionBroken):
            await asyncio.wait([hearing])  # to what the server said before it closed
        for task in (hearing, doing):
            if task.done():
                task.result()
    finally:
        for task in (hearing, doing):
            task.cancel()
        await asyncio.wait([hearing, doing])
