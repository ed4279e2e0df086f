"""Runs the service in this process: binds the port, says where it listens, stops without losing an answer.

Refusals are one sentence on stderr and an exit code: 2 for what the operator wrote, 1 for what the machine said.
"""

import asyncio
import gc
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.loops.auto import auto_loop_factory

from storage.errors import StoreRefused
from storage.granting import tokens_were_made
from transfer import logs
from transfer.app import create_app
from transfer.descriptors import connections_that_fit, raise_descriptor_limit
from transfer.edge.certificate import CertificateRefused, ServerCertificate
from transfer.engine.config import ConnectionLimits, EngineConfig
from transfer.engine.http import HttpProtocol
from transfer.engine.tls import TlsProtocol
from transfer.engine.websocket import WebSocketProtocol
from transfer.protocol.allocator import keep_freed_memory
from transfer.protocol.limits import FAREWELL_SECONDS, MAX_MESSAGE_BYTES
from transfer.settings import Settings, WrongSetting

BACKLOG: Final = 2048
STOPPING: Final = (signal.SIGTERM, signal.SIGINT)
STEP_SECONDS: Final = 0.02
AFTER_ABORT_SECONDS: Final = 2.0
PING_SECONDS: Final = 20.0
"""Links cut what is idle; 60 s is common."""
logger = logs.logger("towline.server")


def serve(settings: Settings) -> int:
    """Serve until SIGTERM or Ctrl-C. Returns the exit code of the process."""
    logs.configure(settings.log_format, settings.log_level)
    try:
        if settings.is_reached_by_others and not settings.insecure and not _asks_who_it_is(settings):
            where = "what forwarded_peers are in front of" if settings.is_loopback else settings.host
            return _refuse(
                2,
                f"{where} can be reached by other machines, and nobody has to prove who they are: make a token first,"
                f" with towline token create SUBJECT --data {settings.data}; or listen on 127.0.0.1 alone; or say"
                " --insecure if that is meant",
            )
        certificate = certificate_of(settings)
    except (StoreRefused, CertificateRefused) as refused:
        return _refuse(1, str(refused))
    try:
        listener = open_listener(settings.host, settings.port)
    except OSError as failed:
        return _refuse(1, f"cannot listen on {settings.host} port {settings.port}: {(failed.strerror or '').lower()}")
    with listener:
        keep_freed_memory()
        raise_descriptor_limit()
        try:
            with asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
                runner.run(_serve_until_told(settings, listener, certificate))
        except WrongSetting as wrong:
            return _refuse(2, str(wrong))
        except StoreRefused as refused:
            return _refuse(1, str(refused))
    return 0


def _asks_who_it_is(settings: Settings) -> bool:
    """Whether clients will have to show a token. Raises StoreRefused."""
    return settings.jwt is not None or tokens_were_made(settings.data)


async def _serve_until_told(settings: Settings, listener: socket.socket, certificate: ServerCertificate | None) -> None:
    """Serve, from the store's recovery to its closing. Raises StoreRefused."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in STOPPING:
        loop.add_signal_handler(number, told.set)
    loop.add_signal_handler(signal.SIGHUP, _reload, certificate)
    warn_of_readers(settings)
    async with serving(
        create_app(settings),
        listener,
        drain_timeout=settings.drain_timeout,
        connection_limits=limits_of(settings),
        certificate=certificate,
    ):
        _spare_what_stays()
        print(f"listening on {url_of(listener, tls=certificate is not None)}", flush=True)
        await told.wait()
        began = loop.time()
        for number in STOPPING:
            _end_at_once_on(number)
        logger.info("stopping", drain_timeout=settings.drain_timeout)
    logger.info("stopped", seconds=round(loop.time() - began, 3))


def _end_at_once_on(number: signal.Signals) -> None:
    """Whoever says it a second time means it, even where a disk holds us up. What was acknowledged is safe, as after
    any crash; the exit code is the signal's."""
    asyncio.get_running_loop().remove_signal_handler(number)
    signal.signal(number, signal.SIG_DFL)


def certificate_of(settings: Settings) -> ServerCertificate | None:
    """What the server proves itself with, where it speaks TLS. Raises CertificateRefused."""
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    return ServerCertificate(settings.tls_cert, settings.tls_key)


def _reload(certificate: ServerCertificate | None) -> None:
    """SIGHUP. Connections that are open go on with what they have."""
    if certificate is None:
        logger.info("nothing to reload: there is no certificate")
        return
    try:
        expires = certificate.load()
    except CertificateRefused as refused:
        logger.error("the certificate was not reloaded, the old one stays", reason=str(refused))
    else:
        logger.info("reloaded the certificate", expires=expires.isoformat())


def warn_of_readers(settings: Settings) -> None:
    """Once, where what is sent goes through networks as it is."""
    if not (settings.is_loopback or settings.tls_cert or settings.forwarded_peers):
        logger.warning(
            "without TLS, whoever is on the way can read what is sent, tokens too: set tls_cert and tls_key, or"
            " forwarded_peers where a proxy in front of this server speaks TLS"
        )


