"""A server that has no file descriptor left: newcomers are hung up on, and those who are there go on."""

import asyncio
import os
import resource
from contextlib import AsyncExitStack
from pathlib import Path

from websockets.asyncio.client import connect

from tests.server import ServerProcess, http_client

FEW, MANY = 4, 24


async def ask(port: int, stack: AsyncExitStack) -> bytes:
    """Connect, ask, and keep the connection. Returns how the answer begins; nothing when there is none."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    stack.callback(writer.close)
    try:
        writer.write(b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n")
        await writer.drain()
        return await reader.read(12)
    except OSError:
        return b""


async def test_newcomers_are_shed_and_the_others_go_on(tmp_path: Path) -> None:
    async with (
        ServerProcess(tmp_path / "data") as server,
        connect(server.url.replace("http:", "ws:") + "/echo", compression=None, proxy=None) as before,
    ):
        await before.send("before")
        assert await before.recv() == "before"
        _, hard = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
        used = len(os.listdir(f"/proc/{server.pid}/fd"))
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (used + FEW, hard))
        async with AsyncExitStack() as stack, asyncio.timeout(30):
            answers = [await ask(server.port, stack) for _ in range(MANY)]
            assert 1 <= answers.count(b"HTTP/1.1 200") <= FEW
            assert set(answers) == {b"HTTP/1.1 200", b""}
            await before.send("during")
            assert await before.recv() == "during"
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (hard, hard))
        async with http_client(server.url) as http:
            assert (await http.get("/health/live")).status_code == 200
        assert await server.terminate() == 0
    assert not any("Traceback" in line for line in server.log_lines), server.log_lines
