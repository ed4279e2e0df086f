import asyncio
import hashlib
import os
import random
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from starlette.middleware.base import RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

import client
from client.downloader import DamagedContent, Downloader
from client.errors import GaveUp
from client.http import HttpApi
from client.moments import moment_of
from client.partial import TargetBusy, TargetTaken
from client.progress import Comparing, Downloaded, Event, Received, Receiving, Waiting
from client.retry import Patience
from client.speed import SpeedLimit
from tests.links import Link
from tests.server import running
from transfer.app import create_app
from transfer.protocol.errors import InvalidName, NotFound
from transfer.settings import Settings

NAME = "photos/cat.jpg"
SIZE = 3_000_001
CONTENT = random.Random(1).randbytes(SIZE)
OTHER = random.Random(2).randbytes(SIZE)
MODIFIED = datetime(2026, 3, 1, 12, 30, 59, 123_457, tzinfo=UTC)


class Eager(Patience):
    """Waits no time, and gives up after so many attempts without progress."""

    def __init__(self, attempts: int = 20) -> None:
        super().__init__()
        self._attempts = self._left = attempts

    def progressed(self) -> None:
        super().progressed()
        self._left = getattr(self, "_attempts", 0)

    def next_delay(
        self, reason: str = "", *, at_least: float = 0.0, own_delays: Iterator[float] | None = None
    ) -> float:
        if self._left == 0:
            raise GaveUp(0, reason)
        self._left -= 1
        return 0


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[str]:
    async with running(Settings(data=tmp_path / "data", port=0)) as url:
        yield url


@pytest.fixture
async def link(server: str) -> AsyncIterator[Link]:
    """A way to the server that can break; the file is there already."""
    await upload(server, CONTENT)
    async with Link("127.0.0.1", urlsplit(server).port or 0) as link:
        yield link


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "here").mkdir()
    return tmp_path / "here"


async def upload(server: str, content: bytes, name: str = NAME, **options: str) -> None:
    async with client.connect(server) as connection:
        await connection.upload(content, name=name, if_exists="replace", modified=MODIFIED, **options)  # type: ignore[arg-type]


@asynccontextmanager
async def downloader(
    server: str, events: list[Event], attempts: int = 20, then: Callable[[Event], None] = lambda _: None
) -> AsyncIterator[Downloader]:
    def listen(event: Event) -> None:
        events.append(event)
        then(event)

    async with HttpApi(server) as api:
        yield Downloader(api, Eager(attempts), listen, SpeedLimit(None))


async def download(
    server: str,
    to: Path | None,
    *,
    name: str = NAME,
    force: bool = False,
    attempts: int = 20,
    then: Callable[[Event], None] = lambda _: None,
) -> Downloaded:
    """Download, and check that what is told is what is there."""
    events: list[Event] = []
    async with downloader(server, events, attempts, then) as download:
        path = await download.download(name, to, force=force)
    end = events[-1]
    assert isinstance(end, Downloaded)
    assert end.path == path
    assert path.stat().st_size == end.size
    assert str(end.digest) == "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()
    return end


def partials(folder: Path) -> list[Path]:
    return sorted(folder.glob(".*.towline-part"))


async def give_up(link: Link, target: Path, *, after: int, force: bool = False) -> None:
    """Begin a download that breaks after so many bytes of the server's answers, and gives up."""
    link.cut_after(downstream=after)

    def refuse(event: Event) -> None:
        link.refusing = isinstance(event, Waiting) or link.refusing

    with pytest.raises(GaveUp):
        await download(link.url, target, attempts=1, then=refuse, force=force)
    link.refusing = False


async def interrupt(link: Link, target: Path, *, after: int) -> Path:
    """A download that gave up; its partial file."""
    await give_up(link, target, after=after)
    (partial,) = partials(target.parent)
    assert target.name not in os.listdir(target.parent)
    return partial


# ------------------------------------------------------------------------------------------------------- to its end


@pytest.mark.parametrize("content", [b"", b"x", CONTENT], ids=["empty", "one byte", "more"])
async def test_a_download_is_what_was_uploaded_with_its_time_of_change(
    server: str, folder: Path, content: bytes
) -> None:
    await upload(server, content)
    end = await download(server, folder / "cat.jpg")
    assert (folder / "cat.jpg").read_bytes() == content
    assert moment_of((folder / "cat.jpg").stat().st_mtime_ns) == MODIFIED
    assert (end.received_bytes, end.resumed_at, end.unchanged) == (len(content), 0, False)
    assert os.listdir(folder) == ["cat.jpg"]


async def test_a_digest_that_http_does_not_know_is_verified_too(server: str, folder: Path) -> None:
    await upload(server, CONTENT, digest_algorithm="blake3")
    events: list[Event] = []
    async with downloader(server, events) as blake3:
        await blake3.download(NAME, folder)
    assert (folder / "cat.jpg").read_bytes() == CONTENT
    assert isinstance(events[-1], Downloaded)
    assert events[-1].digest.algorithm == "blake3"


