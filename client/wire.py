"""One WebSocket to a server: messages out, messages in. The only module that imports websockets."""

import logging
import os
import secrets
import socket
import struct
from asyncio.trsock import TransportSocket
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from ssl import SSLContext
from typing import Final, TypeVar

from pydantic import SecretStr
from websockets.asyncio.client import ClientConnection, connect
from websockets.client import backoff as _backoff
from websockets.client import process_exception
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
from websockets.frames import CloseCode, Opcode
from websockets.frames import apply_mask as masked  # type: ignore[attr-defined]
from websockets.protocol import State
from websockets.typing import Subprotocol

from client.congestion import Congestion, CongestionChoice, choose_congestion, round_trip_of
from client.credentials import Credentials, without_token
from client.errors import CannotConnect, ConnectionBroken, TunnelClosed
from client.problem import MAX_PROBLEM_BYTES, PROBLEM, media_type, read_problem, seconds_of
from client.progress import Connected
from client.server_url import websocket_url
from client.tcp_info import TcpInfo, tcp_info
from client.tls import tls_refusal
from transfer.protocol import limits
from transfer.protocol.errors import Superseded, TransferError, Unauthorized
from transfer.protocol.messages import (
    AuthMessage,
    AuthorizedMessage,
    ErrorMessage,
    Message,
    ProxyAnswer,
    ServerMessage,
    parse_proxy_answer,
    parse_server_message,
)

OPEN_SECONDS = 10.0
PING_SECONDS = 10.0
PONG_SECONDS = 60.0
"""A server whose disk or processor is busy for half a minute is not gone; a network that is, the system notices."""
STALL_SECONDS = 30.0
"""The network has taken nothing for so long: the connection is gone."""
LENGTH_IN_64_BITS: Final = 1 << 16
"""From here on the length of a frame takes so many (RFC 6455, section 5.2): no matter of choice."""
logger = logging.getLogger("towline.client.wire")
logger.addHandler(logging.NullHandler())
logger.addFilter(lambda record: record.levelno > logging.DEBUG)
"""What websockets tells at DEBUG has the heads of requests and the beginnings of frames: tokens."""
NO_UPGRADE_STATUSES: Final = frozenset([200, 404, 426])
"""What a request is answered with that arrived as no upgrade: a Towline server has nothing else at `/ws`."""
LOOK_CLOSER: Final = (
    "it is no Towline server, or a proxy before it passes no WebSockets on; `towline doctor` looks closer"
)
BUSY_STATUSES: Final = frozenset([408, 425, 429])
"""A request that came too early, too slowly or too often."""


Answer = TypeVar("Answer", ServerMessage, ProxyAnswer)


def delays() -> Iterator[float]:
    """websockets' own reconnection delays, in seconds, for people who wait: from half a second to half a minute."""
    return _backoff(initial_delay=0.5, min_delay=0.5, max_delay=30.0)


class _Connection(ClientConnection):
    """Leaves as soon as the server has: asyncio's transport would first send what it holds, to nobody, for ever; and
    once it had, aborting it, as websockets does, raises AttributeError."""

    def eof_received(self) -> None:
        super().eof_received()
        self.transport.abort()

    def send_data(self) -> None:
        """Many frames in one write. Of two parts the loop makes one, or they cost little beside the second."""
        writes = self.protocol.writes
        if len(writes) > 2 and all(writes):  # an empty one stands for the end
            writes[:] = [b"".join(writes)]
        super().send_data()


