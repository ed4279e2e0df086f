"""Standard input as a stream of bytes that can be cancelled.

A read of a pipe may never return, and nothing can interrupt it. It runs in a thread that nobody waits for, so that
Ctrl-C ends the program at once.
"""

import asyncio
import os
import threading
from queue import SimpleQueue
from typing import Final, Self

READ_BYTES: Final = 1 << 20


class DescriptorReader:
    """Asynchronous iteration over what can be read from a descriptor; each piece is read when it is asked for."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._loop = asyncio.get_running_loop()
        self._asked: SimpleQueue[asyncio.Future[bytes]] = SimpleQueue()
        threading.Thread(target=self._serve, name="towline-stdin", daemon=True).start()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        answer: asyncio.Future[bytes] = self._loop.create_future()
        self._asked.put(answer)
        content = await answer
        if not content:
            raise StopAsyncIteration
        return content

    def _serve(self) -> None:
        while True:
            answer = self._asked.get()
            result = self._read()
            try:
                self._loop.call_soon_threadsafe(_give, answer, result)
            except RuntimeError:  # the loop was closed meanwhile: nobody waits for this any more
                return

    def _read(self) -> bytes | OSError:
        try:
            return os.read(self._descriptor, READ_BYTES)
        except OSError as error:
            return error


def _give(answer: asyncio.Future[bytes], result: bytes | OSError) -> None:
    if answer.done():  # cancelled
        return
    if isinstance(result, OSError):
        answer.set_exception(result)
    else:
        answer.set_result(result)
