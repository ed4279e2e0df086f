"""What a server is asked for: a layer of an application that counts."""

import json
from collections import Counter
from dataclasses import dataclass, field

from starlette.types import ASGIApp, Message, Receive, Scope, Send


@dataclass
class RequestsSeen:
    """Requests by method and path, the names of uploads that were begun, and how many WebSockets were open at once, at
    the most."""

    requests: Counter[str] = field(default_factory=Counter)
    uploads: list[str] = field(default_factory=list)
    open: int = 0
    most_open: int = 0

    def forget(self) -> None:
        self.requests.clear()
        self.uploads.clear()

    def see(self, frame: dict[str, object]) -> None:
        if frame["type"] == "upload":
            self.uploads.append(str(frame["name"]))


class Seeing:
    """The layer: for `app.add_middleware`."""

    def __init__(self, app: ASGIApp, seen: RequestsSeen) -> None:
        self._app = app
        self._seen = seen

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            self._seen.requests[f"{scope['method']} {scope['path']}"] += 1
        if scope["type"] != "websocket":
            await self._app(scope, receive, send)
            return

        async def receive_seen() -> Message:
            message = await receive()
            if text := message.get("text"):
                self._seen.see(json.loads(text))
            return message

        self._seen.open += 1
        self._seen.most_open = max(self._seen.open, self._seen.most_open)
        try:
            await self._app(scope, receive_seen, send)
        finally:
            self._seen.open -= 1
