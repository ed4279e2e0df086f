"""Share and request links, for who makes them: making, listing and revoking, over HTTP."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Literal, Protocol, TypeVar

from pydantic import BaseModel, JsonValue

from transfer.protocol.messages import Message, NameField, Size, TimeField


class Link(Message):
    """What is known of a link; `state` says whether it is in force, or why not. `url` is only there when it was just
    made: nobody can show it again."""

    id: str
    subject: str
    created: TimeField
    expires: TimeField | None = None
    state: str
    url: str | None = None


class ShareLink(Link):
    """A link by which a file is downloaded; `name` is None where the caller cannot see it any more."""

    kind: Literal["share"] = "share"
    name: NameField | None = None
    downloads: Size | None = None
    begun: Size = 0
    password: bool = False


class RequestLink(Link):
    """A link through which others upload below `prefix`."""

    kind: Literal["request"] = "request"
    prefix: str = ""
    size: Size | None = None
    used: Size = 0


class _Shares(Message):
    shares: list[ShareLink]


class _Requests(Message):
    requests: list[RequestLink]


Read = TypeVar("Read", bound=BaseModel)
Made = TypeVar("Made", ShareLink, RequestLink)


class Asking(Protocol):
    """Requests to one server."""

    async def ask(self, method: str, path: str, fields: Mapping[str, JsonValue] | None = None) -> bytes:
        """The body of the answer."""
        ...

    def read(self, model: type[Read], text: bytes) -> Read:
        """What it says. Raises CannotConnect for what is none."""
        ...


class Links:
    """The caller's links at one server, whose URL is `base`."""

    def __init__(self, base: str, http: Asking) -> None:
        self._base = base
        self._http = http

    async def share(
        self,
        name: str,
        *,
        lasts: timedelta | None = None,
        downloads: int | None = None,
        password: str | None = None,
    ) -> ShareLink:
        """Make a link to the content that has this name now; its `url` is a whole one. Raises NotFound, Forbidden."""
        fields = {"name": name, "lasts": _seconds(lasts), "downloads": downloads, "password": password}
        return await self._made("/shares", fields, ShareLink)

    async def request(
        self, *, prefix: str | None = None, lasts: timedelta | None = None, size: int | None = None
    ) -> RequestLink:
        """Make a link for uploads below `prefix`, by default anywhere that the caller may. Raises Forbidden."""
        return await self._made("/requests", {"prefix": prefix, "lasts": _seconds(lasts), "size": size}, RequestLink)

    async def list(self) -> "list[ShareLink | RequestLink]":
        """Those that the caller has made, for administrators everybody's; also those that have ended."""
        shares = self._http.read(_Shares, await self._http.ask("GET", "/shares")).shares
        requests = self._http.read(_Requests, await self._http.ask("GET", "/requests")).requests
        both: list[ShareLink | RequestLink] = [*shares, *requests]
        return sorted(both, key=lambda link: link.created, reverse=True)

    async def revoke(self, link: Link) -> None:
        """End a link, and what goes on by it. Raises NotFound."""
        kind = "shares" if isinstance(link, ShareLink) else "requests"
        await self._http.ask("DELETE", f"/{kind}/{link.id}")

    async def _made(self, path: str, fields: Mapping[str, JsonValue], model: type[Made]) -> Made:
        given = {key: value for key, value in fields.items() if value is not None}
        made = self._http.read(model, await self._http.ask("POST", path, given))
        return made.model_copy(update={"url": f"{self._base}{made.url}"})


def _seconds(lasts: timedelta | None) -> int | None:
    return None if lasts is None else int(lasts.total_seconds())
