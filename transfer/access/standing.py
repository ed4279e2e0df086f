"""What a session of `/ws` knows of its caller: nobody yet, somebody, or somebody whose right has ended."""

import asyncio
from contextlib import ExitStack
from typing import Self

from starlette.websockets import WebSocket

from transfer.access.auth import Authenticator, address_of, says_token, visitor_of
from transfer.access.principal import NOBODY, Principal
from transfer.access.watch import Watch, Watched
from transfer.protocol.errors import Unauthorized


class Standing:
    """The caller's, within `with`. `ended` is set when their right ends, and `reason` says why."""

    def __init__(
        self, websocket: WebSocket, authenticator: Authenticator, watch: Watch, principal: Principal | None
    ) -> None:
        self._websocket = websocket
        self._authenticator = authenticator
        self._watch = watch
        self._principal = principal
        self._has_said = says_token(websocket)
        self._watched: Watched | None = None
        self._stack = ExitStack()
        self.ended = asyncio.Event()
        self.reason = ""

    def __enter__(self) -> Self:
        if self._principal is not None:
            self._take(self._principal)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def known(self) -> bool:
        return self._principal is not None

    @property
    def principal(self) -> Principal:
        return NOBODY if self._principal is None else self._principal

    async def show(self, token: str, visitor: str | None = None) -> Principal:
        """The caller shows a token, the first or another one. A session stays one subject's, once they have
        said whose: a cookie says nothing. Raises Unauthorized, TooMany, StorageError."""
        address = address_of(self._websocket)
        principal = await self._authenticator.principal_of(
            token, address, visitor or visitor_of(self._websocket.headers)
        )
        before = self._principal
        if self._has_said and before is not None and principal.owner != before.owner:
            raise Unauthorized("the token is another subject's than this session: connect anew with it")
        self._has_said = True
        self._take(principal)
        return principal

    def _take(self, principal: Principal) -> None:
        self._principal = principal
        if self._watched is None:
            self._watched = self._stack.enter_context(self._watch.over(principal, self._cut))
        else:
            self._watched.renew(principal)

    def _cut(self, reason: str) -> None:
        self.reason = reason
        self.ended.set()
