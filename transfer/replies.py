"""What a session of `/ws` answers: one turn for each operation, sent in the order of the headers."""

import asyncio
from collections import deque
from contextlib import nullcontext
from dataclasses import dataclass, field

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketDisconnected

from transfer.engine.farewell import abort, farewell
from transfer.logs import SessionLog
from transfer.operation import Operation
from transfer.protocol import limits
from transfer.protocol.errors import ShuttingDown
from transfer.protocol.messages import ErrorMessage, ProxyReadyMessage, ServerMessage

Reply = ServerMessage | ProxyReadyMessage


@dataclass(slots=True, eq=False)
class Turn:
    """An operation's place in the order: its replies, and when it is over."""

    ref: int | None
    something: asyncio.Event
    """Set when there may be something to send, in whichever turn."""
    replies: deque[Reply] = field(default_factory=deque)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    operation: Operation | None = None
    work: "asyncio.Task[None] | None" = None

    def reply(self, message: Reply) -> None:
        self.replies.append(message if self.ref is None else message.model_copy(update={"ref": self.ref}))
        self.something.set()


class Replies:
    """The turns of one connection that are not over, and whoever sends what is in them."""

    def __init__(self, websocket: WebSocket, log: SessionLog) -> None:
        self._websocket = websocket
        self._log = log
        self._order: deque[Turn] = deque()
        """The turns that were not sent to their ends."""
        self._something = asyncio.Event()
        self._sent = asyncio.Event()
        self.turns: list[Turn] = []
        self.draining = False
        """The server stops: others are still to be answered when one hears of it."""

    async def begin(self, ref: int | None) -> Turn:
        """A turn after all others. Waits while too many are unanswered."""
        turn = Turn(ref, self._something)
        self.turns.append(turn)
        while len(self._order) >= limits.MAX_UNANSWERED:
            await self._one_more_sent()
        self._order.append(turn)
        return turn

    def end(self, turn: Turn) -> None:
        """Nothing more is replied to it."""
        turn.over.set()
        turn.operation = None  # which replies to its turn: as a cycle, thousands would wait for a garbage collection
        self.turns.remove(turn)
        self._something.set()

    async def at_once(self, message: Reply) -> None:
        """Reply to what belongs to no operation, in the midst of the one whose turn it is."""
        if self.turns:
            self.turns[0].replies.append(message)
            self._something.set()
        else:
            turn = await self.begin(None)
            turn.reply(message)
            self.end(turn)

    async def all_sent(self) -> None:
        """Until every turn is over and sent."""
        while self._order:
            await self._one_more_sent()

    async def _one_more_sent(self) -> None:
        self._sent.clear()
        await self._sent.wait()

    async def send_all(self) -> None:
        """Send until cancelled; once the connection is gone, drop what comes."""
        gone = False
        while True:
            turn = self._order[0] if self._order else None
            if turn is not None and turn.replies:
                message = turn.replies.popleft()
                gone = gone or not await self.send(message)
            elif turn is not None and turn.over.is_set():
                self._order.popleft()
                self._sent.set()
            else:
                self._something.clear()
                await self._something.wait()

    async def send(self, message: Reply) -> bool:
        """Send it now, and close where its error says so. Returns whether the connection can take more. A farewell to a
        dead peer has half a second: its full socket buffer would hold us for ever."""
        close = message.error.close_code if isinstance(message, ErrorMessage) else None
        if self.draining and close == ShuttingDown.close_code:
            close = None
        try:
            async with nullcontext() if close is None else asyncio.timeout(limits.FAREWELL_SECONDS):
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
