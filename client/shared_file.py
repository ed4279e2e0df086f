"""The file that a share link is for: a download without a token, and perhaps with a password.

Its name is the server's proposal, of which only a plain file name is taken.
"""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from client.content import Content, ContentInfo
from client.credentials import Credentials, without_token
from client.downloader import Downloader
from client.errors import ClientError, ConnectionBroken
from client.http import HttpApi
from client.link_urls import LinkUrl, parse_link
from client.progress import Listener, ignore
from client.retry import GIVE_UP_AFTER, Patience, pause
from client.server_url import base_url
from client.speed import SpeedLimit
from client.tls import tls_context
from transfer.protocol.digest import Digest, UnsupportedAlgorithm
from transfer.protocol.errors import TransferError, Unauthorized
from transfer.protocol.names import InvalidName, Name

UNNAMED: Final = "download"


class PasswordWanted(ClientError):
    """The link has a password, and none or another one was given."""

    def __init__(self, *, given: bool) -> None:
        super().__init__(given)
        self.given = given

    def __str__(self) -> str:
        if self.given:
            return "that is not the password of this link: ask whoever gave you the link"
        return "this link asks for a password: give it in TOWLINE_LINK_PASSWORD, or type it at a terminal"


class SharedFile:
    """The content of one link, as `client.downloader` wants it; whatever name it is asked for."""

    def __init__(self, link: LinkUrl, http: HttpApi, password: str | None) -> None:
        self._url = f"{base_url(link.server)}/s/{link.secret.get_secret_value()}"
        self._http = http
        self._given = password is not None
        self._headers = {} if password is None else {"Authorization": _basic(password)}

    async def content_info(self, name: str = "") -> ContentInfo:
        """What there is to download. Raises NotFound, PasswordWanted."""
        try:
            info = await self._http.info_at(self._url, self._headers)
        except Unauthorized:
            raise PasswordWanted(given=self._given) from None
        return replace(info, digest=info.digest or _digest_of(info.etag))

    @asynccontextmanager
    async def open_content(self, name: str, *, offset: int = 0, etag: str | None = None) -> AsyncIterator[Content]:
        async with self._http.open_at(self._url, self._headers, offset=offset, etag=etag) as content:
            yield content

    async def find(self, name: str) -> None:
        """Who has a link sees no listing."""


async def download_shared(
    url: str,
    to: Path | str | None = None,
    *,
    password: str | None = None,
    force: bool = False,
    ca_file: Path | str | None = None,
    give_up_after: float = GIVE_UP_AFTER,
    limit_rate: float | None = None,
    on_event: Listener = ignore,
) -> Path:
    """Download what a share link is for, through any number of breaks: to `to`, or under its own name here. Raises
    NoLink, PasswordWanted, NotFound, and what `Connection.download` raises."""
    link = parse_link(url, "share")
    credentials = Credentials(link.server, without_token(link.server))
    patience = Patience(give_up_after)
    async with HttpApi(link.server, credentials, tls=tls_context(link.server, ca_file)) as http:
        shared = SharedFile(link, http, password)
        name = _file_name((await _first_look(shared, patience, on_event)).file_name)
        return await Downloader(shared, patience, on_event, SpeedLimit(limit_rate)).download(name, to, force=force)


async def _first_look(shared: SharedFile, patience: Patience, listener: Listener) -> ContentInfo:
    """What there is, as soon as the server can be reached."""
    while True:
        try:
            return await shared.content_info()
        except (ConnectionBroken, TransferError) as error:
            await pause(error, patience, listener)


def _file_name(proposed: str | None) -> str:
    """A name of one part, whatever the server says."""
    try:
        return Name.parse((proposed or UNNAMED).rpartition("/")[2]).last
    except InvalidName:
        return UNNAMED


def _digest_of(etag: str) -> Digest | None:
    """A Towline server's ETag is the digest."""
    try:
        return Digest.parse(etag.strip('"'))
    except (ValueError, UnsupportedAlgorithm):
        return None


def _basic(password: str) -> str:
    """RFC 7617, section 2.1, without a user name."""
    return "Basic " + base64.b64encode(f":{password}".encode()).decode()
