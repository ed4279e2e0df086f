"""Who sends an HTTP request, as what a route may ask for: `Reader`, `Remover`, … are principals with that scope.

The first thing that a route looks at: nobody learns from a refusal what is there.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends
from fastapi.security import HTTPBearer
from starlette.requests import HTTPConnection

from transfer.access.auth import Authenticator, address_of
from transfer.access.principal import Principal, Scope
from transfer.pace.rates import Rates, caller_of

_bearer = HTTPBearer(auto_error=False, description="A token of `towline token create`, or of the identity provider")


async def caller(connection: HTTPConnection, _: Annotated[object, Depends(_bearer)]) -> Principal:
    """Raises Unauthorized, TooMany, StorageError."""
    authenticator: Authenticator = connection.scope["app"].state.authenticator
    rates: Rates = connection.scope["app"].state.rates
    principal = await authenticator.caller(connection)
    rates.take_request(caller_of(principal, address_of(connection)))
    return principal


Caller = Annotated[Principal, Depends(caller)]


def having(*scopes: Scope) -> Callable[[Principal], Awaitable[Principal]]:
    """A dependency that is a caller with these scopes. Raises Forbidden beside what `caller` raises."""

    async def caller_with_scopes(principal: Caller) -> Principal:
        principal.require(*scopes)
        return principal

    return caller_with_scopes


Reader = Annotated[Principal, Depends(having("read"))]
Uploader = Annotated[Principal, Depends(having("upload"))]
Remover = Annotated[Principal, Depends(having("delete"))]
Renamer = Annotated[Principal, Depends(having("delete", "upload"))]
Administrator = Annotated[Principal, Depends(having("admin"))]


async def linker(principal: Caller) -> Principal:
    """A caller who may have made links, or administers them. Raises Forbidden, for visitors of a link first of all."""
    principal.require_one_of("read", "upload", "admin")
    return principal


Linker = Annotated[Principal, Depends(linker)]
