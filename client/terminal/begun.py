"""What this machine knows of uploads that it began: which source they come from, so that `towline uploads` can say it.

Nothing needs it to go on: the server knows what is durable, and the same command goes on without any of this. It stays
on this machine, where only its user reads it, because the way to a file tells more of people than its name does: the
server is not told. What cannot be written or read is as if it were not there.

One small file for each upload, in `$XDG_STATE_HOME/towline/begun` (or `~/.local/state/towline/begun`): several commands
may run at the same time. It is deleted when the upload is complete, and when it has not changed for a month.
"""

import hashlib
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import unquote_to_bytes

from pydantic import BaseModel, ConfigDict, PlainSerializer, PlainValidator, ValidationError

from client.errors import ClientError
from client.kept_tokens import server_key
from client.private_file import read_private
from client.progress import Complete, Event, Listener, Ready
from transfer.protocol.messages import IfExists

KEPT_SECONDS: Final = 30 * 24 * 3600.0
"""A server drops silent uploads after a day, if nothing else is set there."""


_FILE: Final = "file://"


def _path_of(kept: Path | str) -> Path:
    """Raises ValueError."""
    if isinstance(kept, Path):
        return kept
    if not isinstance(kept, str) or not kept.startswith(_FILE):
        raise ValueError("it is no file: URI")
    return Path(os.fsdecode(unquote_to_bytes(kept.removeprefix(_FILE))))


Source = Annotated[Path, PlainValidator(_path_of), PlainSerializer(Path.as_uri, return_type=str)]
"""An absolute path, kept as a URI (RFC 8089): a path may have bytes that are no UTF-8, which JSON cannot have."""


class Origin(BaseModel):
    """Where an upload comes from, and what was asked for beside it. `source` is None where it was piped in."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    source: Source | None
    if_exists: IfExists = "error"
    digest: str = "sha256"


class BegunUploads:
    """The uploads to one server that were begun here. Its methods take their microseconds, and do not raise."""

    def __init__(self, server: str, environment: Mapping[str, str] = os.environ) -> None:
        self._server = server_key(server)
        self._folder = state_folder(environment)
        self._forgot_old = False

    def find(self, upload_id: str) -> Origin | None:
        """Where an upload comes from; None where it was begun elsewhere."""
        if (path := self._path(upload_id)) is None:
            return None
        try:
            content = read_private(path)
            return None if content is None else Origin.model_validate_json(content)
        except (OSError, ClientError, ValidationError):
            return None

    def keep(self, upload_id: str, origin: Origin) -> None:
        """Remember it, until it is complete."""
        if (path := self._path(upload_id)) is None:
            return
        content = origin.model_dump_json()  # before there is an empty file
        with suppress(OSError):  # an upload does not fail because of what is only told of it
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._forget_old(path.parent)
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0)
            with open(os.open(path, flags, 0o600), "w", encoding="utf-8") as file:
                file.write(content)

    def forget(self, upload_id: str) -> None:
        """There is nothing to go on with any more."""
        if (path := self._path(upload_id)) is not None:
            with suppress(OSError):
                path.unlink(missing_ok=True)

    def _forget_old(self, folder: Path) -> None:
        """What was neither completed nor cancelled by this machine's commands: once is enough."""
        oldest = time.time() - KEPT_SECONDS
        for path in [] if self._forgot_old else folder.glob("*.json"):
            with suppress(FileNotFoundError):  # another command has just forgotten it
                if path.stat().st_mtime < oldest:
                    path.unlink()
        self._forgot_old = True

    def _path(self, upload_id: str) -> Path | None:
        """Of a name that says nothing: neither what the server calls an upload, nor which server it is."""
        name = hashlib.sha256(f"{self._server}\n{upload_id}".encode(errors="surrogateescape")).hexdigest()
        return None if self._folder is None else self._folder / f"{name[:32]}.json"


def remembering(begun: BegunUploads, listener: Listener, origin_of: Callable[[str], Origin | None]) -> Listener:
    """A listener that also keeps in mind which uploads begin and which are complete, by their names."""
    ids: dict[str, str] = {}

    def on_event(event: Event) -> None:
        if isinstance(event, Ready) and ids.get(event.name) != event.upload_id:
            ids[event.name] = event.upload_id
            if (origin := origin_of(event.name)) is not None:
                begun.keep(event.upload_id, origin)
        elif isinstance(event, Complete) and event.name in ids:
            begun.forget(ids.pop(event.name))
        listener(event)

    return on_event


def state_folder(environment: Mapping[str, str]) -> Path | None:
    """The XDG base directory rule, as for `config_folder`; None where there is no home."""
    chosen = Path(environment.get("XDG_STATE_HOME", ""))
    base = chosen if chosen.is_absolute() else Path(os.path.expanduser("~/.local/state"))
    return base / "towline" / "begun" if base.is_absolute() else None
