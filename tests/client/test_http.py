import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import client
from client.errors import CannotConnect, ConnectionBroken
from client.http import HttpApi
from client.wire import open_wire
from tests.client.answering import answering
from tests.links import Link
from tests.server import running
from transfer.protocol.errors import Exists, InvalidName, NotFound, TransferError, UnknownError
from transfer.protocol.messages import FileEntry, UploadHeader
from transfer.protocol.names import Name
from transfer.settings import Settings


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[str]:
    async with running(Settings(data=tmp_path / "data", port=0)) as url:
        yield url


async def upload(server: str, *names: str) -> None:
    async with client.connect(server) as connection:
        for name in names:
            await connection.upload(name.encode(), name=name, metadata={"separators": "\u2028\x85\x0b"})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "file").write_bytes(b"content")
    return tmp_path / "file"


async def upload_many(server: str, file: Path, count: int) -> list[str]:
    """Put one file there under many names; returns them."""
    every = [f"{number:04}" for number in range(count)]
    async with client.connect(server) as connection:
        results = [result async for result in connection.upload_many(client.Item(file, name) for name in every)]
    assert len(results) == count
    return every


async def listed(server: str, prefix: str = "", q: str = "", sort: str = "name") -> list[FileEntry]:
    async with HttpApi(server) as api:
        return [file async for file in api.list_files(prefix, q, sort)]


async def names(server: str, prefix: str = "", q: str = "", sort: str = "name") -> list[str]:
    return [str(file.name) for file in await listed(server, prefix, q, sort)]


# ---------------------------------------------------------------------------------------------------- a real server


async def test_files_are_listed_by_prefix_part_and_order(server: str) -> None:
    await upload(server, "b/longest", "a", "b/c", "фото & 100%?#+ x")
    assert await names(server) == ["a", "b/c", "b/longest", "фото & 100%?#+ x"]
    assert await names(server, "b/") == ["b/c", "b/longest"]
    assert await names(server, "фото & 100%?#+") == ["фото & 100%?#+ x"]
    assert await names(server, q="LONG") == ["b/longest"]
    assert await names(server, sort="-size") == ["фото & 100%?#+ x", "b/longest", "b/c", "a"]
    assert await names(server, "nothing") == []


async def test_a_level_is_its_folders_and_then_its_files(server: str) -> None:
    await upload(server, "a/b/c", "a/d", "e")
    async with client.connect(server) as connection:
        for prefix, level in (("", ["a/", "e"]), ("a/", ["a/b/", "a/d"]), ("a/b/c", ["a/b/c"])):
            found = [it async for it in connection.list_level(prefix)]
            assert [it if isinstance(it, str) else it.name.value for it in found] == level


async def test_a_listing_has_every_file_however_many_there_are(server: str, file: Path) -> None:
    every = await upload_many(server, file, 1_005)
    assert await names(server) == every


async def test_separators_in_metadata_do_not_break_a_line(server: str) -> None:
    await upload(server, "a")
    (file,) = await listed(server)
    assert file.metadata == {"separators": "\u2028\x85\x0b"}


async def test_a_prefix_that_is_no_text_finds_nothing(server: str) -> None:
    await upload(server, "a")
    assert await names(server, "\udcff") == []


async def test_a_listing_that_breaks_off_is_no_short_listing(server: str, file: Path) -> None:
    await upload_many(server, file, 1_005)
    async with Link("127.0.0.1", urlsplit(server).port or 0) as link:
        link.cut_after(downstream=200_000)
        with pytest.raises(ConnectionBroken):
            await names(link.url)


async def test_one_file_is_found_among_those_that_begin_with_its_name(server: str) -> None:
    await upload(server, "cat.jpg.old", "cat.jpg", "cat")
    async with HttpApi(server) as api:
        assert (await api.find("cat")).name == Name("cat")
        with pytest.raises(NotFound):
            await api.find("ca")


async def test_renaming_gives_the_entry_with_the_new_name(server: str) -> None:
    await upload(server, "a b", "taken")
    async with HttpApi(server) as api:
        assert (await api.rename("a b", "c/d%20e")).name == Name("c/d%20e")
        with pytest.raises(NotFound):
            await api.rename("a b", "x")
        with pytest.raises(Exists):
            await api.rename("c/d%20e", "taken")
        with pytest.raises(InvalidName, match="empty segment"):
            await api.rename("c/d%20e", "a//b")
    assert await names(server) == ["c/d%20e", "taken"]


async def test_deleting_removes_one_file(server: str) -> None:
    await upload(server, "a", "b")
    async with HttpApi(server) as api:
        await api.delete("a")
        with pytest.raises(NotFound):
            await api.delete("a")
    assert await names(server) == ["b"]


