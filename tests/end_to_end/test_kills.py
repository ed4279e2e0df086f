"""SIGKILL at either end, and a server that is stopped: what was acknowledged is there, and the same call goes on."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import client
from client.progress import Ready
from tests.end_to_end.scene import MIB, Recorder, content, names, stored
from tests.links import Link
from tests.server import CHECKOUT, ServerProcess

SIZE = 64 * MIB


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "large.bin"
    path.write_bytes(content(SIZE))
    return path


@asynccontextmanager
async def command(*arguments: str) -> AsyncIterator[Process]:
    """The command line in a process of its own, killed at the end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "client.cli", *arguments, stdout=PIPE, stderr=PIPE, cwd=CHECKOUT
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def events_until(process: Process, kind: str, offset: int = 0) -> dict[str, object]:
    """Read the JSON lines of a command up to an event of this kind at or above `offset`."""
    assert process.stdout is not None
    while line := await process.stdout.readline():
        event: dict[str, object] = json.loads(line)
        if event["event"] == kind and int(str(event.get("offset", 0))) >= offset:
            return event
    raise AssertionError(f"the command ended without {kind!r}")


@pytest.mark.parametrize("offset", [0, 8 * MIB, 40 * MIB])
async def test_the_server_is_killed_while_an_upload_runs(tmp_path: Path, source: Path, offset: int) -> None:
    heard = Recorder()
    async with ServerProcess(tmp_path / "data") as server, Link("127.0.0.1", server.port) as link:
        if offset:
            link.hold_after(upstream=offset + 8 * MIB)  # it cannot complete before the server is killed
        uploading = asyncio.create_task(client.upload(link.url, source, on_event=heard))
        if offset:
            await heard.acked(offset)
            await link.until(lambda link: link.upstream_bytes >= offset + 8 * MIB)
        else:
            await heard.until(lambda event: isinstance(event, Ready))
        await server.kill()
        link.cut()
        await server.restart()
        await uploading
        assert await stored(server.url, "large.bin") == content(SIZE)
        assert await names(server.url) == ["large.bin"]
    assert heard.offsets[-1] >= offset
    assert heard.offsets == sorted(heard.offsets)
    assert not [line for line in server.log_lines if "Traceback" in line]


async def test_the_server_is_stopped_and_started_while_an_upload_runs(tmp_path: Path, source: Path) -> None:
    heard = Recorder()
    async with ServerProcess(tmp_path / "data") as server, Link("127.0.0.1", server.port) as link:
        link.hold_after(upstream=16 * MIB)
        uploading = asyncio.create_task(client.upload(link.url, source, on_event=heard))
        await heard.acked(8 * MIB)
        stopping = asyncio.create_task(server.terminate())
        await server.until_logged("stopping")
        link.thaw()
        assert await stopping == 0
        await server.restart()
        await uploading
        assert await stored(server.url, "large.bin") == content(SIZE)
    assert heard.offsets[-1] >= 8 * MIB
    assert not [line for line in server.log_lines if "Traceback" in line]


async def test_the_client_is_killed_and_the_same_command_goes_on(tmp_path: Path, source: Path) -> None:
    async with ServerProcess(tmp_path / "data") as server, Link("127.0.0.1", server.port) as link:
        link.hold_after(upstream=16 * MIB)
        arguments = ["upload", str(source), "--server", link.url, "--json"]
        async with command(*arguments) as first:
            acked = await events_until(first, "ack", 8 * MIB)
            await link.until(lambda link: link.upstream_bytes >= 16 * MIB)  # the next connection is not held
            first.kill()
        async with command(*arguments) as second:
            ready = await events_until(second, "ready")
            complete = await events_until(second, "complete")
            assert await second.wait() == 0
        assert int(str(ready["offset"])) >= int(str(acked["offset"]))
        assert complete["sent_bytes"] == SIZE - int(str(ready["offset"]))
        assert await stored(server.url, "large.bin") == content(SIZE)


async def test_small_files_that_were_answered_survive_the_server_being_killed(tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(400):
        (folder / f"{number:04}").write_bytes(content(200, number))
    items = [client.Item(path, path.name) for path in sorted(folder.iterdir())]
    answered: list[str] = []
    async with ServerProcess(tmp_path / "data") as server, client.connect(server.url) as connection:
        async for result in connection.upload_many(items):
            answered.append(result.name)
            if len(answered) == 100:
                await server.kill()
                await server.restart()
                assert set(answered) <= set(await names(server.url))
        assert sorted(answered) == [item.name for item in items]
        assert await names(server.url) == [item.name for item in items]
