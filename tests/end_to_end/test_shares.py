"""Share links: who makes them, what is there, how often, and how they end."""

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

import httpx2
import pytest

from storage.grants import Grant
from storage.store import utc_now
from tests import evidence
from tests.end_to_end.conftest import Json, Service
from tests.tokens import bearer, token_for
from tests.transfer.seeds import put
from transfer.access.principal import ANONYMOUS, Principal, Scope
from transfer.access.tokens import Secret
from transfer.grants.issuing import new_request, new_share
from transfer.protocol.limits import MIB
from transfer.protocol.names import Name

CONTENT: Final = bytes(range(256)) * 400
LARGE: Final = bytes(48 * MIB)
"""More than the sockets between a server and a client that does not read take."""


async def asked(
    service: Service, token: Secret | None, method: str, path: str, body: object = None, **headers: str
) -> httpx2.Response:
    content = None if body is None else json.dumps(body).encode()
    async with service.http() as http:
        return await http.request(
            method, path, headers=headers | ({} if token is None else bearer(token)), content=content
        )


async def shared(service: Service, name: str, token: Secret | None = None, **fields: object) -> Json:
    """A link that was made: its entry."""
    answer = await asked(service, token, "POST", "/shares", {"name": name} | fields)
    assert answer.status_code == 201, answer.text
    entry: Json = answer.json()
    evidence.secret(entry["url"].removeprefix("/s/"))
    return entry


async def fetched(service: Service, url: str, **headers: str) -> httpx2.Response:
    return await asked(service, None, "GET", url, **headers)


async def gone(service: Service, url: str) -> bytes:
    """The answer of a link that leads nowhere."""
    answer = await fetched(service, url)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    return answer.content


async def row(service: Service, entry: Json) -> Grant:
    grant = await service.store.grants.find(entry["id"])
    assert grant is not None
    return grant


def basic(password: str, user: str = "") -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


# ---------------------------------------------------------------------------------------------------- what is there


async def test_a_link_needs_no_token_and_is_the_file(service: Service) -> None:
    alice = await token_for(service.store, "alice")
    file = await put(service.store, "photos/été.jpg", CONTENT, content_type="image/jpeg")
    entry = await shared(service, "photos/été.jpg", alice)
    assert re.fullmatch(r"/s/[0-9a-f]{12}_[0-9a-f]{64}", entry["url"])
    answer = await fetched(service, entry["url"])
    assert (answer.status_code, answer.content) == (200, CONTENT)
    assert answer.headers["etag"] == f'"{file.digest}"'
    assert answer.headers["content-disposition"].startswith("attachment; ")
    assert answer.headers["content-disposition"].endswith("filename*=UTF-8''%C3%A9t%C3%A9.jpg")
    for name, value in {
        "x-content-type-options": "nosniff",
        "content-security-policy": "sandbox; default-src 'none'",
        "referrer-policy": "no-referrer",
        "cache-control": "private, no-store",
    }.items():
        assert answer.headers[name] == value
    assert "set-cookie" not in answer.headers


async def test_head_ranges_and_etags_are_those_of_any_download(service: Service) -> None:
    await put(service.store, "a", CONTENT)
    url = (await shared(service, "a"))["url"]
    head = await asked(service, None, "HEAD", url)
    assert (head.status_code, head.headers["content-length"]) == (200, str(len(CONTENT)))
    part = await fetched(service, url, Range="bytes=5-9")
    assert (part.status_code, part.content) == (206, CONTENT[5:10])
    assert (await fetched(service, url, **{"If-None-Match": head.headers["etag"]})).status_code == 304
    assert (await fetched(service, url, Range=f"bytes={len(CONTENT)}-")).status_code == 416


async def test_what_is_shown_beside_a_link_does_not_matter(service: Service) -> None:
    alice = await token_for(service.store, "alice")
    await put(service.store, "a", CONTENT)
    url = (await shared(service, "a", alice))["url"]
    for headers in ({"Authorization": "Bearer wrong"}, {"Cookie": "towline=wrong"}, {"Origin": "http://evil.example"}):
        assert (await fetched(service, url, **headers)).content == CONTENT


