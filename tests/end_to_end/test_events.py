"""`/events`: what happens on a server is told to who may see it, numbered, as it happens."""

import asyncio
import socket
from pathlib import Path
from typing import cast

import pytest

from storage.store import Store, UploadRequest
from tests.end_to_end.conftest import Json, Peer, Service, eof, serving, small
from tests.hearing import PATIENCE, WAYS, Refused, Way, framed, hearing, server_sent
from tests.tokens import bearer, token_for
from tests.transfer.seeds import put
from transfer.engine.http import HttpProtocol
from transfer.protocol.events import key_of
from transfer.protocol.limits import MIB
from transfer.protocol.names import Name

each_way = pytest.mark.parametrize("way", WAYS)


async def begun(store: Store, name: str, owner: str = "anonymous") -> str:
    """The id of a new upload."""
    async with store.begin(UploadRequest(name=Name.parse(name), size=3, owner=owner)) as writer:
        return writer.upload_id


def told(event: Json) -> tuple[str, str]:
    return event["event"], event.get("name") or event["file"]["name"]


# ------------------------------------------------------------------------------------------------------- what is told


@each_way
async def test_an_upload_and_its_file_are_told_as_they_come_and_go(service: Service, peer: Peer, way: Way) -> None:
    content = bytes(2 * MIB)
    async with hearing(service.url, way) as stream:
        (reset,) = await stream.until(type="reset")
        ready = await peer.begin("photos/cat.jpg", len(content))
        await peer.send(content[:MIB])
        progressed = (await stream.until(event="progressed"))[-1]
        await peer.send(content[MIB:], eof(content))
        complete = await peer.hear("complete")
        completed = (await stream.until(event="completed"))[-1]
        async with service.http() as http:
            await http.patch("/files/photos/cat.jpg", json={"name": "cat ?.jpg"})
            await http.delete("/files/cat%20%3F.jpg")
        renamed, deleted = await stream.until(event="deleted")
    key = key_of(ready["upload_id"])
    assert reset["missed"] is False
    common = {"type": "upload", "key": key, "name": "photos/cat.jpg", "size": len(content), "owner": "anonymous"}
    assert progressed == common | {"event": "progressed", "id": progressed["id"], "offset": MIB}
    file = complete["file"]
    assert completed == common | {"event": "completed", "id": completed["id"], "offset": len(content), "file": file}
    file |= {"name": "cat ?.jpg", "url": "/files/cat%20%3F.jpg"}
    assert renamed == {"type": "file", "event": "renamed", "id": renamed["id"], "name": "photos/cat.jpg", "file": file}
    assert deleted == {"type": "file", "event": "deleted", "id": deleted["id"], "name": "cat ?.jpg"}


@each_way
async def test_what_is_dropped_is_told(service: Service, peer: Peer, way: Way) -> None:
    async with hearing(service.url, way) as stream:
        await peer.begin("by its client", 3)
        await peer.send({"type": "cancel"})
        assert told((await stream.until(event="cancelled"))[-1]) == ("cancelled", "by its client")
        upload_id = await begun(service.store, "over http")
        async with service.http() as http:
            await http.delete(f"/uploads/{upload_id}")
        assert told((await stream.until(event="cancelled"))[-1]) == ("cancelled", "over http")


async def test_no_event_has_what_an_upload_could_be_taken_over_with(service: Service, peer: Peer) -> None:
    async with server_sent(service.url) as stream:
        ready = await peer.hold("cargo", 10, b"cargo")
        await peer.send(b"cargo", eof(b"cargocargo"))
        heard = str(await stream.until(event="completed"))
    assert ready["upload_id"] not in heard
    assert ready["lease"] not in heard


# --------------------------------------------------------------------------------------------------- numbers, replays


@each_way
async def test_after_a_break_what_was_missed_comes_first(service: Service, way: Way) -> None:
    async with hearing(service.url, way) as stream:
        await put(service.store, "heard")
        last = (await stream.until(name="heard"))[-1]["id"]
    for name in ("missed", "missed, too"):
        await put(service.store, name)
    async with hearing(service.url, way, after=last) as stream:
        await put(service.store, "live")
        assert [told(event)[1] for event in await stream.until(name="live")] == ["missed", "missed, too", "live"]