@pytest.mark.parametrize("name", ["фото/猫 100%.jpg", "a?b#c&d=e;%2e%2e", "'\"<>|: *", "~/-rf"])
async def test_any_name_is_found(server: str, folder: Path, name: str) -> None:
    await upload(server, CONTENT, name)
    await download(server, folder / "x", name=name)


async def test_a_file_goes_into_a_folder_and_otherwise_is_called_by_its_last_part(
    server: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await upload(server, CONTENT)
    assert (await download(server, folder)).path == folder / "cat.jpg"
    monkeypatch.chdir(folder)
    (folder / "cat.jpg").unlink()
    assert (await download(server, None)).path == Path("cat.jpg")


async def test_a_name_as_long_as_a_file_system_takes_has_room_for_its_partial_file(link: Link, folder: Path) -> None:
    targets = [folder / ("é" * 127 + last) for last in "ab"]
    parts = [await interrupt(link, targets[0], after=1_000_000)]
    os.rename(parts[0], folder / "aside")
    parts.append(await interrupt(link, targets[1], after=1_000_000))
    assert parts[0] != parts[1]
    os.rename(folder / "aside", parts[0])
    for target in targets:
        assert (await download(link.url, target)).resumed_at > 0
    assert sorted(os.listdir(folder)) == [target.name for target in targets]


# ------------------------------------------------------------------------------------------------------------ breaks


@pytest.mark.parametrize("after", [0, 1, 100, 700, 100_000, 1_048_576, 2_500_000, SIZE, SIZE + 600])
async def test_a_cut_connection_costs_only_what_was_on_its_way(link: Link, folder: Path, after: int) -> None:
    link.cut_after(downstream=after)
    end = await download(link.url, folder / "cat.jpg")
    assert (folder / "cat.jpg").read_bytes() == CONTENT
    assert end.received_bytes == SIZE
    assert link.downstream_bytes < SIZE + 10_000
    assert partials(folder) == []


async def test_a_connection_that_is_cut_again_and_again_gets_there(link: Link, folder: Path) -> None:
    def cut_soon(event: Event) -> None:
        if isinstance(event, Receiving):
            link.cut_after(downstream=200_000)

    link.cut_after(downstream=200_000)
    end = await download(link.url, folder / "cat.jpg", attempts=1, then=cut_soon)
    assert end.received_bytes == SIZE
    assert link.connections > 10


async def test_a_server_that_refuses_for_a_while_is_waited_for(link: Link, folder: Path) -> None:
    link.refusing = True

    def come_back(event: Event) -> None:
        link.refusing = link.refused_connections < 3

    await download(link.url, folder / "cat.jpg", then=come_back)
    assert link.refused_connections == 3


async def test_the_same_call_continues_what_an_earlier_one_left(link: Link, folder: Path) -> None:
    part = await interrupt(link, folder / "cat.jpg", after=1_500_000)
    had = part.stat().st_size
    assert 1_400_000 < had < 1_500_000
    assert part.name.startswith(".cat.jpg.")
    events: list[Event] = []
    end = await download(link.url, folder / "cat.jpg", then=events.append)
    assert (end.resumed_at, end.received_bytes) == (had, SIZE - had)
    assert (folder / "cat.jpg").read_bytes() == CONTENT
    assert partials(folder) == []
    assert [event.offset for event in events if isinstance(event, Comparing)] == [had]


async def test_a_cancelled_download_is_continued(link: Link, folder: Path) -> None:
    received = asyncio.Event()

    def on_event(event: Event) -> None:
        if isinstance(event, Received):
            link.freeze()
            received.set()

    cancelled = asyncio.create_task(download(link.url, folder / "cat.jpg", then=on_event))
    await received.wait()
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    end = await download(link.url, folder / "cat.jpg")
    assert end.resumed_at > 0
    assert end.received_bytes == SIZE - end.resumed_at


async def test_a_partial_file_that_is_whole_is_published_without_fetching_a_byte(link: Link, folder: Path) -> None:
    part = await interrupt(link, folder / "cat.jpg", after=1_500_000)
    part.write_bytes(CONTENT)
    end = await download(link.url, folder / "cat.jpg")
    assert (end.resumed_at, end.received_bytes) == (SIZE, 0)


# ------------------------------------------------------------------------------------------------ never the wrong one


async def test_two_contents_are_never_put_together(server: str, link: Link, folder: Path) -> None:
    await interrupt(link, folder / "cat.jpg", after=1_500_000)
    await upload(server, OTHER)
    end = await download(link.url, folder / "cat.jpg")
    assert (end.resumed_at, end.received_bytes) == (0, SIZE)
    assert (folder / "cat.jpg").read_bytes() == OTHER
    assert partials(folder) == []


async def test_a_file_that_is_replaced_between_two_attempts_is_fetched_from_its_beginning(
    server: str, link: Link, folder: Path
) -> None:
    link.cut_after(downstream=1_500_000)
    events: list[Event] = []
    replacing: list[asyncio.Task[None]] = []

    def replace(event: Event) -> None:
        if isinstance(event, Received) and not replacing:
            replacing.append(asyncio.create_task(upload(server, OTHER)))
        if isinstance(event, Waiting):
            link.refusing = not replacing[0].done()

    async with downloader(link.url, events, attempts=1_000_000, then=replace) as download:
        await download.download(NAME, folder)
    await replacing[0]
    assert (folder / "cat.jpg").read_bytes() == OTHER
    assert [event.offset for event in events if isinstance(event, Receiving)] == [0, 0]


async def test_a_file_that_is_replaced_between_being_described_and_being_fetched_is_described_again(
    server: str, link: Link, folder: Path
) -> None:
    async def replace() -> None:
        await upload(server, OTHER)
        link.thaw()

    replacing: list[asyncio.Task[None]] = []

    def on_event(event: Event) -> None:
        if isinstance(event, Receiving) and not replacing:
            link.freeze()
            replacing.append(asyncio.create_task(replace()))

    end = await download(link.url, folder / "cat.jpg", then=on_event)
    await replacing[0]
    assert end.received_bytes == SIZE
    assert (folder / "cat.jpg").read_bytes() == OTHER


@pytest.mark.parametrize("damage", ["flipped", "longer"])
async def test_a_partial_file_that_the_disk_has_changed_is_thrown_away(link: Link, folder: Path, damage: str) -> None:
    part = await interrupt(link, folder / "cat.jpg", after=1_500_000)
    content = bytearray(part.read_bytes())
    content[1_000] ^= 1
    part.write_bytes(bytes(content) if damage == "flipped" else CONTENT + b"x")
    end = await download(link.url, folder / "cat.jpg")
    assert (folder / "cat.jpg").read_bytes() == CONTENT
    assert end.received_bytes >= SIZE
    assert partials(folder) == []


async def test_content_that_the_servers_disk_has_changed_is_not_put_in_place(
    server: str, tmp_path: Path, folder: Path
) -> None:
    await upload(server, CONTENT)
    (stored,) = (path for path in (tmp_path / "data/objects").rglob("*") if path.is_file())
    stored.chmod(0o600)
    stored.write_bytes(CONTENT[:-1] + bytes([CONTENT[-1] ^ 1]))
    with pytest.raises(DamagedContent) as caught:
        await download(server, folder / "cat.jpg")
    assert hashlib.sha256(CONTENT).hexdigest() in str(caught.value)
    assert os.listdir(folder) == []


# ----------------------------------------------------------------------------------------------------- what is there


async def test_a_file_that_is_there_already_is_not_fetched(server: str, folder: Path) -> None:
    await upload(server, CONTENT)
    await download(server, folder / "cat.jpg")
    again = await download(server, folder / "cat.jpg")
    assert (again.unchanged, again.received_bytes) == (True, 0)
    assert os.listdir(folder) == ["cat.jpg"]


@pytest.mark.parametrize("there", [OTHER, b"short", b""], ids=["same size", "shorter", "empty"])
async def test_a_file_with_other_content_is_replaced_only_by_force(server: str, folder: Path, there: bytes) -> None:
    await upload(server, CONTENT)
    (folder / "cat.jpg").write_bytes(there)
    with pytest.raises(TargetTaken, match="--force"):
        await download(server, folder / "cat.jpg")
    assert (folder / "cat.jpg").read_bytes() == there
    assert os.listdir(folder) == ["cat.jpg"]
    end = await download(server, folder / "cat.jpg", force=True)
    assert not end.unchanged
    assert (folder / "cat.jpg").read_bytes() == CONTENT


async def test_a_file_that_appears_meanwhile_is_not_replaced_and_nothing_is_lost(link: Link, folder: Path) -> None:
    def appear(event: Event) -> None:
        (folder / "cat.jpg").write_text("mine")

    with pytest.raises(TargetTaken, match="--force"):
        await download(link.url, folder / "cat.jpg", then=lambda e: appear(e) if isinstance(e, Received) else None)
    assert (folder / "cat.jpg").read_text() == "mine"
    end = await download(link.url, folder / "cat.jpg", force=True)
    assert (end.resumed_at, end.received_bytes) == (SIZE, 0)


async def test_what_is_no_regular_file_is_never_replaced(server: str, folder: Path) -> None:
    await upload(server, CONTENT)
    os.mkfifo(folder / "pipe")
    (folder / "nowhere").symlink_to("nothing")
    (folder / "cat.jpg").mkdir()
    for target in ("pipe", "nowhere", "."):
        with pytest.raises(TargetTaken, match="not a regular file"):
            await download(server, folder / target, force=True)
    assert partials(folder) == []


async def test_a_folder_that_is_not_there_is_named(server: str, folder: Path) -> None:
    await upload(server, CONTENT)
    with pytest.raises(FileNotFoundError) as caught:
        await download(server, folder / "nothing" / "cat.jpg")
    assert caught.value.filename == str(folder / "nothing")


async def test_two_downloads_do_not_write_one_file(server: str, link: Link, folder: Path) -> None:
    begun = asyncio.Event()

    def freeze(event: Event) -> None:
        if isinstance(event, Receiving) and not begun.is_set():
            link.freeze()
            begun.set()

    first = asyncio.create_task(download(link.url, folder / "cat.jpg", then=freeze))
    await begun.wait()
    with pytest.raises(TargetBusy):
        await download(server, folder / "cat.jpg")
    link.thaw()
    assert (await first).received_bytes == SIZE
    assert (folder / "cat.jpg").read_bytes() == CONTENT


async def test_after_a_crash_between_publishing_and_tidying_up_the_target_is_not_written_in_place(
    link: Link, folder: Path
) -> None:
    part = await interrupt(link, folder / "cat.jpg", after=1_500_000)
    os.link(part, folder / "cat.jpg")
    content = part.read_bytes()
    await give_up(link, folder / "cat.jpg", after=500_000, force=True)
    assert (folder / "cat.jpg").read_bytes() == content
    await download(link.url, folder / "cat.jpg", force=True)
    assert (folder / "cat.jpg").read_bytes() == CONTENT
    assert partials(folder) == []


async def test_partial_files_of_other_targets_stay(link: Link, folder: Path) -> None:
    other = await interrupt(link, folder / "cat.jpg.old", after=1_500_000)
    await download(link.url, folder / "cat.jpg")
    assert partials(folder) == [other]


# ------------------------------------------------------------------------------------------------------------ refusals


async def test_a_file_that_is_not_there_is_not_found(server: str, folder: Path) -> None:
    with pytest.raises(NotFound):
        await download(server, folder / "cat.jpg")
    assert os.listdir(folder) == []


async def test_a_name_that_breaks_a_rule_is_refused_before_anything_is_asked(folder: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with pytest.raises(InvalidName):
            await download(f"http://127.0.0.1:{nobody.getsockname()[1]}", folder / "x", name="../etc/passwd")


async def test_a_server_that_stays_away_is_given_up(folder: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with pytest.raises(GaveUp, match=r"connection refused.*run the same command to go on"):
            await download(f"http://127.0.0.1:{nobody.getsockname()[1]}", folder / "x")


async def test_a_download_that_finds_no_place_at_the_server_waits_for_one(tmp_path: Path, folder: Path) -> None:
    reasons: asyncio.Queue[str] = asyncio.Queue()

    def listen(event: Event) -> None:
        if isinstance(event, Waiting):
            reasons.put_nowait(event.reason)

    async with running(Settings(data=tmp_path / "data", max_connections=1)) as server:
        async with client.connect(server) as only:
            await only.upload(CONTENT, name=NAME)
            downloading = asyncio.create_task(download(server, folder, attempts=1_000_000, then=listen))
            downloading.add_done_callback(lambda _: reasons.put_nowait("it did not wait"))
            assert "as many connections as it takes" in await reasons.get()
        await downloading
    assert (folder / "cat.jpg").read_bytes() == CONTENT


async def test_a_small_file_of_a_folder_that_is_refused_for_a_while_is_asked_for_again(
    tmp_path: Path, folder: Path
) -> None:
    settings, refusals = Settings(data=tmp_path / "data", port=0), [503]
    app = create_app(settings)

    @app.middleware("http")
    async def refuse_once(request: Request, call_next: RequestResponseEndpoint) -> Response:
        if request.method != "GET" or request.url.path != "/files/small" or not refusals:
            return await call_next(request)
        problem = {"code": "busy", "detail": "too busy", "retryable": True}
        return JSONResponse(problem, refusals.pop(), {"Retry-After": "1"}, "application/problem+json")

    async with running(settings, app) as url:
        await upload(url, b"small", "small")
        events: list[Event] = []
        async with HttpApi(url) as api, client.connect(url) as connection:
            (entry,) = [entry async for entry in connection.list_files()]
            download = Downloader(api, Eager(), events.append, SpeedLimit(None))
            await download.fetch(entry.name, folder / "small", force=False, entry=entry, is_new=True)
    assert (folder / "small").read_bytes() == b"small"
    assert [event.reason for event in events if isinstance(event, Waiting)] == ["too busy"]