async def test_a_renamed_file_goes_on_and_has_its_new_name(service: Service) -> None:
    await put(service.store, "a.txt", CONTENT)
    entry = await shared(service, "a.txt")
    await asked(service, None, "PATCH", "/files/a.txt", {"name": "docs/b.txt"})
    answer = await fetched(service, entry["url"])
    assert answer.content == CONTENT
    assert answer.headers["content-disposition"] == 'attachment; filename="b.txt"'
    (listed,) = (await asked(service, None, "GET", "/shares")).json()["shares"]
    assert listed["name"] == "docs/b.txt"


# ---------------------------------------------------------------------------------------------- links to nowhere


async def test_links_that_lead_nowhere_are_answered_alike_to_the_byte(service: Service) -> None:
    for name in ("deleted", "replaced", "revoked", "used", "expired"):
        await put(service.store, name, CONTENT)
    links = {name: await shared(service, name) for name in ("deleted", "replaced", "revoked")}
    links["used"] = await shared(service, "used", downloads=1)
    assert (await fetched(service, links["used"]["url"])).content == CONTENT
    await asked(service, None, "DELETE", "/files/deleted")
    await put(service.store, "replaced", b"another content")
    await asked(service, None, "DELETE", f"/shares/{links['revoked']['id']}")
    urls = [entry["url"] for entry in links.values()]
    urls.append(await _expired(service, "expired"))
    known = links["revoked"]["url"]
    urls.append(known[:-1] + ("0" if known[-1] != "0" else "1"))
    urls += [f"/s/{Secret.new().in_link}", "/s/x", "/s/" + "0" * 5000, await _request_link(service)]
    assert len({await gone(service, url) for url in urls}) == 1


async def _expired(service: Service, name: str) -> str:
    file, now = await service.store.find(Name.parse(name)), utc_now()
    assert file is not None
    secret, grant = new_share(ANONYMOUS, file.file_id, now=now, expires=now - timedelta(seconds=1))
    await service.store.grants.add(grant)
    return f"/s/{secret.in_link}"


async def _request_link(service: Service) -> str:
    secret, grant = new_request(ANONYMOUS, now=utc_now())
    await service.store.grants.add(grant)
    return f"/s/{secret.in_link}"


@pytest.mark.parametrize("kind", ["s", "r"])
@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/{kind}/{link}"), ("DELETE", "/{kind}/{link}"), ("GET", "/{kind}/{link}/x"), ("GET", "/{kind}/{link}/")],
)
async def test_no_answer_and_no_log_shows_the_secret_of_a_link(
    service: Service, kind: str, method: str, path: str
) -> None:
    link = Secret.new().in_link
    answer = await asked(service, None, method, path.format(kind=kind, link=link))
    assert answer.status_code in (404, 405)
    assert link not in answer.text
    assert not any(link in record.getMessage() for record in service.log.records)


async def test_an_upgrade_at_a_link_is_refused_without_showing_it(service: Service) -> None:
    link = Secret.new().in_link
    headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    headers["Sec-WebSocket-Key"] = base64.b64encode(bytes(16)).decode()
    answer = await fetched(service, f"/s/{link}", **headers)
    assert answer.status_code == 404
    assert link not in answer.text


# ------------------------------------------------------------------------------------------------------- who may


@pytest.mark.parametrize("scopes", [["upload"], ["delete", "proxy", "admin"]], ids=str)
async def test_sharing_takes_read(service: Service, scopes: list[Scope]) -> None:
    await put(service.store, "a", CONTENT)
    token = await token_for(service.store, "alice", scopes)
    answer = await asked(service, token, "POST", "/shares", {"name": "a"})
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


