"""The pages, and the modules that they are made of: fixed contents with the headers that keep them safe.

They are read at start. Nothing that is asked for becomes a path on the disk: what is served is a table. What stands
behind `/r/` is a secret, so it is neither looked up nor repeated here: every such page is the same, to the byte, with
a link or without. The page itself asks, over HTTP and `/ws`, as every client does.
"""

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from transfer.downloads import is_known
from transfer.protocol.errors import NotFound

MODULES_PATH: Final = "/web/"
CLIENT_PATH: Final = "/client.js"
"""What programs import to upload: the module of that name, whose parts stay where they are."""

_FOLDER: Final = Path(__file__).with_name("web")
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
_POLICY: Final = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self' 'wasm-unsafe-eval'",  # the checksum is computed by WebAssembly
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self'",
        "form-action 'none'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types towline",
    ]
)
"""Content Security Policy, level 3: nothing from elsewhere, nothing inline, no text that becomes script or markup."""


@dataclass(frozen=True, slots=True)
class Asset:
    """One file of the web folder."""

    content: bytes
    media_type: str

    @property
    def entity_tag(self) -> str:
        return f'"{hashlib.sha256(self.content).hexdigest()[:32]}"'


def router() -> APIRouter:
    """The routes of the pages; they are no part of the API, and not in its description."""
    assets, routes = read_assets(), APIRouter()

    client = Asset(f'export * from ".{MODULES_PATH}client.js";\n'.encode(), _TYPES[".js"])

    async def module(request: Request) -> Response:
        asset = client if request.url.path == CLIENT_PATH else assets.get(request.path_params["name"])
        if asset is None or asset.media_type == _TYPES[".html"]:
            raise NotFound("there is no such part of a page")
        headers = guarding_headers() | {"cache-control": "no-cache", "etag": asset.entity_tag}
        if is_known(request.headers.get("if-none-match"), asset.entity_tag):
            return Response(None, 304, headers)
        return Response(asset.content, 200, headers, media_type=asset.media_type)

    for path, name in (("/", "index.html"), ("/r/{secret}", "request.html"), ("/docs", "docs.html")):
        routes.add_route(path, _page(assets[name]), methods=["GET"], include_in_schema=False)
    for path in (CLIENT_PATH, MODULES_PATH + "{name:path}"):
        routes.add_route(path, module, methods=["GET"], include_in_schema=False)
    return routes


def read_assets() -> dict[str, Asset]:
    """What is served, by its name below the web folder."""
    files = (path for path in sorted(_FOLDER.rglob("*")) if path.suffix in _TYPES)
    return {path.relative_to(_FOLDER).as_posix(): Asset(path.read_bytes(), _TYPES[path.suffix]) for path in files}


def guarding_headers() -> dict[str, str]:
    """What keeps a page and its modules to themselves: no frame, no opener, no referrer, no guessing of types."""
    return {
        "content-security-policy": _POLICY,
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
    }


def _page(asset: Asset) -> Callable[[Request], Awaitable[Response]]:
    headers = guarding_headers() | {"cache-control": "no-store"}

    async def page(request: Request) -> Response:
        return Response(asset.content, 200, headers, media_type=asset.media_type)

    return page
