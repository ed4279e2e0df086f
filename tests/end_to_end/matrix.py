"""Every operation, as somebody may try it on what is alice's: each returns what came of it, in one word.

The word is `done`, or the code of the refusal. Nothing here knows what should come of it.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import httpx2
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from storage.local import LocalStore
from storage.store import UploadRequest, utc_now
from tests.end_to_end.conftest import PATIENCE, Frame, Json, Peer, digest, header
from tests.hearing import Refused, Way, hearing
from tests.transfer.seeds import put
from transfer.access.principal import SCOPES, Principal
from transfer.grants.issuing import new_request, new_share, new_token
from transfer.protocol.limits import MIB
from transfer.protocol.names import Name

CONTENT: Final = b"what is alice's"
SIZE: Final = 3 * MIB
"""Of alice's unfinished upload, of which the first MiB is there."""
DONE: Final = "done"


class Listener(Peer):
    """A peer that keeps what it hears as it came."""

    def __init__(self, connection: ClientConnection, heard: list[bytes]) -> None:
        super().__init__(connection)
        self._heard = heard

    async def receive(self) -> Json:
        async with asyncio.timeout(PATIENCE):
            frame = await self.connection.recv(decode=False)
        self._heard.append(frame)
        reply: Json = json.loads(frame)
        return reply


@dataclass
class Scene:
    """What is alice's, for one attempt: a file, and an unfinished upload of another name."""

    store: LocalStore
    port: int
    file: str
    upload: str
    upload_id: str
    lease: str
    file_id: str
    grants: dict[str, str]
    """What Alice has handed out: the ids of a token, a share and a request; and `address`, the share's path."""
    headers: dict[str, str] = field(default_factory=dict)
    """What the one who tries shows."""
    heard: list[bytes] = field(default_factory=list)
    """All that they heard, but for the time of day."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def answer(self, method: str, path: str, **arguments: Any) -> httpx2.Response:
        """The answer over HTTP to who tries."""
        headers = self.headers | arguments.pop("headers", {})
        async with httpx2.AsyncClient(base_url=self.url, trust_env=False, verify=False) as http:
            answer = await http.request(method, path, headers=headers, **arguments)
        lines = [b"%d" % answer.status_code, *(name + value for name, value in answer.headers.raw if name != b"date")]
        self.heard += [*lines, answer.content]
        return answer

    async def http(self, method: str, path: str, **arguments: Any) -> str:
        """What comes of a request."""
        answer = await self.answer(method, path, **arguments)
        code: str = DONE if answer.is_success else answer.json()["code"] if answer.content else str(answer.status_code)
        return code

    @asynccontextmanager
    async def connected(self, path: str) -> AsyncIterator[Peer]:
        async with connect(
            f"ws://127.0.0.1:{self.port}{path}",
            additional_headers=self.headers,
            compression=None,
            proxy=None,
            max_size=None,
        ) as connection:
            yield Listener(connection, self.heard)

    async def ws(self, *frames: Frame, until: str) -> str:
        """What comes of frames on `/ws`: done when this type of message comes."""
        with contextlib.suppress(InvalidStatus):
            async with self.connected("/ws") as peer:
                await peer.send(*frames)
                while (reply := await peer.receive())["type"] != until:
                    if reply["type"] == "error":
                        return str(reply["code"])
                return DONE
        return "unauthorized"

    async def upgrade(self, path: str) -> str:
        """What comes of a message to an echo at this path."""
        try:
            async with self.connected(path) as peer:
                await peer.connection.send("hello")
                assert await peer.connection.recv() == "hello"
                return DONE
        except InvalidStatus as refused:
            return str(json.loads(refused.response.body)["code"])


async def alices(store: LocalStore, port: int, number: int) -> Scene:
    """A new file of alice's and a new unfinished upload, below `team/`."""
    file, upload = f"team/{number}/file", f"team/{number}/upload"
    stored = await put(store, file, CONTENT, owner="alice")
    request = UploadRequest(name=Name.parse(upload), size=SIZE, owner="alice")
    async with store.begin(request) as writer:
        await writer.write(0, [bytes(MIB)])
        await writer.sync()
    handed_out = await _handed_out(store, stored.file_id)
    return Scene(store, port, file, upload, writer.upload_id, writer.lease, stored.file_id, handed_out)