async def test_what_is_outside_of_the_prefix_is_not_there_to_share(service: Service) -> None:
    await put(service.store, "docs/a", CONTENT)
    token = await token_for(service.store, "alice", ["read"], prefix="photos/")
    hidden = await asked(service, token, "POST", "/shares", {"name": "docs/a"})
    missing = await asked(service, token, "POST", "/shares", {"name": "docs/b"})
    assert hidden.status_code == missing.status_code == 404
    assert hidden.text.replace("docs/a", "docs/b") == missing.text


async def test_a_visitor_of_a_request_link_has_nothing_to_do_with_links(service: Service) -> None:
    await put(service.store, "a", CONTENT)
    alice = await token_for(service.store, "alice")
    owner = Principal(subject="alice", scopes=frozenset(["upload"]), grant_id=alice.grant_id)
    secret, grant = new_request(owner, now=utc_now())
    await service.store.grants.add(grant)
    entry = await shared(service, "a", alice)
    for method, path, body in (
        ("POST", "/shares", {"name": "a"}),
        ("GET", "/shares", None),
        ("DELETE", f"/shares/{entry['id']}", None),
    ):
        assert (await asked(service, secret, method, path, body)).status_code == 403


async def test_everybody_sees_and_revokes_their_own_and_administrators_all(service: Service) -> None:
    await put(service.store, "a", CONTENT)
    alice, bob = await token_for(service.store, "alice", ["read"]), await token_for(service.store, "bob", ["read"])
    admin = await token_for(service.store, "root", ["admin"])
    of_alice, of_bob = await shared(service, "a", alice), await shared(service, "a", bob)

    async def seen_by(token: Secret) -> list[str]:
        return [link["id"] for link in (await asked(service, token, "GET", "/shares")).json()["shares"]]

    assert await seen_by(alice) == [of_alice["id"]]
    assert await seen_by(bob) == [of_bob["id"]]
    assert set(await seen_by(admin)) == {of_alice["id"], of_bob["id"]}
    unknown = await asked(service, bob, "DELETE", "/shares/000000000000")
    others = await asked(service, bob, "DELETE", f"/shares/{of_alice['id']}")
    assert (others.status_code, others.content) == (404, unknown.content)
    assert (await fetched(service, of_alice["url"])).status_code == 200
    assert (await asked(service, admin, "DELETE", f"/shares/{of_alice['id']}")).status_code == 204
    await gone(service, of_alice["url"])


async def test_a_prefix_bounds_which_of_ones_own_links_one_sees_and_revokes(service: Service) -> None:
    whole = await token_for(service.store, "alice")
    narrow = await token_for(service.store, "alice", ["read"], prefix="photos/")
    for name in ("photos/cat", "photos/dog", "letter"):
        await put(service.store, name, CONTENT)
    beyond, within = await shared(service, "letter", whole), await shared(service, "photos/cat", whole)
    own = await shared(service, "photos/dog", narrow)
    await service.store.delete(Name.parse("photos/dog"))
    listed = (await asked(service, narrow, "GET", "/shares")).json()["shares"]
    assert {link["id"] for link in listed} == {within["id"], own["id"]}
    statuses = [
        (await asked(service, narrow, "DELETE", f"/shares/{link['id']}")).status_code for link in (beyond, within, own)
    ]
    assert statuses == [404, 204, 204]
    assert (await fetched(service, beyond["url"])).status_code == 200


async def test_a_listing_says_all_but_the_secret_and_the_password(service: Service) -> None:
    await put(service.store, "a", CONTENT)
    entry = await shared(service, "a", downloads=2, lasts=60, password="opensesame")
    assert (await fetched(service, entry["url"], **basic("opensesame"))).status_code == 200
    answer = await asked(service, None, "GET", "/shares")
    assert answer.headers["cache-control"] == "no-store"
    (listed,) = answer.json()["shares"]
    kept = await row(service, entry)
    assert kept.password_hash is not None
    for secret in (entry["url"].rpartition("_")[2], "opensesame", kept.password_hash, kept.secret_hash.hex()):
        assert secret not in answer.text
    assert {key: listed[key] for key in ("name", "downloads", "begun", "password", "state", "subject")} == {
        "name": "a",
        "downloads": 2,
        "begun": 1,
        "password": True,
        "state": "in force",
        "subject": "anonymous",
    }


