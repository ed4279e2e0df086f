"""Who is let in, by which token in which place, and how it ends."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import httpx2
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin

from storage.granting import opened_grants
from storage.store import utc_now
from tests.end_to_end.conftest import Peer, Service, chunks, digest, eof, header, serving, small
from tests.end_to_end.waiting import stuck_disk
from tests.tokens import bearer, token_for
from transfer.access.auth import COOKIE
from transfer.access.tokens import Secret
from transfer.grants.issuing import new_token
from transfer.protocol.limits import MIB
from transfer.protocol.names import Name

CONTENT = bytes(range(256)) * 8192


@asynccontextmanager
async def entered(service: Service, token: Secret | None, path: str = "/ws") -> AsyncIterator[Peer]:
    """A connection whose upgrade bears the token, or none."""
    headers = {} if token is None else bearer(token)
    async with connect(
        f"ws://127.0.0.1:{service.port}{path}", additional_headers=headers, compression=None, proxy=None
    ) as connection:
        yield Peer(connection)


async def refused_upgrade(service: Service, path: str, **headers: str) -> httpx2.Headers:
    """The head of the 401 that an upgrade gets."""
    with pytest.raises(InvalidStatus) as refused:
        async with connect(f"ws://127.0.0.1:{service.port}{path}", additional_headers=headers, proxy=None):
            pass
    response = refused.value.response
    assert (response.status_code, json.loads(response.body)["code"]) == (401, "unauthorized")
    return httpx2.Headers(list(response.headers.raw_items()))


async def status(service: Service, path: str, **headers: str) -> int:
    async with service.http() as http:
        return (await http.get(path, headers=headers)).status_code


# ------------------------------------------------------------------------------------------------- needed, and where


async def test_nobody_is_asked_for_a_token_until_one_was_made(service: Service) -> None:
    assert await status(service, "/files") == 200
    token = await token_for(service.store, "alice")
    assert await status(service, "/files") == 401
    assert await status(service, "/files", **bearer(token)) == 200
    await service.store.grants.revoke(token.grant_id)
    assert await status(service, "/files") == 401


async def test_a_token_that_another_process_made_is_asked_for_at_once(service: Service) -> None:
    secret, grant = new_token("alice", ["read"], now=utc_now())
    with opened_grants(service.data) as book:
        book.add(grant)
    assert await status(service, "/files") == 401
    assert await status(service, "/files", **bearer(secret)) == 200


@pytest.mark.parametrize("path", ["/ws", "/echo", "/proxy/echo"])
async def test_an_upgrade_with_a_wrong_token_is_refused_before_it(service: Service, path: str) -> None:
    await token_for(service.store, "alice")
    headers = await refused_upgrade(service, path, Authorization=f"Bearer {Secret.new().text}")
    assert headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("path", ["/echo", "/proxy/echo"])
async def test_where_no_frame_can_say_it_the_upgrade_has_to(service: Service, path: str) -> None:
    token = await token_for(service.store, "alice")
    await refused_upgrade(service, path)
    async with entered(service, token, path) as peer:
        await peer.send("hello")
        assert await peer.connection.recv() == "hello"


@pytest.mark.parametrize("value", ["", "Bearer", "Basic YTpi", "Bearer a b", "Bearer a,b c", "Digest a"])
async def test_another_authorization_than_bearer_is_refused(service: Service, value: str) -> None:
    assert await status(service, "/files", Authorization=value) == 401


async def test_the_scheme_may_be_written_in_any_case(service: Service) -> None:
    token = await token_for(service.store, "alice")
    assert await status(service, "/files", Authorization=f"bEARER  {token.text}") == 200


async def test_two_tokens_are_none(service: Service) -> None:
    token = await token_for(service.store, "alice")
    twice = [("Authorization", f"Bearer {token.text}")] * 2
    async with service.http() as http:
        assert (await http.get("/files", headers=twice)).status_code == 401


async def test_a_token_with_one_other_digit_is_unknown(service: Service) -> None:
    token = await token_for(service.store, "alice")
    text = token.text[:-1] + ("0" if token.text[-1] != "0" else "1")
    assert await status(service, "/files", Authorization=f"Bearer {text}") == 401


@pytest.mark.parametrize(
    "url",
    [
        *("/files?token=x", "/files?limit=1&Access_Token=x", "/health/live?token=", "/files?q={token}"),
        *("/files/{token}", "/nothing/{token}?a=1", "/files?prefix=a{token}b", "/?%74oken=x"),
    ],
)
async def test_a_token_in_a_url_is_refused_whatever_is_asked_for(service: Service, url: str) -> None:
    token = await token_for(service.store, "alice")
    async with service.http() as http:
        answer = await http.get(url.format(token=token.text), headers=bearer(token))
    assert (answer.status_code, answer.json()["code"]) == (400, "unauthorized")
    assert "never stands in a URL" in answer.json()["detail"]
    assert token.text not in answer.text


async def test_an_upgrade_with_a_token_in_its_url_is_refused(service: Service) -> None:
    token = await token_for(service.store, "alice")
    with pytest.raises(InvalidStatus) as refused:
        async with connect(f"ws://127.0.0.1:{service.port}/ws?token={token.text}", proxy=None):
            pass
    assert refused.value.response.status_code == 400


# ---------------------------------------------------------------------------------------------------- the first frame


async def test_the_first_frame_says_who_it_is(service: Service) -> None:
    token = await token_for(service.store, "alice", lasts=timedelta(hours=1))
    async with service.connected() as peer:
        await peer.send({"type": "auth", "token": token.text, "ref": 7})
        answer = await peer.receive()
        assert (answer["type"], answer["subject"], answer["ref"]) == ("authorized", "alice", 7)
        assert answer["expires"]
        await peer.works()


@pytest.mark.parametrize(
    "frame",
    [
        *({"type": "text", "text": "x"}, header("a", 1), {"type": "proxy", "upstream": "echo"}, "no json", b"bytes"),
        *({"type": "auth"}, {"type": "auth", "token": ""}, {"type": "auth", "token": 5}, {"type": "cancel"}),
        {"type": "auth", "token": "towline_" + "0" * 12 + "_" + "0" * 64},
    ],
    ids=lambda frame: json.dumps(frame) if isinstance(frame, dict) else repr(frame),
)
async def test_anything_else_first_is_unauthorized_and_closes(service: Service, frame: dict[str, str] | str) -> None:
    await token_for(service.store, "alice")
    async with service.connected() as peer:
        await peer.send(frame, header("b", 1))
        await peer.refused("unauthorized")
        assert await peer.closed() == 1008
    assert await service.store.unfinished("alice") == []


async def test_a_wrong_token_in_the_first_frame_is_said_to_be_unknown(service: Service) -> None:
    await token_for(service.store, "alice")
    async with service.connected() as peer:
        await peer.send({"type": "auth", "token": Secret.new().text})
        assert (await peer.refused("unauthorized"))["message"] == "the token is not known here"


async def test_what_follows_the_first_frame_at_once_waits_for_its_answer(service: Service) -> None:
    token = await token_for(service.store, "alice")
    async with service.connected() as peer:
        peer.send_at_once({"type": "auth", "token": token.text}, *small("a", b"abc"))
        assert (await peer.receive())["type"] == "authorized"
        assert (await peer.hear("complete"))["file"]["owner"] == "alice"


async def test_who_says_nothing_is_not_waited_for(tmp_path: Path) -> None:
    async with serving(tmp_path, {"auth_timeout": 0.1, "header_timeout": 3600.0}) as service:
        await token_for(service.store, "alice")
        async with service.connected() as peer:
            await peer.refused("unauthorized")
            assert await peer.closed() == 1008


async def test_before_it_no_message_is_longer_than_64_kib(service: Service) -> None:
    await token_for(service.store, "alice")
    async with service.connected() as peer:
        await peer.send("x" * (64 * 1024 + 1))
        assert await peer.closed() == 1009


async def test_after_it_a_message_may_have_4_mib(service: Service) -> None:
    token = await token_for(service.store, "alice")
    async with service.connected() as peer:
        await peer.send({"type": "auth", "token": token.text})
        await peer.hear("authorized")
        await peer.begin("a", 4 * MIB)
        await peer.send(bytes(4 * MIB), eof(bytes(4 * MIB)))
        await peer.hear("complete")


# ------------------------------------------------------------------------------------------------------------- cookies


async def logged_in(service: Service, token: Secret) -> str:
    """The cookie that a login sets."""
    async with service.http() as http:
        answer = await http.post("/login", json={"token": token.text}, headers={"Origin": service.url})
    assert answer.status_code == 204
    cookie = answer.headers["set-cookie"]
    assert {"HttpOnly", "Path=/", "SameSite=strict"} <= set(cookie.split("; "))
    return cookie.partition(";")[0]


async def test_a_login_keeps_the_token_in_a_cookie_that_no_script_reads(service: Service) -> None:
    token = await token_for(service.store, "alice", lasts=timedelta(hours=1))
    cookie = await logged_in(service, token)
    assert cookie == f"{COOKIE}={token.text}"
    async with service.http() as http:
        assert (await http.get("/whoami", headers={"Cookie": cookie})).json()["subject"] == "alice"
        out = await http.post("/logout", headers={"Cookie": cookie, "Origin": service.url})
    assert "Max-Age=0" in out.headers["set-cookie"]


async def test_a_login_with_a_wrong_token_sets_nothing(service: Service) -> None:
    async with service.http() as http:
        answer = await http.post("/login", json={"token": Secret.new().text}, headers={"Origin": service.url})
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
    assert "set-cookie" not in answer.headers


async def test_a_foreign_page_cannot_log_somebody_in(service: Service) -> None:
    token = await token_for(service.store, "mallory")
    async with service.http() as http:
        answer = await http.post("/login", json={"token": token.text}, headers={"Origin": "http://evil.example"})
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


async def test_with_a_cookie_alone_nothing_changes_and_nothing_opens(service: Service) -> None:
    token = await token_for(service.store, "alice")
    cookie = await logged_in(service, token)
    async with service.http() as http:
        assert (await http.delete("/files/a", headers={"Cookie": cookie})).status_code == 401
        own = {"Cookie": cookie, "Origin": service.url}
        assert (await http.delete("/files/a", headers=own)).status_code == 404
    await refused_upgrade(service, "/ws", Cookie=cookie)
    url = f"ws://127.0.0.1:{service.port}/ws"
    origin = Origin(service.url)
    async with connect(url, additional_headers={"Cookie": cookie}, origin=origin, proxy=None) as connection:
        await Peer(connection).works()


@asynccontextmanager
async def entered_as_a_page(service: Service, cookie: str) -> AsyncIterator[Peer]:
    """A connection whose upgrade a browser has sent."""
    url, origin = f"ws://127.0.0.1:{service.port}/ws", Origin(service.url)
    async with connect(url, additional_headers={"Cookie": cookie}, origin=origin, proxy=None) as connection:
        yield Peer(connection)


async def test_who_says_a_token_is_not_taken_for_the_owner_of_the_cookie(service: Service) -> None:
    alice, bob = await token_for(service.store, "alice"), await token_for(service.store, "bob")
    async with entered_as_a_page(service, await logged_in(service, alice)) as peer:
        await peer.send({"type": "auth", "token": bob.text})
        assert (await peer.hear("authorized"))["subject"] == "bob"
        await peer.send(*small("a", b"bytes"))
        assert (await peer.hear("complete"))["file"]["owner"] == "bob"
        await peer.send({"type": "auth", "token": alice.text})
        await peer.refused("unauthorized")


async def test_a_page_with_a_cookie_that_is_no_good_is_told_why(service: Service) -> None:
    alice, bob = await token_for(service.store, "alice"), await token_for(service.store, "bob")
    cookie = await logged_in(service, alice)
    await service.store.grants.revoke(alice.grant_id)
    async with entered_as_a_page(service, cookie) as peer:
        await peer.send(header("a", 1))
        await peer.refused("unauthorized")
        assert await peer.closed() == 1008
    async with entered_as_a_page(service, cookie) as peer:
        await peer.send({"type": "auth", "token": bob.text})
        await peer.hear("authorized")
    async with service.http() as http:
        assert (await http.get("/whoami", headers={"Cookie": cookie})).status_code == 401
    await refused_upgrade(service, "/echo", Cookie=cookie, Origin=service.url)


# ------------------------------------------------------------------------------------------------------ what ends it


def revoked_elsewhere(data: Path, token: Secret) -> None:
    """Revoke it as `towline token revoke` does, beside the server."""
    with opened_grants(data) as book:
        book.revoke(token.grant_id)


async def test_a_revoked_token_cuts_its_upload_and_what_is_durable_goes_on_under_another(service: Service) -> None:
    token, another = await token_for(service.store, "alice"), await token_for(service.store, "alice")
    async with entered(service, token) as peer:
        await peer.hold("a", len(CONTENT), CONTENT[:MIB])
        await asyncio.to_thread(revoked_elsewhere, service.data, token)
        reply = await peer.refused("unauthorized")
        assert "was revoked" in reply["message"]
        assert await peer.closed() == 1008
    async with entered(service, another) as peer:
        ready = await peer.begin("a", len(CONTENT))
        assert ready["offset"] == MIB
        await peer.complete(CONTENT, ready)


async def test_anonymous_connections_end_when_the_first_token_is_made(service: Service) -> None:
    async with service.connected() as peer:
        await peer.works()
        await token_for(service.store, "alice")
        await peer.refused("unauthorized")
        assert await peer.closed() == 1008


@pytest.mark.parametrize("path", ["/echo", "/proxy/echo"])
async def test_a_revoked_token_closes_echoes_and_tunnels(service: Service, path: str) -> None:
    token = await token_for(service.store, "alice")
    async with entered(service, token, path) as peer:
        await peer.send("hello")
        assert await peer.connection.recv() == "hello"
        await service.store.grants.revoke(token.grant_id)
        assert await peer.closed() == 1008


async def test_a_revoked_token_closes_a_tunnel_of_a_session(service: Service) -> None:
    token = await token_for(service.store, "alice")
    async with entered(service, token) as peer:
        await peer.send({"type": "proxy", "upstream": "echo"})
        await peer.hear("ready")
        await service.store.grants.revoke(token.grant_id)
        assert await peer.closed() == 1008


async def test_a_revoked_token_ends_the_dialling_of_a_tunnel(tmp_path: Path) -> None:
    heard = asyncio.Event()

    async def never_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        heard.set()
        await reader.read()
        writer.close()

    async with await asyncio.start_server(never_answer, "127.0.0.1", 0) as upstream:
        url = f"ws://127.0.0.1:{upstream.sockets[0].getsockname()[1]}"
        proxy = {"open_timeout": 3600, "upstreams": {"slow": {"url": url, "allow_private": True}}}
        async with serving(tmp_path, {"handshake_timeout": 7200, "proxy": proxy}) as service:
            token = await token_for(service.store, "alice")
            async with entered(service, token) as peer:
                await peer.send({"type": "proxy", "upstream": "slow"})
                await heard.wait()
                await service.store.grants.revoke(token.grant_id)
                await peer.refused("unauthorized")
                assert await peer.closed() == 1008
            await service.log.until("session ended")


async def test_a_revoked_token_cuts_a_download_off(service: Service) -> None:
    token, content = await token_for(service.store, "alice"), bytes(64 * MIB)
    async with entered(service, token) as peer:
        await peer.complete(content, await peer.begin("a", len(content)))
    async with service.http() as http, http.stream("GET", "/files/a", headers=bearer(token)) as answer:
        assert answer.status_code == 200
        await service.store.grants.revoke(token.grant_id)
        await service.log.until("a response was cut off")
        with pytest.raises(httpx2.RemoteProtocolError):
            await answer.aread()


async def test_nothing_is_published_by_who_was_cut(service: Service) -> None:
    token = await token_for(service.store, "alice")
    async with entered(service, token) as peer:
        await peer.hold("a", len(CONTENT), CONTENT[:MIB])
        async with stuck_disk(service.store):
            await peer.send(*chunks(CONTENT[MIB:]), eof(CONTENT))
            await service.store.grants.revoke(token.grant_id)
            await peer.refused("unauthorized")
            assert await peer.closed() == 1008
    another = await token_for(service.store, "alice")
    async with service.http() as http:
        assert (await http.get("/files", headers=bearer(another))).json()["files"] == []


async def test_who_is_cut_while_the_window_is_full_leaves_nothing_behind(tmp_path: Path) -> None:
    """Neither a session nor an object without a row, for which `serving` looks."""
    async with serving(tmp_path, {"receive_budget_bytes": 4 * MIB}) as service:
        token = await token_for(service.store, "alice")
        async with entered(service, token) as peer, stuck_disk(service.store):
            await peer.send(header("a", 8 * MIB, offset=0), bytes(4 * MIB))
            await (await peer.connection.ping())  # all of it was read, and nothing could be written
            await service.store.grants.revoke(token.grant_id)
            await peer.refused("unauthorized")
            assert await peer.closed() == 1008
        await service.log.until("session ended")


async def test_no_small_file_is_published_by_who_was_cut(service: Service) -> None:
    token, another = await token_for(service.store, "alice"), await token_for(service.store, "alice")
    async with entered(service, token) as peer, stuck_disk(service.store):
        await peer.send(*small("a", b"content"))
        await (await peer.connection.ping())
        await service.store.grants.revoke(token.grant_id)
        await peer.refused("unauthorized")
        assert await peer.closed() == 1008
    async with entered(service, another) as peer:
        await peer.send(*small("b", b"content"))  # which is published after all that came before
        await peer.hear("complete")
    async with service.http() as http:
        files = (await http.get("/files", headers=bearer(another))).json()["files"]
    assert [file["name"] for file in files] == ["b"]


async def test_a_header_that_waits_for_its_rate_does_nothing_once_its_caller_was_cut(tmp_path: Path) -> None:
    async with serving(tmp_path, {"header_rate": 0.001, "header_burst": 2}) as service:
        token = await token_for(service.store, "alice")
        async with entered(service, token) as peer:
            ready = await peer.hold("a", len(CONTENT), CONTENT)
            await peer.send({"type": "text", "text": "the next header"})
            await peer.hear("echo")
            await peer.send(eof(CONTENT, upload_id=ready["upload_id"], lease=ready["lease"]))
            await (await peer.connection.ping())
            await service.store.grants.revoke(token.grant_id)
            await peer.refused("unauthorized")
            assert await peer.closed() == 1008
        await service.log.until("session ended")
        assert [upload.offset for upload in await service.store.unfinished("alice")] == [len(CONTENT)]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/tokens", {"subject": "mallory", "scopes": ["admin"]}),
        ("POST", "/shares", {"name": "a"}),
        ("POST", "/requests", {}),
        ("PATCH", "/files/a", {"name": "b"}),
    ],
    ids=["token", "share", "request", "rename"],
)
async def test_who_is_revoked_while_the_body_comes_is_refused(
    service: Service, method: str, path: str, body: dict[str, object]
) -> None:
    token, content = await token_for(service.store, "alice"), json.dumps(body).encode()
    async with entered(service, token) as peer:
        await peer.send(*small("a", b"content"))
        await peer.hear("complete")

    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    fields = {"Host": "localhost", "Content-Length": str(len(content)), "Expect": "100-continue", **bearer(token)}
    head = "".join(f"{key}: {value}\r\n" for key, value in fields.items())
    writer.write(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode())
    assert b" 100 " in await reader.readuntil(b"\r\n\r\n")  # who asks was looked at, and the body is waited for
    await service.store.grants.revoke(token.grant_id)
    writer.write(content)
    assert b" 401 " in await reader.readuntil(b"\r\n")
    writer.close()
    assert [grant.grant_id for grant in await service.store.grants.list()] == [token.grant_id]
    assert await service.store.find(Name.parse("b")) is None


# ------------------------------------------------------------------------------------------------------------- renewal


async def test_another_token_of_the_same_subject_takes_over_in_mid_upload(service: Service) -> None:
    token, another = await token_for(service.store, "alice"), await token_for(service.store, "alice")
    async with entered(service, token) as peer:
        ready = await peer.hold("a", len(CONTENT), CONTENT[:MIB])
        await peer.send({"type": "auth", "token": another.text})
        assert (await peer.hear("authorized"))["subject"] == "alice"
        await service.store.grants.revoke(token.grant_id)
        await peer.send(*chunks(CONTENT[MIB:]), eof(CONTENT))
        assert (await peer.hear("complete"))["file"]["digest"] == digest(CONTENT)
        assert ready["offset"] == 0
        await service.store.grants.revoke(another.grant_id)
        await peer.refused("unauthorized")


async def test_a_token_of_another_subject_ends_the_session(service: Service) -> None:
    token, other = await token_for(service.store, "alice"), await token_for(service.store, "bob")
    async with entered(service, token) as peer:
        await peer.hold("a", len(CONTENT), CONTENT[:MIB])
        await peer.send({"type": "auth", "token": other.text})
        await peer.refused("unauthorized")
        assert await peer.closed() == 1008
    (kept,) = await service.store.unfinished("alice")
    assert kept.offset == MIB


# -------------------------------------------------------------------------------------------------------- who one is


async def test_one_can_ask_who_one_is(service: Service) -> None:
    token = await token_for(service.store, "alice", ["read", "upload"], prefix="photos/", quota=5)
    async with service.http() as http:
        who = (await http.get("/whoami", headers=bearer(token))).json()
    assert who == {
        "subject": "alice",
        "scopes": ["read", "upload"],
        "prefix": "photos/",
        "quota": 5,
        "used": 0,
        "expires": None,
        "kind": "token",
    }


async def test_anonymous_callers_may_all_but_administer(service: Service) -> None:
    async with service.http() as http:
        who = (await http.get("/whoami")).json()
    assert (who["subject"], who["kind"]) == ("anonymous", "anonymous")
    assert who["scopes"] == ["delete", "proxy", "read", "upload"]


# ------------------------------------------------------------------------------------------------------- the prefix


async def test_a_prefix_does_not_reach_what_is_equal_but_for_case(service: Service) -> None:
    alice = await token_for(service.store, "alice")
    narrow = await token_for(service.store, "alice", prefix="photos/")
    async with entered(service, alice) as peer:
        await peer.send(*small("Photos/cat.jpg", b"old"))
        await peer.hear("complete")
    async with entered(service, narrow) as peer:
        for name, size in (("photos/cat.jpg", 3), ("photos/cat.jpg", 4), ("photos/CAT.jpg", 3)):
            await peer.send(header(name, size, if_exists="replace"))
            refused = await peer.refused("exists")
            assert refused.keys() == {"type", "code", "message", "retryable"}
        await peer.send(*small("photos/cat.jpg", b"new", if_exists="replace"))
        await peer.refused("exists")
    async with service.http() as http:
        assert (await http.get("/files/Photos/cat.jpg", headers=bearer(alice))).content == b"old"


async def test_an_upload_beyond_the_prefix_of_ones_token_is_not_there(service: Service) -> None:
    alice = await token_for(service.store, "alice")
    narrow = await token_for(service.store, "alice", prefix="photos/")
    async with entered(service, alice) as peer:
        upload = await peer.leave_unfinished("a", len(CONTENT), CONTENT[:MIB])
        await peer.send(*small("photos/b", b"b"))
        await peer.hear("complete")
    upload_id, lease = upload["upload_id"], upload["lease"]
    async with entered(service, narrow) as peer:
        for frame in (
            header("photos/a", len(CONTENT), upload_id=upload_id),
            header("photos/a", len(CONTENT), upload_id=upload_id, lease=lease, range=[0, MIB]),
            eof(CONTENT, upload_id=upload_id, lease=lease),
        ):
            await peer.send(frame)
            await peer.refused("not_found")
        await peer.send(header("photos/b", 1, upload_id=upload_id, digest=digest(b"b")))
        assert (await peer.hear("complete"))["unchanged"]
    async with service.http() as http:
        assert (await http.delete(f"/uploads/{upload_id}", headers=bearer(narrow))).status_code == 404
    (kept,) = await service.store.unfinished("alice")
    assert (kept.name.value, kept.offset) == ("a", MIB)