class _Connect(connect):
    """Follows no redirect: what is sent is for the server that was named, its token above all."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


class Wire:
    """An open connection. Its methods raise ConnectionBroken when it is gone, Superseded when it was taken over,
    TokenRefused when the token in use is not good any more."""

    def __init__(
        self,
        connection: ClientConnection,
        credentials: Credentials,
        token: SecretStr | None,
        *,
        congestion: CongestionChoice = "system",
    ) -> None:
        self._connection = connection
        self._credentials = credentials
        self._token = token
        self._socket = _socket_of(connection)
        self._congestion = (
            Congestion(None)
            if self._socket is None
            else choose_congestion(self._socket, connection.remote_address[0], congestion)
        )

    def connected(self, name: str, *, connections: int = 1) -> Connected:
        """What there is to say of it to whoever follows the upload of `name`, which has so many by now."""
        return Connected(
            name=name,
            connections=connections,
            congestion=self._congestion.name,
            reason=self._congestion.reason,
            round_trip=None if self._socket is None else round_trip_of(self._socket),
        )

    @property
    def bears_losses(self) -> bool:
        """Whether its sender keeps its rate through single losses."""
        return self._congestion.bears_losses

    def tcp_info(self) -> TcpInfo | None:
        """How the network takes what is sent; None where the system does not tell."""
        return None if self._socket is None else tcp_info(self._socket)

    async def keep_authorized(self) -> None:
        """Present the newest token, where it is another one than that in use: to be called now and then."""
        newest = await self._credentials.current()
        if self._token is not None and newest is not None and newest != self._token:
            self._token = newest
            await self.send(AuthMessage(token=newest))

    async def send(self, message: Message) -> None:
        await self.send_frame(message.to_json())

    async def send_frame(self, frame: str | bytes) -> None:
        """A text or a binary one. Returns when the socket has taken it: a slow network slows the sender."""
        await self.send_frames([frame])

    async def send_frames(self, frames: Iterable[str | bytes]) -> None:
        """One after another, small ones in one write: what each costs a system call is more than what it costs to make
        it. Returns when the socket has taken them."""
        protocol = self._connection.protocol
        try:
            async with self._connection.send_context():
                for frame in frames:
                    if isinstance(frame, str):
                        protocol.send_text(frame.encode())
                    elif len(frame) < LENGTH_IN_64_BITS:
                        protocol.send_binary(frame)
                    else:
                        protocol.writes += _long_frame(frame)
        except ConnectionClosed as closed:
            raise self._broken(closed) from None

    async def receive(self) -> ServerMessage:
        """The next message. Cancelling it loses nothing. Raises BadMessage for what is not of the protocol."""
        while isinstance(message := parse_server_message(await self.receive_text()), AuthorizedMessage):
            pass  # as it was to be
        return self._checked(message)

    async def receive_proxy_answer(self) -> ProxyAnswer:
        """As `receive`, where a `proxy` header is to be answered."""
        return self._checked(parse_proxy_answer(await self.receive_text()))

    def _checked(self, message: Answer) -> Answer:
        error = message.error if isinstance(message, ErrorMessage) else None
        if isinstance(error, Unauthorized):
            raise self._credentials.refused(error, self._token)
        return message

    async def receive_text(self) -> str:
        """The next text frame, whatever it is. Cancelling it loses nothing."""
        try:
            return await self._connection.recv(decode=True)
        except ConnectionClosed as closed:
            raise self._broken(closed) from None

    async def send_through(self, message: str | bytes) -> None:
        """A message for the other end of a tunnel. Returns when the socket has taken it. Raises TunnelClosed."""
        try:
            await self._connection.send(message)
        except ConnectionClosed as closed:
            raise _ending(closed) from None

    async def receive_through(self) -> str | bytes:
        """The next message from the other end. Cancelling it loses nothing. Raises TunnelClosed."""
        try:
            return await self._connection.recv()
        except ConnectionClosed as closed:
            raise _ending(closed) from None

    @property
    def is_open(self) -> bool:
        """Whether neither side has begun to close it, as far as this one has heard."""
        return self._connection.state is State.OPEN

    async def close(self, code: int = CloseCode.NORMAL_CLOSURE, reason: str = "") -> None:
        """Close, and wait until the server has."""
        await self._connection.close(code, reason)

    def _broken(self, closed: ConnectionClosed) -> ConnectionBroken | TransferError:
        frame = closed.rcvd
        if frame is not None and frame.code == limits.CLOSE_SUPERSEDED:
            return Superseded("another connection has taken this upload over")
        if frame is not None and frame.code == Unauthorized.close_code:  # the frame that said why was not read
            return self._credentials.refused(Unauthorized("the server takes the token no longer"), self._token)
        return ConnectionBroken(f"connection closed: {frame.reason or frame.code}" if frame else "connection lost")


def _long_frame(payload: bytes) -> tuple[bytes, bytes]:
    """A binary frame of LENGTH_IN_64_BITS or more as a client sends it (RFC 6455, sections 5.2 and 5.3), in two parts:
    websockets would copy the payload once more to put its head before it."""
    mask = secrets.token_bytes(4)
    head = struct.pack("!BBQ4s", 0x80 | Opcode.BINARY, 0x80 | 127, len(payload), mask)
    return head, masked(payload, mask)


def _ending(closed: ConnectionClosed) -> TunnelClosed:
    frame = closed.rcvd
    return TunnelClosed(frame.code, frame.reason) if frame is not None else TunnelClosed(CloseCode.ABNORMAL_CLOSURE, "")


Opener = Callable[[], AbstractAsyncContextManager[Wire]]


@asynccontextmanager
async def open_wire(
    server: str,
    credentials: Credentials | None = None,
    *,
    tls: SSLContext | None = None,
    max_size: int = limits.MAX_REPLY_BYTES,
    congestion: CongestionChoice = "system",
    path: str = "/ws",
    ping_seconds: float | None = PING_SECONDS,
    query: str = "",
) -> AsyncIterator[Wire]:
    """Connect to a server, for messages of at most `max_size` bytes; without `tls`, one with TLS has to be one that the
    system trusts. Raises ConnectionBroken when trying again may help, else CannotConnect; and the server's own refusal,
    which may be `retryable`: TokenRefused, TooMany."""
    url = websocket_url(server, path, query)
    credentials = credentials or Credentials(server, without_token(server))
    token = await credentials.current()
    try:
        connection = await _Connect(
            url,
            additional_headers=credentials.presented(token),
            ssl=tls or (True if url.startswith("wss:") else None),
            subprotocols=[Subprotocol(limits.PROTOCOL)] if path == "/ws" else None,
            compression=None,
            max_size=max_size,
            open_timeout=OPEN_SECONDS,
            ping_interval=ping_seconds,
            ping_timeout=PONG_SECONDS,
            close_timeout=2,
            proxy=None,
            logger=logger,
            process_exception=process_exception,
            create_connection=_Connection,
        )
    except InvalidStatus as answered:
        error = _refusal(server, answered)
        raise credentials.refused(error, token) if isinstance(error, Unauthorized) else error from None
    except ConnectionClosed:
        raise ConnectionBroken("the connection was closed before it was open") from None
    except (OSError, TimeoutError, InvalidHandshake, InvalidURI) as failed:
        if (refused := tls_refusal(failed)) is not None:
            raise CannotConnect(server, refused) from None
        if process_exception(failed) is None:
            raise ConnectionBroken(_reason(failed)) from None
        raise CannotConnect(server, _reason(failed)) from None
    _notice_stalls(connection)
    try:
        yield Wire(connection, credentials, token, congestion=congestion)
    finally:
        await connection.close()


def _notice_stalls(connection: ClientConnection) -> None:
    """Pings do not come through behind a send that does not return, so the system has to tell of a network that takes
    nothing any more, where it can (tcp(7))."""
    option: int | None = getattr(socket, "TCP_USER_TIMEOUT", None)
    if option is not None and (open_socket := _socket_of(connection)) is not None:
        open_socket.setsockopt(socket.IPPROTO_TCP, option, int(STALL_SECONDS * 1_000))


def _socket_of(connection: ClientConnection) -> TransportSocket | None:
    """None of a connection that is gone already: `receive` says what a server said that left as soon as it came."""
    transport = connection.transport
    if transport.is_closing() or transport.get_extra_info("peername") is None:
        return None
    found: TransportSocket = transport.get_extra_info("socket")
    return found


def _refusal(server: str, refused: InvalidStatus) -> TransferError | ConnectionBroken | CannotConnect:
    """What a server that did not upgrade has said."""
    status, headers, body = refused.response.status_code, refused.response.headers, refused.response.body or b""
    if status in NO_UPGRADE_STATUSES:
        return CannotConnect(server, f"it answered HTTP {status} instead of opening a WebSocket: {LOOK_CLOSER}")
    if media_type(headers.get("Content-Type")) == PROBLEM and len(body) <= MAX_PROBLEM_BYTES:
        error = read_problem(body, retry_after=headers.get("Retry-After"))
        if error is not None:
            return error
    if 300 <= status < 400 and "Location" in headers:
        return CannotConnect(server, f"it redirects to {headers['Location']}: give that instead")
    reason = f"it answered HTTP {status}"
    if process_exception(refused) is None or status in BUSY_STATUSES:
        return ConnectionBroken(reason, retry_after=seconds_of(headers.get("Retry-After")) or 0.0)
    return CannotConnect(server, reason)


def _reason(failed: Exception) -> str:
    if isinstance(failed, TimeoutError):
        return "no answer in time"
    if isinstance(failed, OSError) and failed.errno is not None and failed.errno > 0:
        return os.strerror(failed.errno).lower()
    return str(failed)
