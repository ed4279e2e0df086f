"""Hostile text in every field and route that takes a name or a text does nothing but what a name does, or is refused.

A new route is a line in `TARGETS`, a new field of a message one in `MESSAGES`.
"""

import asyncio
import hashlib
import json
import logging
import unicodedata
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote, quote_from_bytes

import pytest
import pytest_asyncio

from tests.corpus import HOSTILE_NAMES
from tests.end_to_end.conftest import Frame, Json, Peer, Service, digest, eof, header, serving, small
from transfer import logs
from transfer.protocol.errors import BadMessage, InvalidName, NotFound, ProxyDenied, UnsupportedDigest, UnsupportedType
from transfer.protocol.names import InvalidName as NoName
from transfer.protocol.names import Name

pytestmark = pytest.mark.asyncio(loop_scope="module")

REFUSALS: Final = {error.code for error in (BadMessage, InvalidName, NotFound, ProxyDenied)} | {
    error.code for error in (UnsupportedDigest, UnsupportedType)
}
AT_ONCE: Final = 100
"""Requests that are sent before an answer is read."""
LONG: Final = 8_000
"""Bytes of a request that may be too many for the server."""
UNHURRIED: Final[Json] = {"request_rate": 1_000_000, "request_burst": 1_000_000}
"""Refuses nobody for being fast: there are thousands of requests here, and a fast machine sends them at once."""


def _bytes(text: str) -> bytes:
    """Half a surrogate pair as the bytes that would be its UTF-8, which are none."""
    return text.encode("utf-8", "surrogatepass")


def once(text: str) -> str:
    return quote_from_bytes(_bytes(text))


def all_of_it(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in _bytes(text)) if len(text) < 1_500 else once(text)


def twice(text: str) -> str:
    return quote(once(text)) if len(text) < 1_500 else once(text)


def as_it_is(text: str) -> str:
    """With no more encoding than a request line needs."""
    return quote_from_bytes(_bytes(text), safe="/\\.;:@&=+$,!*'()<>\"`{}|^[]~")


class Target(NamedTuple):
    """A request with the text in it: `{}` stands for it in the path, and where there is a body, in that, as JSON."""

    method: str
    path: str
    encoded: Callable[[str], str] = once
    body: str | None = None


TARGETS: Final = [
    Target("GET", "/files/{}"),
    Target("GET", "/files/{}", all_of_it),
    Target("GET", "/files/{}", twice),
    Target("GET", "/files/{}", as_it_is),
    Target("HEAD", "/files/{}"),
    Target("PATCH", "/files/{}", body='{"name":"./renamed"}'),
    Target("PATCH", "/files/nothing", body='{"name":{}}'),
    Target("PATCH", "/files/nothing", body="{{}:{}}"),
    Target("GET", "/files?prefix={}&limit=1"),
    Target("GET", "/files?q={}&limit=1"),
    Target("GET", "/files?cursor={}"),
    Target("GET", "/files?sort={}"),
    Target("GET", "/files?limit={}"),
    Target("GET", "/files?limit=1&{}={}"),
    Target("DELETE", "/uploads/{}"),
    Target("GET", "/uploads/{}"),
    Target("GET", "/proxy/{}"),
    Target("GET", "/s/{}"),
    Target("DELETE", "/shares/{}"),
    Target("POST", "/shares", body='{"name":{}}'),
    Target("GET", "/r/{}"),
    Target("DELETE", "/requests/{}"),
    Target("POST", "/requests", body='{"prefix":{}}'),
    Target("DELETE", "/tokens/{}"),
    Target("POST", "/tokens", body='{"subject":{}}'),
    Target("GET", "/{}", as_it_is),
    Target("DELETE", "/files/{}", twice),
    Target("DELETE", "/files/{}"),
]
"""The last ones take away what others look for."""

MESSAGES: Final[dict[str, Callable[[str], list[Frame]]]] = {
    "name": lambda text: [header(text, 1), {"type": "cancel"}],
    "name and resume": lambda text: [header(text, 1, resume=False, if_exists="rename"), {"type": "cancel"}],
    "upload_id": lambda text: [header("a", 1, upload_id=text), {"type": "cancel"}],
    "lease": lambda text: [header("a", 1, upload_id="u", lease=text), {"type": "cancel"}],
    "range": lambda text: [header(text, 1, upload_id=text, lease=text, range=[0, 1]), {"type": "cancel"}],
    "upload_id of eof": lambda text: [eof(b"a", upload_id=text, lease=text)],
    "upstream": lambda text: [{"type": "proxy", "upstream": text}],
    "url": lambda text: [{"type": "proxy", "url": text}],
    "path of a url": lambda text: [{"type": "proxy", "url": f"ws://127.0.0.1/{text}"}],
    "subprotocols": lambda text: [{"type": "proxy", "upstream": "nobody", "subprotocols": [text]}],
    "text": lambda text: [{"type": "text", "text": text}],
    "type": lambda text: [{"type": text}],
    "content_type": lambda text: [header("a", 1, content_type=text), {"type": "cancel"}],
    "metadata": lambda text: [header("a", 1, metadata={text: text}), {"type": "cancel"}],
    "modified": lambda text: [header("a", 1, modified=text), {"type": "cancel"}],
    "digest": lambda text: [header("a", 1, digest=text, digest_algorithm=text), {"type": "cancel"}],
    "if_exists": lambda text: [header("a", 1, if_exists=text), {"type": "cancel"}],
    "key": lambda text: [header("a", 1) | {text: text}, {"type": "cancel"}],
}


