"""A server that answers every request in one way, to see what a client makes of it."""

import asyncio
import socket
import ssl
import struct
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

from websockets.utils import accept_key

from tests.tls import Pair
from transfer.protocol import limits


@asynccontextmanager
async def answering(
    status: str, content_type: str, body: bytes, *headers: str, heads: list[str] | None = None
) -> AsyncIterator[str]:
    """It answers so, and closes; yields its URL. The heads of the requests go into `heads`."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        if heads is not None:
            heads.append(request.decode())
        head = [f"HTTP/1.1 {status}", f"Content-Type: {content_type}", f"Content-Length: {len(body)}", *headers]
        writer.write("\r\n".join([*head, "Connection: close", "", ""]).encode() + body)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"


@contextmanager
def leaving(code: int) -> Iterator[str]:
    """It upgrades, closes with a code at once, and resets the connection; in a thread, so that most clients have all of
    it when they look. Yields its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = threading.Thread(target=_leave_each, args=(listening, code))
        serving.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            serving.join()


def _leave_each(listening: socket.socket, code: int) -> None:
    with suppress(OSError):  # it was shut down
        while True:
            connection, _ = listening.accept()
            with connection, connection.makefile("rb") as request:
                lines = iter(request.readline, b"\r\n")
                (key,) = (line.split()[1] for line in lines if line.startswith(b"Sec-WebSocket-Key:"))
                upgraded = (
                    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    f"Sec-WebSocket-Accept: {accept_key(key.decode())}\r\n"
                    f"Sec-WebSocket-Protocol: {limits.PROTOCOL}\r\n\r\n"
                )
                connection.sendall(upgraded.encode() + struct.pack("!BBH", 0x88, 2, code))
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@contextmanager
def closing_first(pair: Pair) -> Iterator[str]:
    """It closes together with the last that it says in the handshake of TLS. Yields its URL."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # after which the client is the first who may speak
    context.load_cert_chain(pair.certificate, pair.key)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = threading.Thread(target=_close_each, args=(listening, context))
        serving.start()
        try:
            yield f"https://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            serving.join()


def _close_each(listening: socket.socket, context: ssl.SSLContext) -> None:
    with suppress(OSError):  # it was shut down
        while True:
            connection, _ = listening.accept()
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = context.wrap_bio(incoming, outgoing, server_side=True)
            with connection:
                while not _taken(tls.do_handshake):
                    connection.sendall(outgoing.read())
                    incoming.write(connection.recv(1 << 16))
                _taken(tls.unwrap)
                connection.sendall(outgoing.read())


def _taken(step: Callable[[], object]) -> bool:
    """Whether it needs nothing more of the other side."""
    try:
        step()
    except ssl.SSLWantReadError:
        return False
    return True
