"""What `towline login` kept: a token for each server, in the user's keyring or in a file that only they can read.

The file `credentials.json` in `$XDG_CONFIG_HOME/towline` (or `~/.config/towline`) says for each server where its token
is. So a keyring is only asked, and only loaded, by those who keep something in it.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, SecretStr

from client.errors import ClientError
from client.private_file import read_private, write_private
from client.server_url import base_url
from transfer.protocol.messages import TokenField

FILE: Final = "credentials.json"
Place = Literal["file", "keyring"]


class UnreadableCredentials(ClientError):
    """The file of the tokens is not what `towline login` writes."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return f"{self.path} is not as `towline login` writes it: delete it and log in again"


class _Entry(BaseModel):
    """Where one server's token is; `token` only when it is here."""

    model_config = ConfigDict(frozen=True)

    place: Place
    token: TokenField | None = None


class _Kept(BaseModel):
    servers: dict[str, _Entry] = {}


class KeptTokens:
    """The user's tokens. Methods block; they raise KeyringFailed, NotPrivate, UnreadableCredentials, OSError."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        folder = config_folder(environment)
        self._path = folder / FILE if folder is not None else None

    def find(self, server: str) -> SecretStr | None:
        """The token for a server: for this scheme, host, port and path, and no other."""
        key = server_key(server)
        entry = self._read().servers.get(key)
        if entry is None or entry.place == "file":
            return entry.token if entry is not None else None
        from client.keyrings import Keyring

        return Keyring.of_user().find(key)

    def place(self, server: str) -> Place | None:
        """Where a server's token is; None: there is none."""
        entry = self._read().servers.get(server_key(server))
        return None if entry is None else entry.place

    def keep(self, server: str, token: SecretStr, place: Place | None = None) -> str:
        """Keep a token, by default in the keyring where there is one; returns where, in words."""
        from client.keyrings import Keyring, has_keyring

        if self._path is None:
            raise ClientError("there is no home folder to keep a token in: give it in TOWLINE_TOKEN")
        key, kept = server_key(server), self._read()
        place = place or ("keyring" if has_keyring() else "file")
        if place == "keyring":
            Keyring.of_user().keep(key, token)
        entry = _Entry(place=place, token=token if place == "file" else None)
        self._write(_Kept(servers=kept.servers | {key: entry}))
        return "your keyring" if place == "keyring" else str(self._path)

    def forget(self, server: str) -> bool:
        """Forget a server's token, in the file and in the keyring. Returns whether there was one."""
        from client.keyrings import Keyring, has_keyring

        key, kept = server_key(server), self._read()
        entry = kept.servers.get(key)
        if entry is not None:
            self._write(_Kept(servers={other: kept.servers[other] for other in kept.servers if other != key}))
        in_keyring = has_keyring() and Keyring.of_user().forget(key)
        return entry is not None or in_keyring

    def _read(self) -> _Kept:
        content = read_private(self._path) if self._path is not None else None
        try:
            return _Kept() if content is None else _Kept.model_validate(json.loads(content))
        except ValueError:  # pydantic's is one too; it would show what it found
            assert self._path is not None
            raise UnreadableCredentials(self._path) from None

    def _write(self, kept: _Kept) -> None:
        assert self._path is not None
        write_private(self._path, kept.model_dump_json(exclude_none=True, indent=1).encode())


def server_key(server: str) -> str:
    """One spelling for each server: what else its URL says (user, query) does not count. Raises CannotConnect."""
    parts = urlsplit(base_url(server))
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def config_folder(environment: Mapping[str, str]) -> Path | None:
    """The XDG base directory rule: a relative path is none. None where there is no home either."""
    chosen = Path(environment.get("XDG_CONFIG_HOME", ""))
    base = chosen if chosen.is_absolute() else Path(os.path.expanduser("~/.config"))  # Path's own raises without a home
    return base / "towline" if base.is_absolute() else None
