"""What is run under valgrind: a server that receives, or a client that sends.

    python -m bench.instructions.driven serve DATA                 counts from SIGUSR1 to SIGUSR2, and says "told"
    python -m bench.instructions.driven send URL WARM_UP SOURCE    counts while it sends SOURCE, three times

Durable points come by bytes alone here, also of the server that the client sends to: by time there would be as many as
valgrind is slow today.
"""

import asyncio
import ctypes
import os
import signal
import sys
from pathlib import Path
from typing import Final

from transfer.protocol import limits

NEVER: Final = 1e6
"""Seconds, for what is done now and then."""
TIMES: Final = 3
SWITCH: Final = "BENCH_SWITCH"
"""Names the library in the environment that tells valgrind when to count."""


def serve(data: Path) -> int:
    from transfer import server, window
    from transfer.access import watch
    from transfer.settings import Settings

    watch.WATCH_SECONDS = NEVER  # type: ignore[misc]
    window.STUCK_SECONDS = NEVER  # type: ignore[misc]

    if SWITCH in os.environ:
        switch = ctypes.CDLL(os.environ[SWITCH])
        for number, act in ((signal.SIGUSR1, switch.start_counting), (signal.SIGUSR2, switch.stop_counting)):
            signal.signal(number, lambda *_, act=act: (act(), print("told", flush=True)))
    return server.serve(Settings(data=data, port=0))


async def send(url: str, warm_up: Path, source: Path) -> None:
    import client

    switch = ctypes.CDLL(os.environ[SWITCH])
    async with client.connect(url) as connection:
        await connection.upload(warm_up)
        for number in range(TIMES):
            switch.start_counting()
            await connection.upload(source, name=str(number))
            switch.stop_counting()


def main(role: str, *arguments: str) -> int:
    limits.DURABLE_POINT_SECONDS = NEVER  # type: ignore[misc]
    if role == "serve":
        return serve(Path(arguments[0]))
    from client.terminal.running import loop_factory
    from transfer.protocol.allocator import keep_freed_memory

    keep_freed_memory()
    url, warm_up, source = arguments
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(send(url, Path(warm_up), Path(source)))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
