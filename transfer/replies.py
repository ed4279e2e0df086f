"""What a session of `/ws` answers: one turn for each operation, sent in the order of the headers."""

import asyncio
from dataclasses import dataclass, field

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketDisconnected

from transfer.engine.farewell import abort, farewell
from transfer.logs import SessionLog
from transfer.protocol import limits
from transfer.protocol.errors import ShuttingDown
from transfer.protocol.messages import ErrorMessage, ProxyReadyMessage, ServerMessage
from transfer.uploads import Operation

Reply = ServerMessage | ProxyReadyMessage


@dataclass(slots=True)
class Turn:
    """An operation's place in the order: its replies, and when it is over."""

    ref: int | None
    replies: "asyncio.Queue[Reply | None]" = field(default_factory=asyncio.Queue)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    operation: Operation | None = None
    work: "asyncio.Task[None] | None" = None

    def reply(self, message: Reply) -> None:
        self.replies.put_nowait(message if self.ref is None else message.model_copy(update={"ref": self.ref}))


class Replies:
    """The turns of one connection that are not over, and whoever sends what is in them."""

    def __init__(self, websocket: WebSocket, log: SessionLog) -> None:
        self._websocket = websocket
        self._log = log
        self._order: asyncio.Queue[Turn] = asyncio.Queue(limits.MAX_UNANSWERED)
        self.turns: list[Turn] = []
        self.draining = False
        """The server stops: others are still to be answered when one hears of it."""

    async def begin(self, ref: int | None) -> Turn:
        """A turn after all others. Waits while too many are unanswered."""
        turn = Turn(ref)
        self.turns.append(turn)
        await self._order.put(turn)
        return turn

    def end(self, turn: Turn) -> None:
        """Nothing more is replied to it."""
        turn.replies.put_nowait(None)
        turn.over.set()
        self.turns.remove(turn)

    async def at_once(self, message: Reply) -> None:
        """Reply to what belongs to no operation, in the midst of the one whose turn it is."""
        if self.turns:
            self.turns[0].replies.put_nowait(message)
        else:
            turn = await self.begin(None)
            turn.reply(message)
            self.end(turn)

    async def all_sent(self) -> None:
        """Until every turn is over and sent."""
        await self._order.join()

    async def send_all(self) -> None:
        """Send until cancelled; once the connection is gone, drop what comes."""
        gone = False
        while True:
            turn = await self._order.get()
            while (message := await turn.replies.get()) is not None:
                gone = gone or not await self.send(message)
            self._order.task_done()

    async def send(self, message: Reply) -> bool:
        """Send it now, and close where its error says so. Returns whether the connection can take more. A farewell to a
        dead peer has half a second: its full socket buffer would hold us for ever."""
        close = message.error.close_code if isinstance(message, ErrorMessage) else None
        if self.draining and close == ShuttingDown.close_code:
            close = None
        try:
            async with asyncio.timeout(None if close is None else limits.FAREWELL_SECONDS):
                await self._websocket.send_text(message.to_json())
        except WebSocketDisconnected:  # closed already, perhaps by ourselves: the peer may still be reading that
            return False
        except (TimeoutError, WebSocketDisconnect):
            abort(self._websocket)
            return False
        if close is None or not isinstance(message, ErrorMessage):
            return True
        self._log.ended(message.error.code)
        await farewell(self._websocket, close, message.error.code)
        return False
