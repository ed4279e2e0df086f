"""docs/protocol.md is enough: a client written from it alone, in another language, uploads, resumes and verifies."""

import asyncio
import json
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest

import client
from tests.end_to_end.node import OPTION, found_node
from tests.end_to_end.scene import MIB, content, names, sha256, stored
from tests.links import Link
from tests.server import running
from transfer.settings import Settings

SCRIPT: Final = Path(__file__).with_name("second_client.mjs")
SIZE: Final = 20 * MIB + 12_345
CUT: Final = 10 * MIB
WINDOW: Final = 4 * MIB
"""Small, so that what has passed when the connection is cut was acknowledged for the most part."""


class Report(NamedTuple):
    """What the client prints when it is done."""

    offset: int
    sent: int
    digest: str


@pytest.fixture(scope="module")
def node() -> str:
    return found_node("the second client")


@pytest.fixture
async def link(tmp_path: Path) -> AsyncIterator[Link]:
    """A way to a real server that can be cut."""
    settings = Settings(data=tmp_path / "data", port=0, window=WINDOW)
    async with running(settings) as url, Link("127.0.0.1", int(url.rpartition(":")[2])) as link:
        yield link


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "cargo.bin"
    write_version(path, 0)
    return path


def write_version(path: Path, version: int) -> None:
    path.write_bytes(content(SIZE, seed=version))


async def start(node: str, link: Link, source: Path) -> Process:
    return await asyncio.create_subprocess_exec(node, OPTION, SCRIPT, link.url, source, stdout=PIPE, stderr=PIPE)


async def finish(process: Process) -> Report:
    stdout, stderr = await process.communicate()
    assert process.returncode == 0, stderr.decode()
    return Report(**json.loads(stdout))


async def begun_and_killed(node: str, link: Link, source: Path) -> None:
    """Run the client until half of the source has passed, then end it like a crash."""
    link.hold_after(upstream=CUT)  # what is on its way when it is killed does not arrive
    process = await start(node, link, source)
    await link.until(lambda link: link.upstream_bytes >= CUT)
    process.kill()
    await process.wait()
    link.cut()
    await link.until(lambda link: link.open_connections == 0)


async def test_it_goes_on_by_itself_after_a_break(node: str, link: Link, source: Path) -> None:
    link.cut_after(upstream=CUT)
    report = await finish(await start(node, link, source))
    assert link.connections == 2
    assert CUT - 2 * WINDOW <= report.offset <= CUT
    assert report.sent == SIZE - report.offset
    assert report.digest == sha256(source)
    (file,) = await client.list_files(link.url)
    assert (str(file.name), file.size, str(file.digest)) == ("cargo.bin", SIZE, report.digest)


async def test_run_again_it_goes_on_where_a_killed_one_was(node: str, link: Link, source: Path) -> None:
    await begun_and_killed(node, link, source)
    assert await names(link.url) == []
    report = await finish(await start(node, link, source))
    assert 0 < report.offset < SIZE
    assert report.sent == SIZE - report.offset
    assert report.digest == sha256(source)
    assert await names(link.url) == ["cargo.bin"]
    assert await stored(link.url, "cargo.bin") == content(SIZE, seed=0)


async def test_it_never_publishes_two_versions_spliced_together(node: str, link: Link, source: Path) -> None:
    await begun_and_killed(node, link, source)
    write_version(source, 1)
    report = await finish(await start(node, link, source))
    assert (report.offset, report.sent) == (0, SIZE)
    assert report.digest == sha256(source)
    assert await stored(link.url, "cargo.bin") == content(SIZE, seed=1)


async def test_an_empty_file_and_one_that_is_there_already(node: str, link: Link, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    for _ in range(2):
        assert await finish(await start(node, link, empty)) == Report(0, 0, sha256(b""))
    assert await names(link.url) == ["empty"]


async def test_it_says_why_it_was_refused(node: str, link: Link, source: Path) -> None:
    await client.upload(link.url, b"other content", name=source.name)
    process = await start(node, link, source)
    _, stderr = await process.communicate()
    assert process.returncode == 1
    assert "is taken by other content" in stderr.decode()
