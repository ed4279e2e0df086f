"""What a run of the tests leaves for the search for secrets: logs, errors as clients see them, command lines.

Who mints a secret in a test, or is told one, says so (`secret`): its exact text is searched for in the end. Without a
folder, which `tests.conftest` chooses, nothing is kept. Each process has files of its own.
"""

import json
import logging
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Literal

import httpx2
from pydantic import JsonValue

from transfer import logs

FOLDER: Final = "EVIDENCE_FOLDER"
"""The variable of the environment that has the folder, for all processes of a run."""
Kind = Literal["log", "error", "command", "secret"]


def keep(kind: Kind, text: str) -> None:
    """Write a piece of evidence down."""
    if folder := os.environ.get(FOLDER):
        with Path(folder, f"{kind}-{os.getpid()}").open("a", encoding="ascii") as file:
            file.write(json.dumps(text) + "\n")


def found(folder: Path, kind: Kind) -> list[str]:
    """All of one kind, of all processes."""
    return [
        json.loads(line) for file in sorted(folder.glob(f"{kind}-*")) for line in file.read_text("ascii").splitlines()
    ]


def secret(text: str) -> None:
    """This must stand nowhere but where it is used."""
    if text:
        keep("secret", text)


def reply(message: JsonValue) -> None:
    """A frame of the server's: an error is looked at later, and what it tells only this client is a secret."""
    if not isinstance(message, dict):
        return  # an echo of whatever was sent
    if message.get("type") == "error":
        keep("error", json.dumps(message))
    for field in ("upload_id", "lease", "token", "secret"):
        if isinstance(value := message.get(field), str):
            secret(value)


async def response(answer: httpx2.Response) -> None:
    """An answer over HTTP, to a request that may have shown or set a secret."""
    secret(answer.request.headers.get("authorization", "").rpartition(" ")[2])
    if answer.status_code >= 400:
        keep("error", (await answer.aread()).decode(errors="replace"))
    elif answer.request.method == "POST":
        _secrets_in(await answer.aread())
        _secrets_in(answer.request.content)


def _secrets_in(body: bytes) -> None:
    try:
        fields = json.loads(body)
    except ValueError:
        return
    for field in ("token", "secret", "password"):
        if isinstance(fields, dict) and isinstance(value := fields.get(field), str):
            secret(value)


class LogKeeper(logging.Handler):
    """What the servers of this process would write to their log."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logs.formatter("json", is_terminal=False))

    def emit(self, record: logging.LogRecord) -> None:
        keep("log", self.format(record))


def watch() -> None:
    """Keep what this process logs, and the command lines that it starts, from now on."""
    handler = LogKeeper()
    logging.getLogger("towline").setLevel(logging.INFO)  # as a server would
    for name in ("towline", "uvicorn", "websockets", "asyncio"):
        logging.getLogger(name).addHandler(handler)
    sys.addaudithook(_command)


def _command(event: str, arguments: tuple[object, ...]) -> None:
    if event == "subprocess.Popen":
        command = arguments[1]
        words = [command] if isinstance(command, str | bytes) or not isinstance(command, Iterable) else command
        keep("command", json.dumps([os.fsdecode(word) if isinstance(word, bytes) else str(word) for word in words]))