def limits_of(settings: Settings) -> ConnectionLimits:
    """What each connection may take, and how many connections fit into what the system allows."""
    fitting = connections_that_fit()
    if fitting < settings.max_connections:
        logger.warning("%d connections at most: the system allows no more open files", fitting)
    return ConnectionLimits(
        handshake_timeout=settings.handshake_timeout,
        max_head_bytes=settings.max_head_bytes,
        max_head_fields=settings.max_head_fields,
        message_timeout=settings.message_timeout,
        min_upload_rate=settings.min_upload_rate,
        max_connections=min(settings.max_connections, fitting),
        max_connections_per_address=settings.max_connections_per_address,
        forwarded_peers=settings.forwarded_peers,
        connection_rate=settings.connection_rate,
        connection_burst=settings.connection_burst,
    )


@asynccontextmanager
async def serving(
    app: FastAPI,
    listener: socket.socket,
    *,
    drain_timeout: float,
    ping_interval: float = PING_SECONDS,
    ping_timeout: float = PING_SECONDS,
    connection_limits: ConnectionLimits | None = None,
    certificate: ServerCertificate | None = None,
) -> AsyncIterator["Server"]:
    """Serve `app` on a listening socket while entered, its lifespan around it, over TLS where there is a certificate.
    Closes the socket."""
    config = EngineConfig(
        _Quiet(app),
        connection_limits or ConnectionLimits(),
        tls=None if certificate is None else lambda: certificate.context,
        http=HttpProtocol if certificate is None else TlsProtocol,
        ws=WebSocketProtocol,
        ws_max_size=MAX_MESSAGE_BYTES,
        ws_per_message_deflate=False,
        ws_ping_interval=ping_interval,
        ws_ping_timeout=ping_timeout,
        interface="asgi3",
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        workers=1,
    )
    server = Server(config, drain_timeout)
    async with app.router.lifespan_context(app), asyncio.TaskGroup() as group:
        group.create_task(server.serve(sockets=[listener]))
        await server.accepting.wait()
        try:
            yield server
        finally:
            server.stop()


class Server(uvicorn.Server):
    """uvicorn's server, told by events instead of by polling, and ending whatever its clients do."""

    def __init__(self, config: uvicorn.Config, drain_timeout: float) -> None:
        super().__init__(config)
        self.accepting = asyncio.Event()
        """Set once connections are accepted."""
        self._drain_timeout = drain_timeout
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Take no more connections, and end when those that are there have ended."""
        self._stopping.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the caller's."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.accepting.set()

    async def main_loop(self) -> None:
        while not self._stopping.is_set():
            await self.on_tick(0)  # the Date header
            try:
                async with asyncio.timeout(1.0):
                    await self._stopping.wait()
            except TimeoutError:
                pass

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Sessions end what is under way, other WebSockets are closed with 1012, requests may finish; what takes longer
        than `drain_timeout` is cut off."""
        for listener in self.servers:
            listener.close()
        for listening in sockets or []:
            listening.close()
        if await self._ended_within(self._drain_timeout):
            return
        state = self.server_state
        logger.warning("cut off", connections=len(state.connections), drain_timeout=self._drain_timeout)
        if await self._closed_for_restart():
            return
        for connection in list(state.connections):
            connection.transport.abort()
        if not await self._ended_within(AFTER_ABORT_SECONDS):
            for task in list(state.tasks):
                task.cancel()
            await self._ended_within(AFTER_ABORT_SECONDS)

    async def _closed_for_restart(self) -> bool:
        """Close the WebSockets that are left, whatever they are at. Returns whether that was the end."""
        for connection in list(self.server_state.connections):
            if isinstance(connection, WebSocketProtocol):
                connection.close_for_restart()
        return await self._ended_within(FAREWELL_SECONDS)

    async def _ended_within(self, seconds: float) -> bool:
        """Ask all connections to end, newcomers too. Returns whether they have."""
        state = self.server_state
        try:
            async with asyncio.timeout(seconds):
                while state.connections or state.tasks:
                    for connection in list(state.connections):
                        connection.shutdown()
                    await asyncio.sleep(STEP_SECONDS)
        except TimeoutError:
            return not (state.connections or state.tasks)
        return True


class _Quiet:
    """ASGI middleware, outermost: a request that was cancelled at the end is no bug, and needs no traceback."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except asyncio.CancelledError:
            logger.warning("a request did not end in time")


def open_listener(host: str, port: int) -> socket.socket:
    """A socket that listens on `host`, IPv4 where it has both. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, kind, protocol, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


def url_of(listener: socket.socket, *, tls: bool = False) -> str:
    """Where a client on this machine finds it."""
    host, port = listener.getsockname()[:2]
    scheme = "https" if tls else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _spare_what_stays() -> None:
    """Have the garbage collector pass over all that was loaded, which takes it a tenth of a second each time, and come
    less often: what is in flight for one client alone is tens of thousands of objects, none of them garbage."""
    gc.freeze()
    gc.set_threshold(10_000)


def _refuse(exit_code: int, sentence: str) -> int:
    print(f"towline: {sentence}", file=sys.stderr)
    return exit_code
