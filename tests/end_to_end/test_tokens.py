"""Tokens over HTTP: who may make which, who sees them, what revoking does."""

import json
import re
from datetime import datetime, timedelta

import httpx2
import pytest
from websockets.asyncio.client import connect

from tests import evidence
from tests.end_to_end.conftest import Json, Peer, Service, small
from tests.tokens import bearer, token_for
from transfer.access.principal import Scope
from transfer.access.tokens import Secret

ADMIN: tuple[Scope, ...] = ("admin",)
ALICE: Json = {"subject": "alice", "scopes": ["read"]}


async def asked(service: Service, token: Secret | None, method: str, path: str, body: object = None) -> httpx2.Response:
    content = None if body is None else json.dumps(body).encode()
    async with service.http() as http:
        return await http.request(method, path, headers={} if token is None else bearer(token), content=content)


async def made(service: Service, admin: Secret, **fields: object) -> Json:
    answer = await asked(service, admin, "POST", "/tokens", ALICE | fields)
    assert answer.status_code == 201, answer.text
    entry: Json = answer.json()
    evidence.secret(entry["token"])
    return entry


async def listed(service: Service, admin: Secret) -> list[Json]:
    tokens: list[Json] = (await asked(service, admin, "GET", "/tokens")).json()["tokens"]
    return tokens


def refused(answer: httpx2.Response, status: int, code: str) -> str:
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    return str(answer.json()["detail"])


async def test_a_token_that_was_made_lets_its_bearer_in(service: Service) -> None:
    admin = await token_for(service.store, "root", ADMIN)
    fields = {"scopes": ["read", "upload"], "prefix": "photos/", "quota": 10, "lasts": 3600}
    entry = await made(service, admin, **fields)
    assert re.fullmatch(r"towline_[0-9a-f]{12}_[0-9a-f]{64}", entry["token"])
    secret = Secret.parse(entry["token"])
    assert secret is not None
    who = (await asked(service, secret, "GET", "/whoami")).json()
    assert {key: who[key] for key in ("subject", "scopes", "prefix", "quota")} == {
        "subject": "alice",
        "scopes": ["read", "upload"],
        "prefix": "photos/",
        "quota": 10,
    }
    assert who["expires"] == entry["expires"]
    assert datetime.fromisoformat(entry["expires"]) - datetime.fromisoformat(entry["created"]) == timedelta(hours=1)


async def test_what_a_subject_uses_is_shown_with_each_of_its_tokens(service: Service) -> None:
    admin, alice = await token_for(service.store, "root", ADMIN), await token_for(service.store, "alice")
    await token_for(service.store, "alice")
    async with connect(f"ws://127.0.0.1:{service.port}/ws", additional_headers=bearer(alice), proxy=None) as connection:
        peer = Peer(connection)
        await peer.send(*small("a", b"seven b"))
        await peer.hear("complete")
    used = [(token["subject"], token["used"]) for token in await listed(service, admin)]
    assert used == [("alice", 7), ("alice", 7), ("root", 0)]


async def test_answers_are_kept_by_nobody_and_only_the_first_has_the_secret(service: Service) -> None:
    admin = await token_for(service.store, "root", ADMIN)
    answer = await asked(service, admin, "POST", "/tokens", ALICE)
    listing = await asked(service, admin, "GET", "/tokens")
    for each in (answer, listing):
        assert each.headers["cache-control"] == "no-store"
    assert answer.json()["token"].rpartition("_")[2] not in listing.text
    assert [token["subject"] for token in listing.json()["tokens"]] == ["alice", "root"]
    assert "token" not in listing.json()["tokens"][0]


