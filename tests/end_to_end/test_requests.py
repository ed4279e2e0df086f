"""Request links: somebody without a token uploads through one, sees nothing, and learns nothing."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final

import httpx2
import pytest
from websockets.asyncio.client import connect

from tests import evidence
from tests.end_to_end.conftest import Json, Peer, Service, chunks, digest, eof, header, serving, small
from tests.tokens import bearer, token_for
from tests.transfer.access.identity_provider import Provider
from tests.transfer.seeds import put
from transfer.access.principal import Scope
from transfer.access.tokens import Secret
from transfer.protocol.limits import MIB

CONTENT: Final = bytes(range(256)) * 8192
ONE: Final = "visitor-number-one"
OTHER: Final = "visitor-number-two"


async def asked(service: Service, token: Secret | None, method: str, path: str, body: object = None) -> httpx2.Response:
    content = None if body is None else json.dumps(body).encode()
    async with service.http() as http:
        return await http.request(method, path, headers={} if token is None else bearer(token), content=content)


async def requested(service: Service, token: Secret | None, **fields: object) -> tuple[Secret, Json]:
    """A link that was made: its secret, and its entry."""
    answer = await asked(service, token, "POST", "/requests", fields)
    assert answer.status_code == 201, answer.text
    entry: Json = answer.json()
    evidence.secret(entry["url"].removeprefix("/r/"))
    secret = Secret.parse(entry["url"].removeprefix("/r/"))
    assert secret is not None
    return secret, entry


@asynccontextmanager
async def visiting(service: Service, link: Secret, visitor: str | None = ONE) -> AsyncIterator[Peer]:
    """A connection through a link."""
    headers = bearer(link) | ({} if visitor is None else {"Towline-Visitor": visitor})
    async with connect(
        f"ws://127.0.0.1:{service.port}/ws", additional_headers=headers, compression=None, proxy=None
    ) as connection:
        yield Peer(connection)


async def names(service: Service, token: Secret) -> list[str]:
    return [file["name"] for file in (await asked(service, token, "GET", "/files")).json()["files"]]


# ------------------------------------------------------------------------------------------------------- uploading


@pytest.mark.parametrize("size", [5, len(CONTENT)], ids=["small", "large"])
async def test_what_comes_through_a_link_lies_below_its_folder_and_is_its_makers(service: Service, size: int) -> None:
    alice = await token_for(service.store, "alice")
    link, entry = await requested(service, alice, prefix="inbox/bids/", lasts=3600)
    assert re.fullmatch(r"/r/[0-9a-f]{12}_[0-9a-f]{64}", entry["url"])
    content = CONTENT[:size]
    async with visiting(service, link) as peer:
        if size == 5:
            await peer.send(*small("a/bid.pdf", content))
            complete = await peer.hear("complete")
        else:
            complete = await peer.complete(content, await peer.begin("a/bid.pdf", size))
    assert await names(service, alice) == ["inbox/bids/a/bid.pdf"]
    (stored,) = (await asked(service, alice, "GET", "/files")).json()["files"]
    assert (stored["owner"], stored["digest"]) == ("alice", digest(content))
    assert complete["file"].keys() == {"name", "size", "digest", "content_type", "created", "metadata"}
    assert (complete["file"]["name"], complete["file"]["digest"]) == ("a/bid.pdf", digest(content))


async def test_a_visitor_hears_nothing_of_whose_link_it_is_and_where_it_leads(service: Service) -> None:
    alice = await token_for(service.store, "alice")
    link, _ = await requested(service, alice, prefix="inbox/")
    async with service.connected() as peer:
        await peer.send({"type": "auth", "token": link.text, "visitor": ONE})
        heard = [await peer.hear("authorized"), await peer.begin("bid.pdf", len(CONTENT))]
        await peer.send({"type": "text", "text": "left"})
        await peer.hear("echo")
        async with service.http() as http:
            shown = bearer(link) | {"Towline-Visitor": ONE}
            heard += [(await http.get(path, headers=shown)).json() for path in ("/whoami", "/uploads")]
    assert heard[0]["subject"] == "visitor"
    assert heard[3]["uploads"][0]["name"] == heard[1]["name"] == "bid.pdf"
    assert not re.search("alice|inbox", json.dumps(heard))


@pytest.mark.parametrize("if_exists", ["error", "replace", "rename"])
@pytest.mark.parametrize("size", [7, 2 * MIB], ids=["small", "large"])
async def test_a_name_that_is_taken_is_neither_replaced_nor_told(service: Service, if_exists: str, size: int) -> None:
    alice = await token_for(service.store, "alice")
    await put(service.store, "inbox/bid.pdf", b"another")
    link, _ = await requested(service, alice, prefix="inbox/")
    content = bytes(size)
    async with visiting(service, link) as peer:
        if size == 7:
            await peer.send(*small("bid.pdf", content, if_exists=if_exists))
        else:
            ready = await peer.begin("bid.pdf", size, if_exists=if_exists)
            assert "existing" not in ready
            await peer.send(*chunks(content), eof(content))
        assert (await peer.hear("complete"))["file"]["name"] == "bid.pdf"
    assert await names(service, alice) == ["inbox/bid (2).pdf", "inbox/bid.pdf"]
    answer = await asked(service, alice, "GET", "/files/inbox/bid.pdf")
    assert answer.content == b"another"


@pytest.mark.parametrize("renamed", [False, True])
async def test_the_name_is_not_told_to_who_asks_once_more_either(service: Service, *, renamed: bool) -> None:
    alice = await token_for(service.store, "alice")
    await put(service.store, "inbox/bid.pdf", b"another")
    link, _ = await requested(service, alice, prefix="inbox/")
    async with visiting(service, link) as peer:
        ready = await peer.begin("bid.pdf", len(CONTENT))
        complete = await peer.complete(CONTENT, ready)
        if renamed:
            path = "/files/inbox/bid%20%282%29.pdf"
            answer = await asked(service, alice, "PATCH", path, {"name": "inbox/refused/bid.pdf"})
            assert answer.status_code == 200
        await peer.send(eof(CONTENT, upload_id=ready["upload_id"], lease=ready["lease"]))
        assert await peer.hear("complete") == complete


async def test_what_is_there_with_the_same_content_is_not_told_to_a_visitor(service: Service) -> None:
    alice = await token_for(service.store, "alice")
    await put(service.store, "inbox/bid.pdf", CONTENT)
    link, _ = await requested(service, alice, prefix="inbox/")
    async with visiting(service, link) as peer:
        ready = await peer.begin("bid.pdf", len(CONTENT), digest=digest(CONTENT))
        assert "unchanged" not in await peer.complete(CONTENT, ready)


async def test_a_file_in_the_way_of_a_folder_is_not_told(service: Service) -> None:
    alice = await token_for(service.store, "alice")
    await put(service.store, "inbox/bid", b"a file")
    link, _ = await requested(service, alice, prefix="inbox/")
    async with visiting(service, link) as peer:
        await peer.send(*small("bid/one.pdf", b"content"))
        refused = await peer.refused("exists")
        assert not re.search("inbox|conflict", json.dumps(refused))
        await peer.works()


async def test_a_name_that_is_too_long_below_the_folder_is_refused_without_showing_it(service: Service) -> None:
    alice = await token_for(service.store, "alice")
    link, _ = await requested(service, alice, prefix=f"{'inbox' * 20}/")
    name = "/".join(["n" * 250] * 4)
    async with visiting(service, link) as peer:
        await peer.send(*small(name, b"content", ref=7))
        refused = await peer.refused("invalid_name")
        assert refused["ref"] == 7
        assert "inbox" not in json.dumps(refused)
        await peer.works()


@pytest.mark.parametrize("name", ["../alice/a", "/a", "a/../../b"])
async def test_no_name_leads_out_of_the_folder(service: Service, name: str) -> None:
    alice = await token_for(service.store, "alice")
    link, _ = await requested(service, alice, prefix="inbox/")
    async with visiting(service, link) as peer:
        await peer.send(*small(name, b"content"))
        await peer.refused("invalid_name")
    assert await names(service, alice) == []


# ------------------------------------------------------------------------------------------------------- resuming


async def test_the_same_visitor_goes_on_and_another_one_begins_anew(service: Service) -> None:
    link, _ = await requested(service, await token_for(service.store, "alice"), prefix="inbox/")
    async with visiting(service, link) as peer:
        ready = await peer.hold("bid.pdf", len(CONTENT), CONTENT[:MIB])
    async with visiting(service, link, OTHER) as peer:
        await peer.send(header("bid.pdf", len(CONTENT), upload_id=ready["upload_id"], lease=ready["lease"]))
        await peer.refused("not_found")
        assert (await peer.begin("bid.pdf", len(CONTENT)))["offset"] == 0
        await peer.send({"type": "cancel"})
        await peer.hear("cancelled")
    async with visiting(service, link) as peer:
        again = await peer.begin("bid.pdf", len(CONTENT))
        assert again["offset"] == MIB
        await peer.complete(CONTENT, again)


async def test_a_completed_upload_is_remembered_under_the_name_that_was_sent(service: Service) -> None:
    alice = await token_for(service.store, "alice")
    await put(service.store, "inbox/bid.pdf", b"another")
    link, _ = await requested(service, alice, prefix="inbox/")
    async with visiting(service, link) as peer:
        ready = await peer.begin("bid.pdf", len(CONTENT))
        await peer.complete(CONTENT, ready)
        await peer.send(header("bid.pdf", len(CONTENT), upload_id=ready["upload_id"]))
        assert (await peer.hear("complete"))["file"]["name"] == "bid.pdf"


async def test_who_does_not_say_which_visitor_they_are_finds_nothing_again(service: Service) -> None:
    link, _ = await requested(service, await token_for(service.store, "alice"), prefix="inbox/")
    async with visiting(service, link, None) as peer:
        await peer.hold("bid.pdf", len(CONTENT), CONTENT[:MIB])
    async with visiting(service, link, None) as peer:
        assert (await peer.begin("bid.pdf", len(CONTENT)))["offset"] == 0


# ------------------------------------------------------------------------------------------------------- refusals


async def test_a_visitor_may_nothing_but_upload(service: Service) -> None:
    alice = await token_for(service.store, "alice")
    await put(service.store, "inbox/a", CONTENT)
    link, _ = await requested(service, alice, prefix="inbox/")
    for method, path, body in (
        ("GET", "/files", None),
        ("GET", "/files/inbox/a", None),
        ("DELETE", "/files/inbox/a", None),
        ("PATCH", "/files/inbox/a", {"name": "inbox/b"}),
        ("POST", "/requests", {"prefix": "inbox/"}),
        ("GET", "/requests", None),
        ("GET", "/tokens", None),
    ):
        answer = await asked(service, link, method, path, body)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), path
        assert "alice" not in answer.text
    async with visiting(service, link) as peer:
        await peer.send({"type": "proxy", "upstream": "echo"})
        await peer.refused("forbidden")


async def test_what_a_link_has_no_room_for_is_refused_before_the_first_byte(service: Service) -> None:
    alice = await token_for(service.store, "alice")
    link, _ = await requested(service, alice, prefix="inbox/", size=len(CONTENT))
    async with visiting(service, link) as peer:
        await peer.complete(CONTENT, await peer.begin("a", len(CONTENT)))
    async with visiting(service, link, OTHER) as peer:
        await peer.send(header("b", 2 * MIB))
        refused = await peer.refused("quota_exceeded")
        assert not re.search("alice|inbox|delete", json.dumps(refused))
        assert str(refused["message"]).endswith("left: ask whoever gave you the link for room")
    (listed,) = (await asked(service, alice, "GET", "/requests")).json()["requests"]
    assert (listed["size"], listed["used"], listed["state"]) == (len(CONTENT), len(CONTENT), "in force")


async def test_what_comes_through_a_link_counts_against_the_quota_of_who_made_it(service: Service) -> None:
    alice = await token_for(service.store, "alice", quota=10)
    link, _ = await requested(service, alice, prefix="inbox/")
    async with visiting(service, link) as peer:
        await peer.send(*small("a", bytes(6)))
        await peer.hear("complete")
        await peer.send(*small("b", bytes(5)))
        refused = await peer.refused("quota_exceeded")
    assert not re.search("alice|inbox|limit|available", json.dumps(refused))


async def test_it_counts_against_a_quota_that_a_json_web_token_has_too(tmp_path: Path) -> None:
    provider = Provider(tmp_path)
    settings = provider.settings(scopes={"all": ["upload", "read"]}, quota_claim="quota")
    async with serving(tmp_path, {"jwt": settings}) as service:
        alice = {"Authorization": f"Bearer {provider.token(scope='all', quota=10)}"}
        async with service.http() as http:
            made = await http.post("/requests", headers=alice, content=b'{"prefix":"inbox/"}')
        link = Secret.parse(made.json()["url"].removeprefix("/r/"))
        assert link is not None
        async with visiting(service, link) as peer:
            await peer.send(*small("a", bytes(6)))
            await peer.hear("complete")
            await peer.send(*small("b", bytes(5)))
            await peer.refused("quota_exceeded")


@pytest.mark.parametrize("how", ["link", "token"])
async def test_a_revoked_link_cuts_its_uploads_and_lets_nobody_in(service: Service, how: str) -> None:
    alice = await token_for(service.store, "alice")
    link, entry = await requested(service, alice, prefix="inbox/")
    async with visiting(service, link) as peer:
        await peer.hold("a", len(CONTENT), CONTENT[:MIB])
        if how == "link":
            assert (await asked(service, alice, "DELETE", f"/requests/{entry['id']}")).status_code == 204
        else:
            await service.store.grants.revoke(alice.grant_id)
        await peer.refused("unauthorized")
        assert await peer.closed() == 1008
    assert (await asked(service, link, "GET", "/uploads")).status_code == 401


# ---------------------------------------------------------------------------------------------------------- making


@pytest.mark.parametrize("scopes", [["read"], ["delete", "proxy", "admin"]], ids=str)
async def test_asking_for_files_takes_upload(service: Service, scopes: list[Scope]) -> None:
    token = await token_for(service.store, "alice", scopes)
    answer = await asked(service, token, "POST", "/requests", {"prefix": "inbox/"})
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


async def test_a_link_reaches_no_further_than_who_makes_it(service: Service) -> None:
    token = await token_for(service.store, "alice", ["upload"], prefix="alice/", lasts=timedelta(hours=1))
    for prefix in ("", "bob/", "alice2/"):
        answer = await asked(service, token, "POST", "/requests", {"prefix": prefix})
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    _, entry = await requested(service, token, lasts=7200)
    own = (await asked(service, token, "GET", "/whoami")).json()["expires"]
    assert (entry["prefix"], entry["expires"]) == ("alice/", own)


async def test_everybody_sees_and_revokes_their_own_and_administrators_what_is_within_their_prefix(
    service: Service,
) -> None:
    alice, bob = [await token_for(service.store, subject, ["upload"]) for subject in ("alice", "bob")]
    admin = await token_for(service.store, "root", ["admin"], prefix="inbox/")
    _, of_alice = await requested(service, alice, prefix="inbox/")
    _, of_bob = await requested(service, bob, prefix="elsewhere/")

    async def seen_by(token: Secret) -> list[str]:
        return [link["id"] for link in (await asked(service, token, "GET", "/requests")).json()["requests"]]

    assert [await seen_by(token) for token in (alice, bob, admin)] == [
        [of_alice["id"]],
        [of_bob["id"]],
        [of_alice["id"]],
    ]
    unknown = await asked(service, admin, "DELETE", "/requests/000000000000")
    hidden = await asked(service, admin, "DELETE", f"/requests/{of_bob['id']}")
    assert (hidden.status_code, hidden.content) == (404, unknown.content)
    assert (await asked(service, admin, "DELETE", f"/requests/{of_alice['id']}")).status_code == 204


async def test_a_listing_does_not_have_the_secret(service: Service) -> None:
    alice = await token_for(service.store, "alice")
    link, _ = await requested(service, alice, prefix="inbox/")
    answer = await asked(service, alice, "GET", "/requests")
    assert answer.headers["cache-control"] == "no-store"
    assert link.in_link.partition("_")[2] not in answer.text
    assert link.hash.hex() not in answer.text
