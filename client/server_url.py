"""Addresses of servers, as people write them. Pure.

Whatever is done with a server (where to connect, whose token to show) goes by what `base_url` makes of its address: two
readers of one URL may find two hosts in it.
"""

import re
from typing import Final
from urllib.parse import urlsplit

from pydantic_core import Url

from client.errors import CannotConnect

_HOW: Final = "a server is written like http://127.0.0.1:8000 or https://files.example.org"
_ZONE: Final = re.compile(r"(?<=[0-9a-f:])%[\w.-]+(?=\])", re.ASCII | re.IGNORECASE)
"""By which interface a link-local address is reached (RFC 4007, section 11): getaddrinfo(3) knows, and Url does not."""


def base_url(server: str) -> str:
    """`http(s)://host[:port][/path]` without what does not belong in it, in one spelling. Raises CannotConnect."""
    try:
        parts = urlsplit(server)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0 or "\\" in server:
            raise CannotConnect(server, _HOW)
        zone = _ZONE.search(parts.netloc)
        url = Url(f"{parts.scheme}://{_ZONE.sub('', parts.netloc)}{parts.path.rstrip('/')}")
    except ValueError as refused:
        raise CannotConnect(server, _HOW) from refused
    base = str(url).rstrip("/")
    return base if zone is None else base.replace("]", f"{zone[0]}]", 1)


def websocket_url(server: str, path: str = "/ws", query: str = "") -> str:
    """The WebSocket at a path below a server. Raises CannotConnect."""
    return "ws" + base_url(server).removeprefix("http") + path + (query and f"?{query}")
