"""What is slowed down and what is refused, by the caller's rates, on a clock that stands still until a test moves it.

Nothing of the server's own goes by that clock: what has its time while it stands still does not wait for a rate.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.clock import Clock
from tests.end_to_end.conftest import Json, Peer, Service, chunks, eof, header, serving, small
from tests.end_to_end.scene import content
from tests.server import serving_apart
from tests.tokens import bearer, token_for
from transfer.access.attempts import FREE, MAX_WAITING_PER_ADDRESS
from transfer.access.tokens import Secret
from transfer.app import create_app
from transfer.settings import Settings

SLOW: Json = {"rate_limit_bytes": 1}
IMPATIENT: Json = {"min_upload_rate": 1_000, "rate_period": 0.4, "header_timeout": 1.0}
CONTENT = content(1 << 16)
a_byte_a_second = pytest.mark.parametrize("overrides", [SLOW])


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def service(tmp_path: Path, overrides: Json, clock: Clock) -> AsyncIterator[Service]:
    """A server whose rates go by the clock."""
    async with serving(tmp_path, overrides, clock) as service:
        yield service


async def held_up(service: Service, clock: Clock, peer: Peer, size: int | None = 300, name: str = "a") -> Json:
    """An upload whose first chunk of 100 bytes is durable, and whose second one waits for the rate."""
    ready = await peer.begin(name, size)
    await peer.send(CONTENT[:100])
    await peer.acked(100)
    await peer.send(CONTENT[100:200])
    await clock.waited_for()
    return ready


@a_byte_a_second
async def test_beyond_the_rate_an_upload_waits_and_nobody_else_does(service: Service, clock: Clock) -> None:
    async with service.connected() as slow, service.connected() as other:
        await held_up(service, clock, slow)
        await other.send({"type": "text", "text": "an echo"})
        assert (await other.receive())["text"] == "an echo"
        assert [upload["offset"] for upload in await service.unfinished()] == [100]
        clock.advance(99)
        await other.send({"type": "text", "text": "not yet"})
        assert (await other.receive())["text"] == "not yet"
        assert [upload["offset"] for upload in await service.unfinished()] == [100]
        clock.advance(1)
        await slow.acked(200)
        await slow.send(CONTENT[200:300], eof(CONTENT[:300]))
        await clock.waited_for()
        clock.advance(100)
        await slow.hear("complete")
    assert await service.stored("a") == CONTENT[:300]


@a_byte_a_second
async def test_uploads_of_one_caller_share_its_rate(service: Service, clock: Clock) -> None:
    async with service.connected() as one, service.connected() as other:
        await held_up(service, clock, one)
        await other.send(*small("small", b"abc"))
        await other.send({"type": "text", "text": "behind the file"})
        clock.advance(100 + 100)
        await other.hear("complete")
        await other.hear("echo")


@a_byte_a_second
async def test_a_client_is_asked_for_no_more_than_the_rate_takes_in_a_second(service: Service) -> None:
    async with service.connected() as peer:
        ready = await peer.begin("a", 1 << 20)
        assert (ready["chunk_size"], ready["window"]) == (1_024, 1_024)


@pytest.mark.parametrize("overrides", [SLOW | IMPATIENT])
async def test_whoever_is_held_up_is_not_too_slow(service: Service, clock: Clock) -> None:
    async with service.connected() as held, service.connected() as silent:
        await held_up(service, clock, held)
        await silent.begin("silent", 100)
        await silent.refused("timeout")
        assert await silent.closed() == 4408
        clock.advance(100)
        await held.acked(200)
        await held.refused("timeout")


async def test_whoever_is_held_up_is_not_given_up_for_pongs_that_nobody_reads(tmp_path: Path, clock: Clock) -> None:
    settings = Settings(data=tmp_path, rate_limit_bytes=1, header_timeout=1.0)
    app = create_app(settings, clock)
    async with (
        serving_apart(app, settings, ping_interval=0.05, ping_timeout=0.1) as (url, _),
        connect(url.replace("http:", "ws:") + "/ws", compression=None, proxy=None) as held,
        connect(url.replace("http:", "ws:") + "/ws", compression=None, proxy=None) as silent,
    ):
        peer = Peer(held)
        await peer.begin("a", 300)
        await peer.send(CONTENT[:100])
        await peer.acked(100)
        await peer.send(CONTENT[100:200])
        await clock.waited_for()
        await Peer(silent).refused("timeout")  # so much time has passed
        clock.advance(100)
        await peer.acked(200)


@a_byte_a_second
async def test_whoever_is_held_up_hears_at_once_that_the_server_stops(service: Service, clock: Clock) -> None:
    async with service.connected() as held:
        await held_up(service, clock, held)
        service.server.stop()
        await held.refused("shutting_down")
        assert await held.closed() == 1012
    await clock.idle()


@a_byte_a_second
async def test_whoever_is_held_up_hears_at_once_that_another_has_taken_over(service: Service, clock: Clock) -> None:
    async with service.connected() as held, service.connected() as newcomer:
        ready = await held_up(service, clock, held)
        again = await newcomer.begin("a", 300, upload_id=ready["upload_id"])
        assert again["offset"] == 100
        await held.refused("superseded")
        assert await held.closed() == 4409
        await newcomer.send({"type": "cancel"})
        await newcomer.hear("cancelled")
    await clock.idle()


@a_byte_a_second
async def test_whoever_is_held_up_hears_that_their_token_was_revoked(service: Service, clock: Clock) -> None:
    token = await token_for(service.store, "alice")
    async with service.connected() as held:
        await held.send({"type": "auth", "token": token.text})
        await held.hear("authorized")
        await held_up(service, clock, held)
        await service.store.grants.revoke(token.grant_id)
        await held.refused("unauthorized")
        assert await held.closed() == 1008
    await clock.idle()


@a_byte_a_second
async def test_a_download_is_sent_at_the_rate_and_given_up_with_its_reader(service: Service, clock: Clock) -> None:
    async with service.connected() as peer:
        await peer.send(header("a", 5_000, offset=0), *chunks(CONTENT[:5_000]), eof(CONTENT[:5_000]))
        await peer.hear("complete")
    async with service.http() as http, http.stream("GET", "/files/a") as answer:
        pieces = answer.aiter_raw()
        assert await anext(pieces) == CONTENT[:1_024]
        await clock.waited_for()
        clock.advance(1_024)
        assert await anext(pieces) == CONTENT[1_024:2_048]
        await clock.waited_for()
        assert (await http.get("/files")).status_code == 200
    await clock.idle()


@pytest.mark.parametrize("overrides", [{"header_rate": 1, "header_burst": 3}])
async def test_headers_beyond_the_rate_wait_and_nothing_is_refused(service: Service, clock: Clock) -> None:
    async with service.connected() as quick, service.connected("/echo") as other:
        texts = [{"type": "text", "text": str(number)} for number in range(4)]
        await quick.send(*texts, *small("a", b"abc"), "no json")
        for number in range(3):
            assert (await quick.receive())["text"] == str(number)
        await clock.waited_for()
        await other.send('"nobody waits here"')
        assert str(await other.receive()) == "nobody waits here"
        clock.advance(1)
        assert (await quick.receive())["text"] == "3"
        await clock.waited_for()
        clock.advance(1)
        await quick.hear("complete")
        await clock.waited_for()
        clock.advance(1)
        await quick.refused("bad_message")


@pytest.mark.parametrize("overrides", [{"header_rate": 1, "header_burst": 1}])
async def test_headers_of_all_connections_count_together(service: Service, clock: Clock) -> None:
    async with service.connected() as one, service.connected() as other:
        await one.send({"type": "text", "text": "first"})
        await one.hear("echo")
        await other.send({"type": "text", "text": "second"})
        await clock.waited_for()
        clock.advance(1)
        await other.hear("echo")


@pytest.mark.parametrize("overrides", [{"request_rate": 0.5, "request_burst": 2}])
async def test_requests_beyond_the_rate_are_refused_for_a_moment(service: Service, clock: Clock) -> None:
    async with service.http() as http:
        for _ in range(2):
            assert (await http.get("/files")).status_code == 200
        for method, path in (("GET", "/files"), ("DELETE", "/files/a"), ("GET", "/uploads")):
            refused = await http.request(method, path)
            assert (refused.status_code, refused.headers["retry-after"]) == (429, "2")
            problem = refused.json()
            assert (problem["code"], problem["retryable"], problem["retry_after"]) == ("too_many", True, 2)
        assert (await http.get("/health/live")).status_code == 200
        clock.advance(2)
        assert (await http.get("/files")).status_code == 200
        assert (await http.get("/files")).status_code == 429


@pytest.mark.parametrize("path", ["/ws", "/echo", "/proxy/echo"])
@pytest.mark.parametrize("overrides", [{"request_rate": 0.5, "request_burst": 1}])
async def test_upgrades_beyond_the_rate_are_refused_for_a_moment(service: Service, clock: Clock, path: str) -> None:
    async with service.connected(path):
        with pytest.raises(InvalidStatus) as refused:
            async with service.connected(path):
                pass
        response = refused.value.response
        assert (response.status_code, response.headers["retry-after"]) == (429, "2")
        clock.advance(2)
        async with service.connected(path):
            pass


async def test_wrong_tokens_wait_for_their_refusal_and_right_ones_for_nothing(service: Service, clock: Clock) -> None:
    token = await token_for(service.store, "alice")
    async with service.http() as http:

        async def shows(secret: Secret) -> int:
            return (await http.get("/files", headers=bearer(secret))).status_code

        assert [await shows(Secret.new()) for _ in range(FREE)] == [401] * FREE
        waiting = []
        for count in range(1, MAX_WAITING_PER_ADDRESS + 1):
            waiting.append(asyncio.create_task(shows(Secret.new())))
            await clock.waited_for(count)
        assert await shows(token) == 200
        refused = await http.get("/files", headers=bearer(Secret.new()))
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "4")
        assert (refused.json()["code"], refused.json()["retryable"]) == ("too_many", True)
        assert not any(task.done() for task in waiting)
        clock.advance(2)
        assert await asyncio.gather(*waiting) == [401] * MAX_WAITING_PER_ADDRESS
        assert await shows(token) == 200


async def test_wrong_tokens_in_frames_and_on_upgrades_count_too(service: Service, clock: Clock) -> None:
    await token_for(service.store, "alice")
    for _ in range(FREE):
        async with service.connected() as peer:
            await peer.send({"type": "auth", "token": Secret.new().text})
            await peer.refused("unauthorized")
            assert await peer.closed() == 1008
    async with service.connected() as peer:
        await peer.send({"type": "auth", "token": Secret.new().text})
        await clock.waited_for()
        clock.advance(0.25)
        await peer.refused("unauthorized")
