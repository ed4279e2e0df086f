"""Addresses of servers, as people write them. Pure."""

from typing import Final
from urllib.parse import urlsplit

from pydantic_core import Url

from client.errors import CannotConnect

_EXAMPLES: Final = "a server is written like http://127.0.0.1:8000 or https://files.example.org"


def base_url(server: str) -> str:
    """`http(s)://host[:port][/path]` without what does not belong in it. Raises CannotConnect."""
    try:
        parts = urlsplit(server)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
            raise CannotConnect(server, _EXAMPLES)
        return str(Url(f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}")).rstrip("/")
    except ValueError as refused:
        raise CannotConnect(server, _EXAMPLES) from refused


def websocket_url(server: str, path: str = "/ws", query: str = "") -> str:
    """The WebSocket at a path below a server. Raises CannotConnect."""
    return "ws" + base_url(server).removeprefix("http") + path + (query and f"?{query}")