async def _handed_out(store: LocalStore, file_id: str) -> dict[str, str]:
    alice, now = Principal(subject="alice", scopes=SCOPES), utc_now()
    token, token_grant = new_token("alice", ["read"], now=now)
    share, share_grant = new_share(alice, file_id, now=now)
    request, request_grant = new_request(alice, now=now)
    for grant in (token_grant, share_grant, request_grant):
        await store.grants.add(grant)
    ids = {"token": token.grant_id, "share": share.grant_id, "request": request.grant_id}
    return ids | {"address": f"/s/{share.in_link}"}


def small_file(name: str, content: bytes = b"new", **fields: object) -> list[Frame]:
    return [header(name, len(content), offset=0, **fields), content, {"type": "eof", "digest": digest(content)}]


def resumed(scene: Scene, **fields: object) -> Json:
    return header(scene.upload, SIZE, **fields)


Attempt = Callable[[Scene], Awaitable[str]]
ATTEMPTS: Final[dict[str, Attempt]] = {
    "list the file": lambda scene: listed(scene, "application/json"),
    "list the file, streamed": lambda scene: listed(scene, "application/x-ndjson"),
    "download the file": lambda scene: scene.http("GET", f"/files/{scene.file}"),
    "download a range of it": lambda scene: scene.http("GET", f"/files/{scene.file}", headers={"Range": "bytes=1-2"}),
    "ask for its head": lambda scene: head(scene),
    "rename it": lambda scene: scene.http("PATCH", f"/files/{scene.file}", json={"name": f"{scene.file}2"}),
    "rename it, out of a prefix": lambda scene: scene.http(
        "PATCH", f"/files/{scene.file}", json={"name": f"elsewhere/{scene.file_id}"}
    ),
    "delete it": lambda scene: scene.http("DELETE", f"/files/{scene.file}"),
    "upload beside it": lambda scene: scene.ws(header(f"{scene.file}3", 5), until="ready"),
    "upload a small file beside it": lambda scene: scene.ws(*small_file(f"{scene.file}4"), until="complete"),
    "replace it": lambda scene: replaced(scene, header(scene.file, 3, if_exists="replace")),
    "replace it by a small file": lambda scene: replaced(scene, header(scene.file, 3, offset=0, if_exists="replace")),
    "learn that it is the same": lambda scene: same(scene),
    "guess its digest": lambda scene: guessed(scene),
    "learn its size and digest by its name": lambda scene: told(scene),
    "list the unfinished upload": lambda scene: listed_upload(scene),
    "resume it by its id": lambda scene: scene.ws(resumed(scene, upload_id=scene.upload_id), until="ready"),
    "resume it by its id and lease": lambda scene: scene.ws(
        resumed(scene, upload_id=scene.upload_id, lease=scene.lease), until="ready"
    ),
    "resume it by its name": lambda scene: found(scene),
    "send a range of it": lambda scene: scene.ws(
        resumed(scene, upload_id=scene.upload_id, lease=scene.lease, range=[MIB, 2 * MIB]), until="ready"
    ),
    "rewrite a range of it": lambda scene: scene.ws(
        resumed(scene, upload_id=scene.upload_id, lease=scene.lease, range=[0, MIB], rewrite=True), until="ready"
    ),
    "finish it": lambda scene: finished(scene),
    "cancel it": lambda scene: scene.http("DELETE", f"/uploads/{scene.upload_id}"),
    "echo a text": lambda scene: scene.ws({"type": "text", "text": "hello"}, until="echo"),
    "connect to /echo": lambda scene: scene.upgrade("/echo"),
    "open a tunnel on /ws": lambda scene: scene.ws({"type": "proxy", "upstream": "echo"}, until="ready"),
    "connect to /proxy/echo": lambda scene: scene.upgrade("/proxy/echo"),
    "follow a share link of it": lambda scene: scene.http("GET", scene.grants["address"]),
    "make a share link of it": lambda scene: scene.http("POST", "/shares", json={"name": scene.file}),
    "see the share link": lambda scene: seen(scene, "share"),
    "revoke the share link": lambda scene: scene.http("DELETE", f"/shares/{scene.grants['share']}"),
    "make a request link beside it": lambda scene: scene.http("POST", "/requests", json={"prefix": "team/"}),
    "see the request link": lambda scene: seen(scene, "request"),
    "revoke the request link": lambda scene: scene.http("DELETE", f"/requests/{scene.grants['request']}"),
    "make a token": lambda scene: scene.http("POST", "/tokens", json={"subject": "eve", "scopes": ["read"]}),
    "see the token": lambda scene: seen(scene, "token"),
    "revoke the token": lambda scene: scene.http("DELETE", f"/tokens/{scene.grants['token']}"),
    "hear of a new file of hers": lambda scene: heard(scene, "sse", new_file, of=scene.file),
    "hear that the file is renamed": lambda scene: heard(scene, "websocket", renamed_file, of=scene.file),
    "hear that the file is deleted": lambda scene: heard(scene, "sse", deleted_file, of=scene.file),
    "hear of a new upload of hers": lambda scene: heard(scene, "websocket", new_upload, of=scene.upload),
    "hear that the upload goes on": lambda scene: heard(scene, "sse", resumed_upload, of=scene.upload),
    "hear that the upload is cancelled": lambda scene: heard(scene, "websocket", cancelled_upload, of=scene.upload),
    "ask who one is": lambda scene: scene.http("GET", "/whoami"),
    "ask whether it is healthy": lambda scene: scene.http("GET", "/health/ready"),
    "read the description": lambda scene: scene.http("GET", "/openapi.json"),
}
"""What may be tried, by the words of the table in docs/security.md."""