def texts(row: int, *, is_name: bool) -> list[str]:
    """Where a name stands all are tried. Elsewhere a third in each row, to be done in time."""
    return HOSTILE_NAMES if is_name else HOSTILE_NAMES[row % 3 :: 3]


class Scene(NamedTuple):
    """A server whose data lies among what must not change."""

    service: Service
    around: Path
    accepted: dict[str, str]
    """The names that the server has taken, and the digests of their contents."""


def around(scene_folder: Path) -> dict[str, str]:
    """Everything there but for the data: kinds, sizes and contents."""
    found = (path for path in sorted(scene_folder.rglob("*")) if "data" not in path.relative_to(scene_folder).parts[:2])
    return {
        str(path.relative_to(scene_folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        if path.is_file()
        else "folder"
        for path in found
    }


def content_of(text: str) -> bytes:
    return b"cargo of " + _bytes(text)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    """A server to which every text was uploaded as a name, without waiting for answers."""
    folder = tmp_path_factory.mktemp("around")
    for path in ("outside.txt", "etc/passwd", "inner/store.json", "inner/catalog.db", "inner/objects/a"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(path)
    before = around(folder)
    async with serving(folder / "inner", UNHURRIED) as service:
        async with service.connected() as peer:
            replies = await conversation(peer, [small(text, content_of(text)) for text in HOSTILE_NAMES])
        accepted = {
            reply["file"]["name"]: reply["file"]["digest"] for (reply,) in replies if reply["type"] == "complete"
        }
        told = {reply["code"] for (reply,) in replies if reply["type"] == "error"}
        assert told == {"invalid_name", "exists"}
        yield Scene(service, folder, accepted)
        async with service.connected() as peer:
            await peer.works()
        assert service.log.alarms == []
        looks_like_events(service.log.records)
    assert around(folder) == before


async def conversation(peer: Peer, operations: Sequence[Sequence[Frame]]) -> list[list[Json]]:
    """What each operation is answered with, but for acks; all are sent without waiting."""

    async def send() -> None:
        for number, frames in enumerate(operations):
            await peer.send(*frames, {"type": "text", "text": "that was it", "ref": number})

    sending = asyncio.create_task(send())
    answers: list[list[Json]] = []
    for number in range(len(operations)):
        answers.append([])
        while (reply := await peer.receive()) != {"type": "echo", "text": "that was it", "ref": number}:
            if reply["type"] != "ack":
                answers[-1].append(reply)
    await sending
    return answers


def looks_like_events(records: Sequence[logging.LogRecord]) -> None:
    """Each record is one line, in both formats, that a terminal obeys nothing of."""
    for log_format in ("human", "json"):
        formatter = logs.formatter("human" if log_format == "human" else "json", is_terminal=False)
        for record in records:
            line = formatter.format(record)
            assert line.isprintable(), ascii(line)


# ---------------------------------------------------------------------------------------------------------------- names


def is_name(text: str) -> bool:
    try:
        Name.parse(text)
    except NoName:
        return False
    return True


async def test_the_corpus_is_large_and_the_same_every_time() -> None:
    assert len(HOSTILE_NAMES) >= 500
    assert len(set(HOSTILE_NAMES)) == len(HOSTILE_NAMES)
    assert 100 < sum(map(is_name, HOSTILE_NAMES)) < len(HOSTILE_NAMES) - 300


async def test_what_is_accepted_is_listed_exactly_and_can_be_downloaded(scene: Scene) -> None:
    wanted = {unicodedata.normalize("NFC", text) for text in HOSTILE_NAMES if is_name(text)}
    assert scene.accepted.keys() <= wanted
    assert {Name.parse(name).key for name in scene.accepted} | folders(scene.accepted) >= {
        Name.parse(name).key for name in wanted
    } - behind_files(wanted, scene.accepted)
    listed: dict[str, Json] = {}
    async with scene.service.http() as http:
        for line in (await http.get("/files", headers={"accept": "application/x-ndjson"})).text.split("\n")[:-1]:
            file = json.loads(line)
            listed[file["name"]] = file
            content = (await http.get(file["url"])).content
            assert digest(content) == file["digest"], ascii(file["name"])
    assert {name: file["digest"] for name, file in listed.items()} == scene.accepted


def folders(names: Iterator[str] | dict[str, str]) -> set[str]:
    return {parent for name in names for parent in Name.parse(name).parents}


def behind_files(wanted: set[str], accepted: dict[str, str]) -> set[str]:
    """Of the names that were wanted, those below another file."""
    files = {Name.parse(name).key for name in accepted}
    return {Name.parse(name).key for name in wanted if files & set(Name.parse(name).parents)}


async def test_each_name_can_be_taken_and_given_by_renaming(scene: Scene) -> None:
    names = sorted(scene.accepted)
    away = [
        request("PATCH", f"/files/{once(name)}", json.dumps({"name": f"moved/{number}"}))
        for number, name in enumerate(names)
    ]
    back = [request("PATCH", f"/files/moved/{number}", json.dumps({"name": name})) for number, name in enumerate(names)]
    for answer in [*await answers(scene.service, away), *await answers(scene.service, back)]:
        assert answer.status == 200, answer
    assert sorted(await scene.service.names()) == names


# ------------------------------------------------------------------------------------------------------------- messages


@pytest.mark.parametrize("field", MESSAGES)
async def test_text_in_a_field_of_a_message_is_taken_or_refused(scene: Scene, field: str) -> None:
    async with scene.service.connected() as peer:
        tried = texts(list(MESSAGES).index(field), is_name=field == "name")
        replies = await conversation(peer, [MESSAGES[field](text) for text in tried])
    for text, heard in zip(tried, replies, strict=True):
        assert heard, ascii(text)
        for reply in heard:
            if reply["type"] == "error":
                assert reply["code"] in REFUSALS | {"exists"}, (ascii(text), reply)
                assert reply["message"].isprintable(), ascii(text)
            else:
                assert reply["type"] in ("ready", "cancelled", "echo"), (ascii(text), reply)
    assert await scene.service.unfinished() == []


async def test_text_as_an_upstream_opens_no_tunnel(scene: Scene) -> None:
    upgrade = (
        "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
        "sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    )
    requests = [request("GET", f"/proxy/{once(text)}", fields=upgrade) for text in HOSTILE_NAMES]
    assert {answer.status for answer in await answers(scene.service, requests, at_once=1)} <= {403, 404, 431}


# ----------------------------------------------------------------------------------------------------------------- HTTP


class Answer(NamedTuple):
    """What came back for a request."""

    status: int
    head: str
    body: bytes


def request(method: str, target: str, body: str | None = None, fields: str = "") -> bytes:
    content = b"" if body is None else body.encode()
    length = "" if body is None else f"content-length: {len(content)}\r\n"
    return f"{method} {target} HTTP/1.1\r\nhost: localhost\r\n{length}{fields}\r\n".encode() + content


async def answers(service: Service, requests: Sequence[bytes], *, at_once: int = AT_ONCE) -> list[Answer]:
    """All answers, in order. What is too long to be read has a connection of its own, which the server may reset."""
    found: list[Answer] = []
    for are_long, some in groupby(requests, key=lambda sent: len(sent) > LONG):
        waiting, size = list(some), 1 if are_long else at_once
        for start in range(0, len(waiting), size):
            found.extend(await answers_of(service, waiting[start : start + size]))
    return found


async def answers_of(service: Service, batch: Sequence[bytes]) -> list[Answer]:
    """The answers to requests that are sent at once, over one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    try:
        writer.write(b"".join(batch))
        return [await next_answer(reader, is_head=sent.startswith(b"HEAD ")) for sent in batch]
    except (asyncio.IncompleteReadError, ConnectionError):
        assert len(batch[0]) > LONG, batch
        return [Answer(431, "", b'{"detail":"reset"}')]
    finally:
        writer.close()


async def next_answer(reader: asyncio.StreamReader, *, is_head: bool) -> Answer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if line)
    body = b"" if is_head else await reader.readexactly(int(fields.get("content-length", 0)))
    return Answer(int(head.split(" ", 2)[1]), head, body)


@pytest.mark.parametrize(
    "target", TARGETS, ids=lambda target: f"{target.method} {target.path} {target.encoded.__name__}"
)
async def test_text_in_a_request_is_taken_or_refused(scene: Scene, target: Target) -> None:
    requests, tried = [], texts(TARGETS.index(target), is_name=target.path == "/files/{}")
    for text in tried:
        body = None if target.body is None else target.body.replace("{}", json.dumps(text))
        requests.append(request(target.method, target.path.replace("{}", target.encoded(text)), body))
    for text, answer in zip(tried, await answers(scene.service, requests), strict=True):
        assert answer.status in (200, 201, 204, 400, 401, 403, 404, 405, 413, 431), (ascii(text), answer)
        assert not any(line.lower().startswith("x-evil") for line in answer.head.splitlines()), (ascii(text), answer)
        if answer.status >= 400 and target.method != "HEAD":
            assert json.loads(answer.body)["detail"].isprintable(), (ascii(text), answer)
        if target == Target("GET", "/files/{}"):
            assert (answer.status == 200) == (unicodedata.normalize("NFC", text) in scene.accepted), (
                ascii(text),
                answer,
            )


async def test_what_was_deleted_is_gone(scene: Scene) -> None:
    """Every name that was taken, over HTTP, and nothing else is left."""
    for answer in await answers(scene.service, [request("DELETE", f"/files/{once(name)}") for name in scene.accepted]):
        assert answer.status in (204, 404)
    assert await scene.service.names() == []
