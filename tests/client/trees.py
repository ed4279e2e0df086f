"""Trees of files, and the commands that move them, in this process: what they say, and what a server was asked for."""

import io
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

import client
from client.connection import Connection
from client.credentials import Credentials
from client.terminal.display import JsonDisplay
from client.terminal.download_command import DownloadCommand, DownloadOptions
from client.terminal.outcome import Exit
from client.terminal.selection import select
from client.terminal.upload_command import UploadCommand, UploadOptions
from client.token_sources import token_source
from tests.client.requests_seen import RequestsSeen, Seeing
from tests.server import running
from transfer.app import create_app
from transfer.settings import Settings

LARGE = random.Random(5).randbytes(1_200_000)


@dataclass
class Ended:
    """How a command ended, and what it said."""

    exit: Exit
    objects: list[dict[str, JsonValue]]

    def all(self, event: str) -> list[dict[str, JsonValue]]:
        return [line for line in self.objects if line["event"] == event]

    def sent(self) -> list[JsonValue]:
        return [line["name"] for line in self.all("complete") if line["sent_bytes"]]

    @property
    def summary(self) -> dict[str, JsonValue]:
        (summary,) = self.all("summary")
        return summary


@dataclass
class Server:
    """A server that tells what it was asked for."""

    url: str
    seen: RequestsSeen

    async def upload(self, *paths: str, token: str | None = None, rehearse: bool = False, **options: object) -> Ended:
        """As the command does."""
        said = io.StringIO()
        credentials = Credentials(self.url, token_source(self.url, given=token)) if token else None
        async with Connection(self.url, credentials=credentials) as connection:
            command = UploadCommand(connection, JsonDisplay(said), UploadOptions(**options))  # type: ignore[arg-type]
            selection = select([Path(path) for path in paths])
            code = await (command.rehearse if rehearse else command.selection)(selection)
        return Ended(code, [json.loads(line) for line in said.getvalue().splitlines()])

    async def download(self, *names: str, to: str | None = None, **options: object) -> Ended:
        """As the command does, for folders."""
        said = io.StringIO()
        async with Connection(self.url) as connection:
            command = DownloadCommand(connection, JsonDisplay(said), DownloadOptions(**options))  # type: ignore[arg-type]
            code = await command.several(names, None if to is None else Path(to))
        return Ended(code, [json.loads(line) for line in said.getvalue().splitlines()])

    async def names(self) -> list[str]:
        return [str(file.name) for file in await client.list_files(self.url)]


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[Server]:
    app, seen = create_app(settings), RequestsSeen()
    app.add_middleware(Seeing, seen=seen)
    async with running(settings, app) as url:
        yield Server(url, seen)


def write(path: str, content: bytes | str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(content if isinstance(content, bytes) else content.encode())
