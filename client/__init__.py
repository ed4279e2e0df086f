"""Towline's client: upload, download and list files on a Towline server, through any number of breaks.

    async with client.connect("http://127.0.0.1:8000") as connection:
        file = await connection.upload("photos/cat.jpg")

`upload`, `download`, `list_files` and `echo` are the same in one call, each with a connection of its own. `token=`,
TOWLINE_TOKEN or what `towline login` kept says who calls; see `connect`.
"""

from pathlib import Path

from client.connecting import connect, visit
from client.connection import Connection
from client.credentials import TokenInTheClear, TokenRefused
from client.errors import CannotConnect, ClientError, GaveUp, SourceChanged, TunnelClosed
from client.http import UnfinishedUpload, WhoAmI
from client.link_urls import NoLink
from client.links import RequestLink, ShareLink
from client.progress import Complete, Event, Failed, Listener, ignore
from client.shared_file import PasswordWanted, download_shared
from client.small_files import Item
from client.source import UploadSource
from client.token_sources import BadToken, TokenGiven
from client.tunnel import Tunnel
from transfer.protocol.errors import TransferError
from transfer.protocol.messages import FileEntry, IfExists

__all__ = [
    "BadToken",
    "CannotConnect",
    "ClientError",
    "Complete",
    "Connection",
    "Event",
    "Failed",
    "FileEntry",
    "GaveUp",
    "Item",
    "Listener",
    "NoLink",
    "PasswordWanted",
    "RequestLink",
    "ShareLink",
    "SourceChanged",
    "TokenGiven",
    "TokenInTheClear",
    "TokenRefused",
    "TransferError",
    "Tunnel",
    "TunnelClosed",
    "UnfinishedUpload",
    "WhoAmI",
    "connect",
    "download",
    "download_shared",
    "echo",
    "list_files",
    "upload",
    "visit",
]


async def upload(
    server: str,
    source: UploadSource,
    *,
    name: str | None = None,
    if_exists: IfExists = "error",
    ca_file: Path | str | None = None,
    token: TokenGiven | None = None,
    on_event: Listener = ignore,
) -> FileEntry:
    """Upload one source to `server`; see `Connection.upload`."""
    async with connect(server, ca_file=ca_file, token=token) as connection:
        return await connection.upload(source, name=name, if_exists=if_exists, on_event=on_event)


async def download(
    server: str,
    name: str,
    to: Path | str | None = None,
    *,
    ca_file: Path | str | None = None,
    token: TokenGiven | None = None,
    on_event: Listener = ignore,
) -> Path:
    """Download one file from `server`; see `Connection.download`."""
    async with connect(server, ca_file=ca_file, token=token) as connection:
        return await connection.download(name, to, on_event=on_event)


async def list_files(
    server: str, prefix: str = "", *, ca_file: Path | str | None = None, token: TokenGiven | None = None
) -> list[FileEntry]:
    """The files on `server` whose names begin with `prefix`."""
    async with connect(server, ca_file=ca_file, token=token) as connection:
        return [file async for file in connection.list_files(prefix)]


async def echo(server: str, text: str, *, ca_file: Path | str | None = None, token: TokenGiven | None = None) -> str:
    """Send a text to `server` and back."""
    async with connect(server, ca_file=ca_file, token=token) as connection:
        return await connection.echo(text)
