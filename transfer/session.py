"""`/ws`: read a header, hand over to its mode, send the replies in the order of the headers.

A session has one reader, which never stops receiving while the client keeps within its window and the caller's rates
(uvicorn reads pongs only while somebody receives), one sender, and a task for each operation that is under way.
Operations that must not overlap wait for those before them; small files and echoes do not.

Who the caller is may stand on the upgrade, or in a first frame; before that nothing else is read. When the server
stops, or the caller's right ends, a session ends by itself: see `_drain_when_told` and `_leave_when_cut`.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, suppress
from typing import Any, Final, TypeVar

from starlette.websockets import WebSocket

from storage.errors import StorageError
from storage.store import Store
from transfer import logs
from transfer.access.standing import Standing
from transfer.access.visiting import placed
from transfer.deadlines import Deadline
from transfer.engine.farewell import farewell
from transfer.engine.scope import ARRIVALS, DRAIN, MESSAGE_LIMIT
from transfer.operation import Operation, Shared
from transfer.pace.throttle import Throttle
from transfer.protocol import limits
from transfer.protocol.errors import (
    BadMessage,
    Internal,
    ProxyDenied,
    ProxyFailed,
    ShuttingDown,
    Timeout,
    TransferError,
    Unauthorized,
)
from transfer.protocol.messages import (
    AuthMessage,
    AuthorizedMessage,
    CancelMessage,
    ClientMessage,
    EchoMessage,
    EofMessage,
    ErrorMessage,
    ProxyHeader,
    TextHeader,
    UploadHeader,
    parse_client_message,
)
from transfer.protocol.receiver import Receiver
from transfer.proxy import Proxy, ready
from transfer.refusals import refusal
from transfer.replies import Replies, Turn
from transfer.settings import Settings
from transfer.small_uploads import SmallUpload, is_small
from transfer.uploads import UploadOperation
from transfer.window import Window

T = TypeVar("T")
LOGGER: Final = "towline.session"
CUT_SECONDS: Final = 0.25
"""How long what is under way may take to end by itself when the caller's right has ended."""


class Refused(Operation):
    """Stands in for a header that was refused: drops the frames that still come of it."""

    def __init__(self, shared: Shared) -> None:
        super().__init__(shared, Receiver(), lambda _: None)
        self.close()