async def listed(scene: Scene, accept: str) -> str:
    """Done when the file is in the listing; `empty` when the listing is without it."""
    answer = await scene.answer("GET", "/files", headers={"Accept": accept})
    if not answer.is_success:
        return str(answer.json()["code"])
    return DONE if f'"{scene.file}"' in answer.text else "empty"


async def head(scene: Scene) -> str:
    """A head has no body to say a code in."""
    status = (await scene.answer("HEAD", f"/files/{scene.file}")).status_code
    return {200: DONE, 401: "unauthorized", 403: "forbidden", 404: "not_found"}[status]


async def replaced(scene: Scene, begin: Json) -> str:
    """Done when the name means the new content then; `free name` when that went to another one."""
    if "offset" not in begin:
        begin |= {"offset": 0, "size": None}  # a stream: no small file, though its bytes come at once
    code = await scene.ws(begin, b"new", {"type": "eof", "digest": digest(b"new")}, until="complete")
    file = await scene.store.find(Name.parse(scene.file))
    assert file is not None
    if code != DONE:
        assert file.file_id == scene.file_id
        return code
    return DONE if file.file_id != scene.file_id else "free name"


async def same(scene: Scene) -> str:
    """Send the same content under the same name; `unchanged` is what tells."""
    try:
        async with scene.connected("/ws") as peer:
            await peer.send(*small_file(scene.file, CONTENT))
            reply = await peer.receive()
    except InvalidStatus:
        return "unauthorized"
    if reply["type"] == "error":
        return str(reply["code"])
    return DONE if reply.get("unchanged") else "hidden"


async def guessed(scene: Scene) -> str:
    """Send a header with the right digest, and no byte; done when the answer is that it is there."""
    try:
        async with scene.connected("/ws") as peer:
            await peer.send(header(scene.file, len(CONTENT), digest=digest(CONTENT), if_exists="rename"))
            reply = await peer.receive()
    except InvalidStatus:
        return "unauthorized"
    outcomes = {"error": str(reply.get("code")), "complete": DONE, "ready": "hidden"}
    return outcomes[reply["type"]]