async def test_who_goes_on_where_nothing_was_missed_hears_a_sign_of_life_at_once(service: Service) -> None:
    async with server_sent(service.url) as stream:
        (reset,) = await stream.until(type="reset")
    async with server_sent(service.url, after=reset["id"]) as stream:
        await put(service.store, "a")
        assert [told(event) for event in await stream.until(name="a")] == [("completed", "a")]
        assert stream.comments == 1


@each_way
async def test_a_number_of_before_a_restart_is_answered_with_a_word_to_list_again(tmp_path: Path, way: Way) -> None:
    async with serving(tmp_path, {}) as service, hearing(service.url, way) as stream:
        await put(service.store, "a")
        last = (await stream.until(name="a"))[-1]["id"]
    async with serving(tmp_path, {}) as service:
        for name in ("b", "c", "d"):
            await put(service.store, name)
        async with hearing(service.url, way, after=last) as stream:
            reset = await stream.next()
            assert reset is not None
            assert (reset["type"], reset["missed"]) == ("reset", True)
            await put(service.store, "e")
            assert [told(event) for event in await stream.until(name="e")] == [("completed", "e")]


@pytest.mark.parametrize("after", ["", "7", "nonsense", "000000000000-1", "é", "-", "1" * 65])
@pytest.mark.parametrize("place", ["header", "address"])
async def test_an_id_that_is_none_is_one_that_is_not_kept(service: Service, after: str, place: str) -> None:
    said = {"params": {"after": after}} if place == "address" else {"headers": {"Last-Event-ID": after.encode()}}
    async with service.http() as http, http.stream("GET", "/events", **said) as answer:
        assert answer.status_code == 200
        async for line in answer.aiter_lines():
            if line.startswith("data"):
                assert '"missed":true' in line or (not after and '"missed":false' in line)
                break


async def test_the_header_of_a_browser_that_comes_back_counts_over_the_address_that_it_began_with(
    service: Service,
) -> None:
    async with server_sent(service.url) as stream:
        first = await stream.next()
        await put(service.store, "a")
        second = (await stream.until(name="a"))[-1]
    assert first is not None
    await put(service.store, "b")
    headers = {"Last-Event-ID": second["id"]}
    query = {"after": first["id"]}
    async with service.http() as http, http.stream("GET", "/events", params=query, headers=headers) as answer:
        async for line in answer.aiter_lines():
            if line.startswith("data"):
                assert '"name":"b"' in line
                break


# ------------------------------------------------------------------------------------------------------ how it ends


@each_way
async def test_a_token_that_is_revoked_ends_the_stream(service: Service, way: Way) -> None:
    token = await token_for(service.store, "alice")
    async with hearing(service.url, way, headers=bearer(token)) as stream:
        await stream.until(type="reset")
        await service.store.grants.revoke(token.grant_id)
        assert await stream.next() is None
    await service.log.until("session ended")
    (ended,) = [event for event in service.log.events if event.get("mode") == "events"]
    assert (ended["principal"], ended["outcome"]) == ("alice", "unauthorized")


async def test_a_reader_who_takes_nothing_is_cut_off_with_its_token(service: Service) -> None:
    loop, token = asyncio.get_running_loop(), await token_for(service.store, "alice")
    with socket.socket() as reader:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        reader.setblocking(False)
        await loop.sock_connect(reader, ("127.0.0.1", service.port))
        said = f"Host: 127.0.0.1\r\nAuthorization: Bearer {token.text}\r\n"
        await loop.sock_sendall(reader, f"GET /events HTTP/1.1\r\n{said}\r\n".encode())
        assert await loop.sock_recv(reader, 1) == b"H"
        (connection,) = service.server.server_state.connections
        transport = cast(HttpProtocol, connection).transport
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
        await asyncio.gather(*(put(service.store, f"{number}/{'x' * 200}") for number in range(100)))
        async with asyncio.timeout(PATIENCE):
            while not transport.get_write_buffer_size():  # noqa: ASYNC110 - a transport tells nobody
                await asyncio.sleep(0)
        await service.store.grants.revoke(token.grant_id)
        await service.log.until("session ended")
        heard = b""
        while piece := await loop.sock_recv(reader, 65_536):
            heard += piece
    assert not heard.endswith(b"0\r\n\r\n")