async def test_a_link_ends_with_the_token_that_made_it(service: Service) -> None:
    await put(service.store, "a", CONTENT)
    alice = await token_for(service.store, "alice", lasts=timedelta(hours=1))
    own = (await asked(service, alice, "GET", "/whoami")).json()["expires"]
    entry = await shared(service, "a", alice, lasts=7200)
    assert entry["expires"] == own
    admin = await token_for(service.store, "root", ["admin"])
    tokens = (await asked(service, admin, "GET", "/tokens")).json()["tokens"]
    assert {token["subject"]: token["links"] for token in tokens} == {"alice": [entry["id"]], "root": []}
    await service.store.grants.revoke(alice.grant_id)
    await gone(service, entry["url"])


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"downloads": 0}, "the field downloads is wrong"),
        ({"downloads": "10"}, "the field downloads is wrong"),
        ({"download": 1}, "there is no field 'download' here"),
        ({"password": ""}, "a password has 1 to 1024 characters"),
        ({"password": "a\nb" + "secret"}, "a password has no control characters"),
        ({"password": 5}, "the field password is wrong: not a string"),
        ({"lasts": -1}, "the field lasts is wrong"),
    ],
    ids=str,
)
async def test_a_link_that_cannot_be_is_not_made(service: Service, fields: Json, said: str) -> None:
    await put(service.store, "a", CONTENT)
    answer = await asked(service, None, "POST", "/shares", {"name": "a"} | fields)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_message")
    assert said in answer.json()["detail"]
    assert "secret" not in answer.text
    assert await service.store.grants.list() == []


# ----------------------------------------------------------------------------------------------------------- passwords