async def test_unfinished_uploads_are_listed_and_cancelled(server: str) -> None:
    async with open_wire(server) as wire:
        await wire.send(UploadHeader(name=Name("cat.jpg"), size=1_000))
        ready = await wire.receive()
    assert ready.type == "ready"
    async with HttpApi(server) as api:
        (unfinished,) = await api.uploads()
        assert (unfinished.upload_id, str(unfinished.name)) == (ready.upload_id, "cat.jpg")
        assert (unfinished.size, unfinished.offset) == (1_000, 0)
        assert unfinished.expires is not None
        assert unfinished.expires > unfinished.active >= unfinished.created
        with pytest.raises(NotFound):
            await api.cancel("../files/no such id?")
        await api.cancel(unfinished.upload_id)
        assert await api.uploads() == []


# ------------------------------------------------------------------------------------------- other servers, or none


async def failure(server: str) -> Exception:
    """What asking for the unfinished uploads raises."""
    async with HttpApi(server) as api:
        with pytest.raises(Exception) as caught:  # noqa: PT011 - the tests look at which
            await api.uploads()
    return caught.value


@pytest.mark.parametrize(
    ("status", "content_type", "body"),
    [
        ("200 OK", "text/html", b"<html>hello</html>"),
        ("200 OK", "application/json", b'{"something": "else"}'),
        ("200 OK", "application/json", b'{"uploads": NaN}'),
        ("200 OK", "application/json", b'{"uploads": [{"upload_id": 5}]}'),
        ("200 OK", "application/json", b"\xff"),
        ("404 Not Found", "text/html", b"<html>nothing here</html>"),
        ("401 Unauthorized", "text/html", b""),
        ("404 Not Found", "application/problem+json", b"not json"),
        ("404 Not Found", "application/problem+json", b'{"title": "no code"}'),
    ],
)
async def test_a_server_that_is_no_towline_is_told_from_one_that_refuses(
    status: str, content_type: str, body: bytes
) -> None:
    async with answering(status, content_type, body) as url:
        error = await failure(url)
    assert isinstance(error, CannotConnect)
    assert "is this a Towline server?" in str(error)
    assert url in str(error)


@pytest.mark.parametrize("status", ["502 Bad Gateway", "503 Service Unavailable", "429 Too Many Requests"])
async def test_a_proxy_that_has_lost_its_server_may_find_it_again(status: str) -> None:
    async with answering(status, "text/html", b"<html>") as url:
        error = await failure(url)
    assert isinstance(error, ConnectionBroken)
    assert status[:3] in str(error)


async def test_a_problem_becomes_the_error_of_its_code_with_its_facts() -> None:
    problem = {"type": "about:blank", "status": 409, "title": "Conflict", "detail": "no", "code": "exists", "size": 5}
    async with answering("409 Conflict", "application/problem+json", json.dumps(problem).encode()) as url:
        error = await failure(url)
    assert isinstance(error, Exists)
    assert (str(error), error.facts) == ("no", {"size": 5})


async def test_a_problem_of_a_newer_server_keeps_its_code_and_whether_to_try_again() -> None:
    problem = {"title": "Moved", "code": "moved", "retryable": True, "message": "?", "self": "?"}
    async with answering("410 Gone", "application/problem+json; charset=utf-8", json.dumps(problem).encode()) as url:
        error = await failure(url)
    assert isinstance(error, UnknownError)
    assert (error.code, error.retryable, str(error)) == ("moved", True, "Moved")


async def test_a_listing_that_is_a_page_of_html_is_no_listing() -> None:
    async with answering("200 OK", "text/html", b"<html>") as url:
        with pytest.raises(CannotConnect, match="is this a Towline server"):
            await names(url)


async def test_a_content_without_an_etag_is_not_downloaded() -> None:
    async with answering("200 OK", "text/plain", b"x") as url, HttpApi(url) as api:
        with pytest.raises(CannotConnect, match="does not say which content"):
            async with api.open_content("a"):
                pass


async def test_a_part_that_is_not_the_one_that_was_asked_for_is_not_taken() -> None:
    headers = ('ETag: "x"', "Content-Range: bytes 4-4/9")
    async with answering("206 Partial Content", "text/plain", b"x", *headers) as url, HttpApi(url) as api:
        with pytest.raises(CannotConnect, match="asked for bytes from 5 on, it sends them from 4 on"):
            async with api.open_content("a", offset=5, etag='"x"'):
                pass


async def test_a_server_that_is_not_there_is_told_in_the_systems_words() -> None:
    listening = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    listening.close()
    await listening.wait_closed()
    error = await failure(url)
    assert isinstance(error, ConnectionBroken)
    assert str(error) == "connection refused"


async def test_a_name_that_breaks_a_rule_is_refused_before_anything_is_asked() -> None:
    async with HttpApi("http://127.0.0.1:1") as api:
        for ask in (api.delete, api.find, api.content_info):
            with pytest.raises(InvalidName) as caught:
                await ask("../secret")
            assert isinstance(caught.value, TransferError)


async def test_an_address_that_is_too_long_is_refused_as_such() -> None:
    async with HttpApi(f"http://127.0.0.1:1/{70_000 * 'a'}") as api:
        with pytest.raises(CannotConnect, match="too long"):
            await api.whoami()