class Session:
    """One connection of `/ws`."""

    def __init__(
        self,
        websocket: WebSocket,
        store: Store,
        settings: Settings,
        window: Window,
        proxy: Proxy,
        standing: Standing,
        throttle: Throttle,
    ) -> None:
        self._websocket = websocket
        self._throttle = throttle
        self._standing = standing
        self._proxy = proxy
        self._window = window
        self._shared = Shared(
            store=store,
            window=window,
            caller=lambda: standing.principal,
            max_file_bytes=settings.max_file_bytes or limits.MAX_SIZE,
            arrivals=websocket.scope["extensions"][ARRIVALS],
            alone=lambda: len(self._replies.turns) <= 1,
            held_up=lambda: throttle.seconds,
            min_upload_rate=settings.min_upload_rate,
            rate_period=settings.rate_period,
        )
        self._auth_timeout = settings.auth_timeout
        self._header_timeout = settings.header_timeout
        self._late = asyncio.Event()
        self._header_deadline = Deadline(asyncio.get_running_loop(), self._late.set)
        self._current: Operation | None = None
        """That which the frames belong to that come now."""
        self._is_tunnel = False
        self._told = asyncio.Event()
        self._draining = False
        self._dismissed = False
        self._log = logs.SessionLog(LOGGER, websocket)
        self._replies = Replies(websocket, self._log)

    async def run(self) -> None:
        """Serve until the connection ends. Never raises for what a client does."""
        self._websocket.scope["extensions"][DRAIN](self._told.set)
        self._log.principal = self._standing.principal.subject
        self._header_deadline.start(self._header_timeout if self._standing.known else self._auth_timeout)
        with self._log:
            try:
                async with asyncio.TaskGroup() as group:
                    duties = (
                        self._replies.send_all(),
                        self._drain_when_told(),
                        self._leave_when_cut(),
                        self._give_up_when_late(),
                    )
                    others = [group.create_task(duty) for duty in duties]
                    await self._receive(group)
                    for turn in list(self._replies.turns):
                        await turn.over.wait()
                    for task in others:
                        task.cancel()
            except Exception:
                self._log.logger.exception("a bug ended a session")
                self._log.ended(Internal.code)
                await farewell(self._websocket, Internal.close_code, "internal error")
            finally:
                self._header_deadline.stop()
                self._window.leave()

    async def _give_up_when_late(self) -> None:
        await self._late.wait()
        error: TransferError = Timeout(f"no header within {self._header_timeout:g} s of connecting")
        if not self._standing.known:
            error = Unauthorized(f"no token within {self._auth_timeout:g} s of connecting")
        await self._refuse(error, begins=True)

    # --------------------------------------------------------------------------------------------------- reading

    async def _receive(self, group: asyncio.TaskGroup) -> None:
        async for content in self._frames():
            try:
                if not self._standing.known:
                    await self._take_first(content)
                elif isinstance(content, bytes):
                    await self._throttle.content(len(content))
                    self._take_chunk(content)
                    await self._window.wait_for_room(self._current)
                elif (message := await self._parsed(content)) is not None:
                    await self._take_message(message, group)
            except TransferError as error:
                self._dismissed = self._dismissed or isinstance(error, Unauthorized)
                await self._throttle.operation()
                await self._refuse(error, begins=isinstance(content, bytes))
            del content  # a thousand that wait for the next one would each keep up to 4 MiB
        for turn in self._replies.turns:
            if turn.operation is not None:
                turn.operation.gone()

    async def _frames(self) -> AsyncIterator[str | bytes]:
        while not self._is_tunnel:
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                self._log.ended(f"closed {message.get('code', 1005)}")
                return
            content: str | bytes | None = message.get("bytes")
            content = message["text"] if content is None else content
            assert content is not None
            if not self._dismissed:
                yield content
            del message, content

    async def _take_first(self, content: str | bytes) -> None:
        """The first frame of a caller who is not known yet. Raises Unauthorized, TooMany."""
        message = None
        with suppress(TransferError):
            message = parse_client_message(content) if isinstance(content, str) else None
        if not isinstance(message, AuthMessage):
            sentence = "this server asks for a token: send it as Authorization: Bearer, or in a first frame auth"
            raise Unauthorized(sentence)
        await self._take_token(message)

    async def _take_token(self, message: AuthMessage) -> None:
        """Another token, or the first. It is answered at once, in the midst of an operation, which goes on. Raises
        Unauthorized, TooMany."""
        known_before = self._standing.known
        try:
            principal = await self._standing.show(message.token.get_secret_value(), message.visitor)
        except StorageError as failed:
            raise refusal(failed) from failed
        if not known_before:
            self._websocket.scope["extensions"][MESSAGE_LIMIT](limits.MAX_MESSAGE_BYTES)
            self._header_deadline.start(self._header_timeout)
        self._log.principal = principal.subject
        answer = AuthorizedMessage(subject=principal.called, expires=principal.expires, ref=message.ref)
        await self._replies.at_once(answer)

    def _take_chunk(self, content: bytes) -> None:
        self._log.bytes += len(content)
        if self._current is None:
            raise BadMessage("a binary frame before a header: send a header first")
        self._window.take(len(content))
        try:
            self._current.chunk(content)
        except TransferError:
            self._window.free(len(content))
            raise

    async def _take_message(self, message: ClientMessage, group: asyncio.TaskGroup) -> None:
        current = self._current
        match message:
            case AuthMessage():
                await self._take_token(message)
            case CancelMessage():
                if current is None:
                    raise BadMessage("cancel without an upload: send a header first")
                current.cancel()
            case EofMessage() if message.upload_id is None or _is_of(current, message.upload_id):
                if current is None:
                    raise BadMessage("eof without an upload: send a header first")
                current.eof(message)
            case TextHeader() | ProxyHeader() | UploadHeader() | EofMessage():
                self._header_deadline.stop()
                await self._take_header(message, group)

    async def _take_header(
        self, header: TextHeader | ProxyHeader | UploadHeader | EofMessage, group: asyncio.TaskGroup
    ) -> None:
        await self._throttle.operation()
        if self._dismissed:  # while this waited
            return
        if self._draining:
            await self._refuse(_shutting_down(header.ref), begins=True)
            return
        match header:
            case TextHeader():
                self._log.mode("text")
                self._log.bytes += len(header.text.encode())
                turn = await self._next_turn(header.ref)
                turn.reply(EchoMessage(text=header.text))
                self._replies.end(turn)
            case ProxyHeader():
                await self._tunnel(header)
            case UploadHeader() | EofMessage():
                await self._begin(header, group)

    async def _begin(self, message: UploadHeader | EofMessage, group: asyncio.TaskGroup) -> None:
        self._log.mode("upload")
        small = isinstance(message, UploadHeader) and is_small(message)
        before = [] if small else list(self._replies.turns)
        turn = await self._next_turn(message.ref)
        operation: SmallUpload | UploadOperation
        if isinstance(message, UploadHeader) and small:
            operation = SmallUpload(self._shared, message, turn.reply)
        else:
            operation = UploadOperation(self._shared, message, turn.reply)
        self._current = turn.operation = operation
        if self._dismissed:
            operation.close()
            self._replies.end(turn)
            return
        if self._draining and operation.open:  # the server was stopped while this waited for its place
            operation.fail(_shutting_down())
        turn.work = group.create_task(self._run(turn, operation, before))

    async def _tunnel(self, header: ProxyHeader) -> None:
        """Once everything before it is over and answered, the connection is a tunnel, or goes on as it was."""
        before = list(self._replies.turns)
        turn = await self._next_turn(header.ref)
        for earlier in before:
            await earlier.over.wait()
        try:
            if self._dismissed:
                raise self._unauthorized()
            async with AsyncExitStack() as stack:
                opening = stack.enter_async_context(
                    self._proxy.opened(header, self._websocket, self._log, self._standing.principal)
                )
                connection = await self._unless_told(opening)
                turn.reply(ready(header, connection))
                self._replies.end(turn)
                await self._replies.all_sent()
                self._is_tunnel = True
                await self._proxy.carry(self._websocket, connection, self._log, self._standing.principal)
        except TransferError as error:
            self._current = refused = Refused(self._shared)
            self._fail(turn, refused, error)
            self._replies.end(turn)

    async def _unless_told(self, work: Coroutine[Any, Any, T]) -> T:
        """Do it, unless the server is stopped, the caller's right ends, or this is cancelled before it is done: then it
        is cancelled too. Raises ShuttingDown, Unauthorized."""
        working, told = asyncio.create_task(work), asyncio.create_task(self._told.wait())
        ended = asyncio.create_task(self._standing.ended.wait())
        try:
            await asyncio.wait([working, told, ended], return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                raise self._unauthorized() if ended.done() else _shutting_down()
            return await working
        finally:
            for task in (working, told, ended):
                task.cancel()
            await asyncio.wait([working, told, ended])

    async def _next_turn(self, ref: int | None) -> Turn:
        """Something begins: leave the operation that may still be open, and queue for the replies."""
        if self._current is not None:
            self._current.leave()
            self._current = None
        return await self._replies.begin(ref)

    async def _parsed(self, text: str) -> ClientMessage | None:
        try:
            message = parse_client_message(text)
            return placed(message, self._standing.principal) if isinstance(message, UploadHeader) else message
        except TransferError as error:
            await self._throttle.operation()
            await self._refuse(error, begins=True)
            return None

    async def _refuse(self, error: TransferError, *, begins: bool) -> None:
        """A frame was refused. Of an operation that is open it is the end. Else it is answered, and where others may
        follow it (it could have been a header, or is of a content) it `begins` an operation whose frames are
        dropped."""
        if self._current is not None and self._current.open and error.ref is None:
            self._current.fail(error)
            return
        turn = await self._next_turn(error.ref) if begins else await self._replies.begin(None)
        refused = Refused(self._shared)
        if begins:
            self._current = refused
        self._fail(turn, refused, error)
        self._replies.end(turn)

    # ------------------------------------------------------------------------------------------------- operations

    async def _run(self, turn: Turn, operation: SmallUpload | UploadOperation, before: list[Turn]) -> None:
        try:
            for earlier in before:
                await earlier.over.wait()
            await operation.run()
        except TransferError as error:
            self._fail(turn, operation, error)
        except StorageError as error:
            self._fail(turn, operation, refusal(error, operation.caller))
        except Exception:
            self._log.logger.exception("a bug ended an operation")
            self._fail(turn, operation, Internal("something went wrong in the server; its log says what"))
        except asyncio.CancelledError:
            operation.close()  # the reader waits until what it holds is gone
            raise
        finally:
            self._replies.end(turn)
            if not self._replies.turns:
                self._window.leave()

    def _fail(self, turn: Turn, operation: Operation, error: TransferError) -> None:
        quotes_the_client = isinstance(error, BadMessage | ProxyDenied | ProxyFailed)
        self._log.refused(error.code, logs.without_quotes(error.message) if quotes_the_client else error.message)
        turn.reply(ErrorMessage.of(error))
        operation.close()

    # ------------------------------------------------------------------------------------------------- endings

    async def _drain_when_told(self) -> None:
        """Wait until the server stops, and then for what is under way: what arrived of an open upload becomes durable
        and is acknowledged, files that arrived whole are published, new headers are refused. Then close."""
        await self._told.wait()
        self._draining = self._replies.draining = True
        for turn in self._replies.turns:
            if turn.operation is not None and turn.operation.open:
                turn.operation.fail(_shutting_down())
        await self._replies.all_sent()
        self._log.ended(ShuttingDown.code)
        await farewell(self._websocket, limits.CLOSE_SHUTTING_DOWN, ShuttingDown.code)

    async def _leave_when_cut(self) -> None:
        """Wait until the caller's right ends. What is durable of their uploads stays, nothing more is published, and
        they hear `unauthorized`."""
        await self._standing.ended.wait()
        if self._is_tunnel:
            return  # which ends by itself, with 1008
        self._dismissed = True
        for turn in self._replies.turns:
            if turn.operation is not None and turn.operation.open:
                turn.operation.fail(self._unauthorized())
        with suppress(TimeoutError):
            async with asyncio.timeout(CUT_SECONDS):
                await self._replies.all_sent()
        for turn in self._replies.turns:
            if turn.work is not None:
                turn.work.cancel()
        await self._replies.send(ErrorMessage.of(self._unauthorized()))

    def _unauthorized(self) -> Unauthorized:
        return Unauthorized(f"{self._standing.reason}: what was acknowledged is safe")


def _shutting_down(ref: int | None = None) -> ShuttingDown:
    error = ShuttingDown("the server is stopping: what was acknowledged is safe, resume when it is back")
    error.ref = ref
    return error


def _is_of(operation: Operation | None, upload_id: str) -> bool:
    """Whether `eof` with this id ends the open operation, and is not one of its own: after a range it is."""
    return isinstance(operation, UploadOperation) and operation.is_whole(upload_id) and operation.open