@each_way
async def test_a_server_that_stops_ends_the_stream_and_waits_for_nobody(tmp_path: Path, way: Way) -> None:
    async with serving(tmp_path, {"drain_timeout": 3600}) as service, hearing(service.url, way) as stream:
        await stream.until(type="reset")
        service.server.stop()
        assert await stream.next() is None
        assert getattr(stream, "close_code", 1012) == 1012


async def test_whoever_says_something_on_the_stream_hears_that_nobody_listens(service: Service) -> None:
    async with framed(service.url) as stream:
        await stream.until(type="reset")
        await stream.connection.send("hello")
        assert await stream.next() is None
        assert stream.close_code == 1008


@pytest.mark.parametrize("overrides", [{"max_event_streams": 2}])
@each_way
async def test_one_stream_too_many_is_refused_until_another_has_ended(service: Service, way: Way) -> None:
    async with hearing(service.url, "sse") as first:
        await first.until(type="reset")
        async with hearing(service.url, "websocket") as second:
            await second.until(type="reset")
            with pytest.raises(Refused) as refused:
                async with hearing(service.url, way):
                    pass
            assert (refused.value.status, refused.value.problem["code"]) == (429, "too_many")
        await service.log.until("session ended")
        async with hearing(service.url, way) as third:
            await third.until(type="reset")


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_what_pages_of_other_sites_show_is_no_stream(service: Service, site: str) -> None:
    """As an image, which a browser asks for without `Origin`."""
    with pytest.raises(Refused) as refused:
        async with server_sent(service.url, headers={"Sec-Fetch-Site": site}):
            pass
    assert (refused.value.status, refused.value.problem["code"]) == (403, "forbidden")
    for own in ({"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}):
        async with server_sent(service.url, headers=own) as stream:
            await stream.until(type="reset")


@pytest.mark.parametrize("overrides", [{"allowed_origins": ("https://page.example",)}])
async def test_an_allowed_page_of_another_site_has_the_stream(service: Service) -> None:
    allowed = {"Origin": "https://page.example", "Sec-Fetch-Site": "cross-site"}
    async with server_sent(service.url, headers=allowed) as stream:
        await stream.until(type="reset")


@each_way
async def test_pages_of_other_sites_get_no_stream(service: Service, way: Way) -> None:
    with pytest.raises(Refused) as refused:
        async with hearing(service.url, way, headers={"Origin": "https://elsewhere.example"}):
            pass
    assert (refused.value.status, refused.value.problem["code"]) == (403, "forbidden")


# --------------------------------------------------------------------------------------------------- what it costs


async def test_who_reads_nothing_holds_up_nobody_and_is_let_go(service: Service, peer: Peer) -> None:
    """What it is sent fills its socket; uploads, and other readers, go on."""
    files, batch, note = 2_400, 100, {"note": "x" * 3_900}
    async with asyncio.TaskGroup() as group, framed(service.url) as reader, framed(service.url) as silent:
        await silent.until(type="reset")
        silent.connection.transport.pause_reading()
        heard = group.create_task(reader.until(name=f"{files - 1}"))
        for first in range(0, files, batch):
            numbers = range(first, first + batch)
            await peer.send(*(frame for number in numbers for frame in small(f"{number}", b"x", metadata=note)))
            for _ in numbers:
                await peer.hear("complete")
        assert len(await heard) == 1 + files
        silent.connection.transport.resume_reading()
        while await silent.next() is not None:
            pass
        assert silent.close_code == 1013
    await service.log.until("fell behind")