async def told(scene: Scene) -> str:
    """Begin another content under its name; done when size and digest are told, in the refusal or in `ready`."""
    try:
        async with scene.connected("/ws") as peer:
            await peer.send(header(scene.file, len(CONTENT) + 1, if_exists="error"))
            reply = await peer.receive()
    except InvalidStatus:
        return "unauthorized"
    if "digest" in reply or "existing" in reply:
        return DONE
    return str(reply["code"]) if reply["type"] == "error" and reply["code"] != "exists" else "hidden"


async def seen(scene: Scene, kind: str) -> str:
    """Done when it is listed; `empty` when the listing is without it."""
    answer = await scene.answer("GET", f"/{kind}s")
    if not answer.is_success:
        return str(answer.json()["code"])
    return DONE if scene.grants[kind] in answer.text else "empty"


async def listed_upload(scene: Scene) -> str:
    answer = await scene.answer("GET", "/uploads")
    if not answer.is_success:
        return str(answer.json()["code"])
    return DONE if scene.upload_id in answer.text else "empty"


async def found(scene: Scene) -> str:
    """Send a header with its name: done when it goes on with it, `new` when another upload begins."""
    try:
        async with scene.connected("/ws") as peer:
            await peer.send(header(scene.upload, SIZE))
            reply = await peer.receive()
    except InvalidStatus:
        return "unauthorized"
    if reply["type"] == "error":
        return str(reply["code"])
    return DONE if reply["upload_id"] == scene.upload_id else "new"


async def finished(scene: Scene) -> str:
    """`eof` with its id and lease: done when it is looked at at all, for its bytes are not all there."""
    frame = {"type": "eof", "upload_id": scene.upload_id, "lease": scene.lease, "digest": digest(bytes(SIZE))}
    code = await scene.ws(frame, until="complete")
    return DONE if code == "size_mismatch" else code


async def heard(scene: Scene, way: Way, happens: Callable[[Scene], Awaitable[object]], *, of: str) -> str:
    """Listen to events while something happens to what is Alice's; done when something is told `of` that name, before
    something of which whoever listens is told in any case."""
    try:
        async with hearing(scene.url, way, headers=scene.headers) as stream:
            await stream.until(type="reset")
            await happens(scene)
            await _something_of_their_own(scene)
            events = str(await stream.until_one_below("elsewhere/"))
    except Refused as refused:
        return str(refused.problem["code"])
    return DONE if of in events else "hidden"


async def _something_of_their_own(scene: Scene) -> None:
    """A file that whoever may read anything sees, and an upload that its subject does, and administrators."""
    async with httpx2.AsyncClient(base_url=scene.url, trust_env=False, verify=False) as http:
        subject = (await http.get("/whoami", headers=scene.headers)).json()["subject"]
    await put(scene.store, f"elsewhere/{scene.file_id}/file", owner=subject)
    await _begun(scene, f"elsewhere/{scene.file_id}/upload", subject)


async def _begun(scene: Scene, name: str, owner: str) -> None:
    async with scene.store.begin(UploadRequest(name=Name.parse(name), size=SIZE, owner=owner)):
        pass


async def new_file(scene: Scene) -> None:
    await put(scene.store, f"{scene.file}5", owner="alice")


async def renamed_file(scene: Scene) -> None:
    await scene.store.rename(Name.parse(scene.file), Name.parse(f"{scene.file}6"))


async def deleted_file(scene: Scene) -> None:
    await scene.store.delete(Name.parse(scene.file))


async def new_upload(scene: Scene) -> None:
    await _begun(scene, f"{scene.upload}2", "alice")


async def resumed_upload(scene: Scene) -> None:
    async with scene.store.resume(scene.upload_id, "alice"):
        pass


async def cancelled_upload(scene: Scene) -> None:
    await scene.store.cancel(scene.upload_id, "alice")
