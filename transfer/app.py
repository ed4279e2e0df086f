"""The service as an ASGI application: the only place where its parts are wired together."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from fastapi import FastAPI, WebSocket
from starlette.types import ASGIApp

from storage.errors import StorageError
from storage.local import LocalStore
from storage.store import Store
from transfer import __version__, files, health, pages, problems, unfinished
from transfer.access import login
from transfer.access.attempts import FailedAttempts
from transfer.access.auth import Authenticator, NoTokenInUrl, Verifier
from transfer.access.jwt_settings import JwtSettings
from transfer.access.watch import Watch
from transfer.echo import Echo
from transfer.edge.cross_origin import CrossOrigin
from transfer.edge.forwarded import Forwarded
from transfer.edge.hosts import EVENTS_PATH, HostGuard
from transfer.events.feed import Feed
from transfer.events.routes import Events
from transfer.grants import request_routes, share_routes, shared_downloads, token_routes
from transfer.grants.passwords import Passwords
from transfer.grants.shared_downloads import Links
from transfer.pace.pacing import Clock, LoopClock
from transfer.pace.rates import Rates
from transfer.protocol.errors import NotFound
from transfer.proxy import Proxy
from transfer.sessions import Sessions
from transfer.settings import Settings

EXPIRY_SECONDS: Final = 60.0
logger = logging.getLogger("towline.app")


def create_app(settings: Settings, clock: Clock | None = None) -> FastAPI:
    """The service with these settings; `app.state.store` is its store. The lifespan opens it: StoreRefused. Rates and
    penalties go by `clock`, by default that of the loop. Raises WrongSetting for keys that cannot be read."""
    feed = Feed(settings.max_event_streams)
    store = LocalStore(
        settings.data,
        tell=feed.tell,
        pending_expiry=settings.pending_expiry,
        take_over_seconds=settings.take_over_seconds,
        min_free_bytes=settings.min_free_bytes,
        max_unfinished_uploads=settings.max_unfinished_uploads,
    )

    clock = clock or LoopClock()
    verifier = None if settings.jwt is None else _jwt_verifier(settings.jwt)
    attempts = FailedAttempts(clock)
    authenticator, watch = Authenticator(store, verifier=verifier, failed=attempts.failed), Watch(store)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with store, expiring(store), watch.running():
            yield

    app = _Service(
        settings,
        title="Towline",
        description="Moves files over one WebSocket and never starts over.",
        version=__version__,
        lifespan=lifespan,
        redirect_slashes=False,
        docs_url=None,  # its pages load scripts from elsewhere
        redoc_url=None,
    )
    app.state.store = store
    app.state.authenticator = authenticator
    rates = app.state.rates = Rates(settings, clock)
    app.include_router(files.router(store, watch, rates))
    app.include_router(unfinished.router(store))
    app.include_router(login.router(store, authenticator))
    app.include_router(token_routes.router(store))
    passwords = Passwords()
    app.include_router(share_routes.router(store, passwords))
    app.include_router(request_routes.router(store))
    app.include_router(shared_downloads.router(Links(store, attempts, passwords), watch, rates))
    app.include_router(health.router(store))
    app.include_router(pages.router())
    proxy = Proxy(settings.proxy, authenticator, watch, rates)
    app.add_api_websocket_route("/ws", Sessions(store, settings, proxy, authenticator, watch, rates).serve)
    app.add_api_websocket_route("/proxy/{upstream}", proxy.serve)
    events = Events(feed, authenticator, watch, rates)
    app.include_router(events.router())
    app.add_api_websocket_route(EVENTS_PATH, events.serve)
    app.add_api_websocket_route("/echo", Echo(authenticator, watch, rates).serve)
    app.add_api_websocket_route("/{path:path}", no_such_endpoint)
    app.add_middleware(NoTokenInUrl)
    problems.install(app)
    return app


def _jwt_verifier(settings: JwtSettings) -> Verifier:
    from transfer.access.jwt_tokens import JwtVerifier  # 10 MiB of cryptography, for servers that need it

    return JwtVerifier(settings)


class _Service(FastAPI):
    """FastAPI, and around all of it what every request passes first. FastAPI's own middleware would be inside of what
    answers for bugs, so that those answers would lack the headers that a page needs to read them."""

    def __init__(self, settings: Settings, **options: Any) -> None:
        super().__init__(**options)
        self._settings = settings

    def build_middleware_stack(self) -> ASGIApp:
        settings = self._settings
        shared = CrossOrigin(super().build_middleware_stack(), settings.allowed_origins)
        guarded = HostGuard(
            shared,
            loopback=settings.is_loopback,
            allowed_origins=settings.allowed_origins,
            allowed_hosts=settings.allowed_hosts,
        )
        return Forwarded(guarded, settings.forwarded_peers)


async def no_such_endpoint(websocket: WebSocket) -> None:
    """A WebSocket to a path that has none is refused before the upgrade, like any other request."""
    raise NotFound(f"there is no WebSocket at {problems.shown_path(websocket)}")


@asynccontextmanager
async def expiring(store: Store, interval: float = EXPIRY_SECONDS) -> AsyncIterator[None]:
    """Drop silent uploads from time to time while entered."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(_expire(store, interval))
        try:
            yield
        finally:
            task.cancel()


async def _expire(store: Store, interval: float) -> None:
    while True:
        try:
            dropped = await store.expire()
        except StorageError as failed:
            logger.error("silent uploads could not be dropped, the next try is in %.0f s: %s", interval, failed)
        else:
            if dropped:
                logger.info("dropped %d silent uploads", dropped)
        await asyncio.sleep(interval)