@pytest.mark.parametrize("scopes", [["read"], ["upload", "read", "delete", "proxy"]], ids=["read", "all others"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_only_administrators_may(service: Service, scopes: list[Scope], method: str) -> None:
    token = await token_for(service.store, "alice", scopes)
    path = f"/tokens/{token.grant_id}" if method == "DELETE" else "/tokens"
    refused(await asked(service, token, method, path, ALICE if method == "POST" else None), 403, "forbidden")
    refused(await asked(service, None, method, path), 401, "unauthorized")


async def test_nobody_administers_a_server_that_asks_for_no_tokens(service: Service) -> None:
    refused(await asked(service, None, "POST", "/tokens", ALICE), 403, "forbidden")
    assert not await service.store.grants.any_tokens()


@pytest.mark.parametrize("prefix", ["", "photos2/", "Photos/"])
async def test_who_has_a_prefix_makes_no_token_beyond_it(service: Service, prefix: str) -> None:
    admin = await token_for(service.store, "root", ADMIN, prefix="photos/")
    detail = refused(await asked(service, admin, "POST", "/tokens", ALICE | {"prefix": prefix}), 403, "forbidden")
    assert "'photos/'" in detail
    assert (await made(service, admin, prefix="photos/2026/"))["prefix"] == "photos/2026/"


async def test_who_has_a_prefix_neither_sees_nor_revokes_tokens_beyond_it(service: Service) -> None:
    admin = await token_for(service.store, "root", ADMIN, prefix="photos/")
    other = await token_for(service.store, "other", prefix="docs/")
    everywhere = await token_for(service.store, "everywhere")
    within = await token_for(service.store, "within", prefix="photos/2026/")
    assert {token["subject"] for token in await listed(service, admin)} == {"root", "within"}
    unknown = await asked(service, admin, "DELETE", "/tokens/000000000000")
    for hidden in (other, everywhere):
        answer = await asked(service, admin, "DELETE", f"/tokens/{hidden.grant_id}")
        assert (answer.status_code, answer.content) == (404, unknown.content)
    assert (await asked(service, admin, "DELETE", f"/tokens/{within.grant_id}")).status_code == 204


@pytest.mark.parametrize("wanted", [{}, {"lasts": 7200}, {"expires": "2999-01-01T00:00:00Z"}], ids=str)
async def test_a_token_does_not_outlive_the_right_of_who_makes_it(service: Service, wanted: Json) -> None:
    admin = await token_for(service.store, "root", ADMIN, lasts=timedelta(hours=1))
    own = (await asked(service, admin, "GET", "/whoami")).json()["expires"]
    assert (await made(service, admin, **wanted))["expires"] == own
    sooner = await made(service, admin, lasts=60)
    assert datetime.fromisoformat(sooner["expires"]) < datetime.fromisoformat(own)


async def test_a_revoked_token_is_let_in_no_more_and_its_state_says_so(service: Service) -> None:
    admin = await token_for(service.store, "root", ADMIN)
    entry = await made(service, admin)
    secret = Secret.parse(entry["token"])
    assert secret is not None
    answer = await asked(service, admin, "DELETE", f"/tokens/{entry['id']}")
    assert (answer.status_code, answer.content) == (204, b"")
    refused(await asked(service, secret, "GET", "/files"), 401, "unauthorized")
    assert {token["subject"]: token["state"] for token in await listed(service, admin)} == {
        "alice": "revoked",
        "root": "in force",
    }


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"subject": "anonymous"}, "the field subject is wrong: a subject is not 'anonymous'"),
        ({"subject": "request:1:2"}, "does not begin with 'request:'"),
        ({"subject": 5}, "the field subject is wrong"),
        ({"scopes": []}, "the field scopes is wrong"),
        ({"scopes": ["root"]}, "the field scopes.0 is wrong"),
        ({"scopes": "read"}, "the field scopes is wrong"),
        ({"quota": -1}, "the field quota is wrong"),
        ({"quota": "10GB"}, "the field quota is wrong"),
        ({"lasts": 0}, "the field lasts is wrong"),
        ({"lasts": True}, "the field lasts is wrong"),
        ({"expires": "2020-01-01T00:00:00Z"}, "that time is past"),
        ({"expires": "2999-01-01"}, "the offset from UTC is missing"),
        ({"expires": "2999-01-01T00:00:00Z", "lasts": 5}, "give one of them"),
        ({"scope": "read"}, "there is no field 'scope' here"),
        ({"\ud800": 1}, "fields that do not fit together"),
        ({"prefix": 5}, "the field prefix is wrong: not a string"),
    ],
    ids=lambda value: ascii(value) if isinstance(value, dict) else "",
)
async def test_a_token_that_cannot_be_is_not_made(service: Service, fields: Json, said: str) -> None:
    admin = await token_for(service.store, "root", ADMIN)
    detail = refused(await asked(service, admin, "POST", "/tokens", ALICE | fields), 400, "bad_message")
    assert said in detail
    assert len(await service.store.grants.list()) == 1


async def test_a_prefix_that_is_none_is_an_invalid_name(service: Service) -> None:
    admin = await token_for(service.store, "root", ADMIN)
    refused(await asked(service, admin, "POST", "/tokens", ALICE | {"prefix": "photos"}), 400, "invalid_name")


@pytest.mark.parametrize("lacking", ["subject", "scopes"])
async def test_who_and_what_for_have_to_be_said(service: Service, lacking: str) -> None:
    admin = await token_for(service.store, "root", ADMIN)
    body = {key: value for key, value in ALICE.items() if key != lacking}
    detail = refused(await asked(service, admin, "POST", "/tokens", body), 400, "bad_message")
    assert detail == f"the field {lacking} is missing"