async def test_a_password_is_asked_for_by_basic_with_any_user(service: Service) -> None:
    await put(service.store, "a", CONTENT)
    url = (await shared(service, "a", password="schlüssel:1"))["url"]
    for headers in ({}, basic("wrong"), {"Authorization": "Basic !"}, {"Authorization": "Bearer opensesame"}):
        answer = await fetched(service, url, **headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
        assert answer.headers["www-authenticate"] == 'Basic realm="towline share", charset="UTF-8"'
    for user in ("", "anybody"):
        assert (await fetched(service, url, **basic("schlüssel:1", user))).content == CONTENT
    decomposed = "schlu\u0308ssel:1"
    assert (await fetched(service, url, **basic(decomposed))).content == CONTENT


async def test_who_lacks_the_password_uses_nothing_up(service: Service) -> None:
    await put(service.store, "a", CONTENT)
    entry = await shared(service, "a", password="right", downloads=1)
    for _ in range(3):
        assert (await fetched(service, entry["url"], **basic("wrong"))).status_code == 401
    assert (await row(service, entry)).begun == 0
    assert (await fetched(service, entry["url"], **basic("right"))).content == CONTENT


async def test_only_a_slow_hash_of_a_password_is_kept(service: Service) -> None:
    await put(service.store, "a", CONTENT)
    first, second = [await row(service, await shared(service, "a", password="opensesame")) for _ in range(2)]
    assert first.password_hash is not None
    assert first.password_hash.startswith("$argon2id$")
    assert "opensesame" not in first.password_hash
    assert first.password_hash != second.password_hash


# ------------------------------------------------------------------------------------------------------------ counting


async def test_of_twenty_at_once_as_many_get_it_as_were_allowed(service: Service) -> None:
    await put(service.store, "a", CONTENT)
    entry = await shared(service, "a", downloads=10)
    answers = await asyncio.gather(*(fetched(service, entry["url"]) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] * 10 + [404] * 10
    assert all(answer.content == CONTENT for answer in answers if answer.status_code == 200)
    assert (await row(service, entry)).begun == 10


async def test_what_sends_no_content_is_not_counted(service: Service) -> None:
    file = await put(service.store, "a", CONTENT)
    entry = await shared(service, "a", downloads=1)
    await asked(service, None, "HEAD", entry["url"])
    await fetched(service, entry["url"], **{"If-None-Match": f'"{file.digest}"'})
    await fetched(service, entry["url"], Range=f"bytes={len(CONTENT)}-")
    kept = await row(service, entry)
    assert (kept.begun, kept.resumed_bytes) == (0, 0)


async def test_a_download_that_was_begun_goes_on_and_no_other_one_begins(service: Service) -> None:
    await put(service.store, "a", CONTENT)
    entry = await shared(service, "a", downloads=1)
    assert (await fetched(service, entry["url"], Range="bytes=0-99")).content == CONTENT[:100]
    assert (await fetched(service, entry["url"])).status_code == 404
    rest = await fetched(service, entry["url"], Range="bytes=100-")
    assert rest.content == CONTENT[100:]
    assert (await row(service, entry)).resumed_bytes == len(CONTENT) - 100
    assert (await fetched(service, entry["url"], Range="bytes=100-")).status_code == 404
    assert (await fetched(service, entry["url"], Range="bytes=-100")).content == CONTENT[-100:]
    await gone(service, entry["url"])
    assert (await asked(service, None, "HEAD", entry["url"])).status_code == 404


async def test_nothing_is_resumed_that_was_not_begun(service: Service) -> None:
    await put(service.store, "a", CONTENT)
    entry = await shared(service, "a", downloads=1)
    assert (await fetched(service, entry["url"], Range="bytes=1-")).status_code == 404
    assert (await row(service, entry)).resumed_bytes == 0


@asynccontextmanager
async def begun(service: Service, url: str, **headers: str) -> AsyncIterator[asyncio.StreamReader]:
    """A download whose answer has begun, and whose reader takes nothing more; cut off at the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port, limit=1)
    lines = [f"GET {url} HTTP/1.1", f"Host: 127.0.0.1:{service.port}", *(f"{k}: {v}" for k, v in headers.items())]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    assert b" 20" in await reader.readexactly(13)
    try:
        yield reader
    finally:
        writer.transport.abort()


async def test_what_an_aborted_download_did_not_send_is_given_back(service: Service) -> None:
    await put(service.store, "a", LARGE)
    entry = await shared(service, "a", downloads=1)
    await fetched(service, entry["url"], Range="bytes=0-0")
    async with begun(service, entry["url"], Range="bytes=1-"):
        assert (await row(service, entry)).resumed_bytes == len(LARGE) - 1
    async with asyncio.timeout(30):
        while (kept := await row(service, entry)).resumed_bytes == len(LARGE) - 1:
            pass
    assert 0 < kept.resumed_bytes < len(LARGE) // 2
    assert kept.resumed_bytes % MIB == 0  # pieces that were handed to the socket, to the byte
    rest = await fetched(service, entry["url"], Range=f"bytes={kept.resumed_bytes + 1}-")
    assert len(rest.content) == len(LARGE) - 1 - kept.resumed_bytes
    assert (await row(service, entry)).resumed_bytes == len(LARGE) - 1


@pytest.mark.parametrize("how", ["link", "token", "expires"])
async def test_a_link_that_ends_cuts_the_downloads_by_it(service: Service, how: str) -> None:
    alice = await token_for(service.store, "alice")
    await put(service.store, "a", LARGE)
    entry = await shared(service, "a", alice, **({"lasts": 1} if how == "expires" else {}))
    async with begun(service, entry["url"]):
        if how != "expires":
            await service.store.grants.revoke(entry["id"] if how == "link" else alice.grant_id)
        await service.log.until("a response was cut off")
