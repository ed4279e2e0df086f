"""Who one is over HTTP, and how a page keeps its token: in a cookie that no script reads.

The cookie is the token itself, so it ends when the token does, and revoking the token is enough. It goes along only
with requests of the server's own pages (`SameSite=Strict`), and over TLS only over TLS.
"""

from datetime import UTC, datetime
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from storage.store import Store
from transfer.access.auth import COOKIE, SECURE_COOKIE, Authenticator, address_of, is_secure
from transfer.access.callers import Caller
from transfer.access.principal import SCOPES, Principal, Scope
from transfer.bodies import described, fields_of, text_field
from transfer.problems import PROBLEM_RESPONSES
from transfer.protocol.messages import TimeField


class Token(BaseModel):
    """What somebody logs in with."""

    token: str


class Identity(BaseModel):
    """Who is calling. `used` is what counts against `quota`: stored and reserved bytes of the subject, or, of visitors,
    what came through their request link."""

    subject: str
    scopes: list[Scope]
    prefix: str
    quota: int | None
    used: int
    expires: TimeField | None
    kind: Literal["anonymous", "token", "request"]


def router(store: Store, authenticator: Authenticator) -> APIRouter:
    """The routes of identity."""
    routes = APIRouter(responses=PROBLEM_RESPONSES)

    @routes.get("/whoami")
    async def who_am_i(principal: Caller) -> Identity:
        """Say who is calling, and what they may do."""
        visit = principal.visit
        return Identity(
            subject=principal.called,
            scopes=sorted(principal.scopes & SCOPES),
            prefix=principal.prefix if visit is None else "",
            quota=principal.quota if visit is None else visit.size,
            used=await (store.usage(principal.subject) if visit is None else store.usage_via(visit.link)),
            expires=principal.expires,
            kind=principal.kind,
        )

    @routes.post("/login", status_code=204, openapi_extra=described(Token))
    async def log_in(request: Request) -> Response:
        """Keep a token in a cookie, for a page of this server."""
        token = text_field(await fields_of(request), "token").strip()
        principal = await authenticator.principal_of(token, address_of(request))
        response = Response(status_code=204)
        _set_cookie(request, response, token, _seconds_left(principal))
        return response

    @routes.post("/logout", status_code=204)
    async def log_out(request: Request) -> Response:
        """Forget the cookie. The token goes on being good: to end it, revoke it."""
        response = Response(status_code=204)
        _set_cookie(request, response, "", 0)
        return response

    return routes


def _set_cookie(request: Request, response: Response, value: str, seconds: int | None) -> None:
    secure = is_secure(request)
    response.set_cookie(
        SECURE_COOKIE if secure else COOKIE,
        value,
        max_age=seconds,
        path="/",
        secure=secure,
        httponly=True,
        samesite="strict",
    )


def _seconds_left(principal: Principal) -> int | None:
    """None: until the browser is closed."""
    if principal.expires is None:
        return None
    return max(0, int((principal.expires - datetime.now(UTC)).total_seconds()))
