"""Who is let in at `/ws`, and what all its connections share."""

from starlette.responses import Response
from starlette.websockets import WebSocket

from storage.store import Store
from transfer import logs
from transfer.access.auth import Authenticator, address_of
from transfer.access.principal import NOBODY
from transfer.access.standing import Standing
from transfer.access.watch import Watch
from transfer.budget import ReceiveBudget
from transfer.engine.scope import GONE, MESSAGE_LIMIT
from transfer.pace.rates import Rates, caller_of, piece_of, window_of
from transfer.pace.throttle import Throttle
from transfer.protocol import limits
from transfer.proxy import Proxy
from transfer.session import LOGGER, Session
from transfer.settings import Settings
from transfer.window import Window


class Sessions:
    """Serves `/ws` for an application; what its connections share is here."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        proxy: Proxy,
        authenticator: Authenticator,
        watch: Watch,
        rates: Rates,
    ) -> None:
        self._store = store
        self._rates = rates
        self._settings = settings
        self._proxy = proxy
        self._authenticator = authenticator
        self._watch = watch
        rate = settings.rate_limit_bytes
        self._budget = ReceiveBudget(
            settings.receive_budget_bytes,
            window=window_of(rate, settings.window),
            chunk_size=piece_of(rate, settings.chunk_size),
        )

    async def serve(self, websocket: WebSocket) -> None:
        """One connection, from its upgrade to its end. Raises TransferError before the upgrade."""
        offered = websocket.scope["subprotocols"]
        if offered and limits.PROTOCOL not in offered:
            text = f"this server speaks {limits.PROTOCOL}, which is none of the {len(offered)} offered subprotocols"
            logs.SessionLog(LOGGER, websocket).refused("subprotocol", text)  # browsers put tokens there
            await websocket.send_denial_response(Response(f"{text}\n", 400, media_type="text/plain"))
            return
        principal = await self._authenticator.caller_if_said(websocket)
        self._rates.take_request(caller_of(principal or NOBODY, address_of(websocket)))
        if principal is None:
            websocket.scope["extensions"][MESSAGE_LIMIT](limits.MAX_MESSAGE_BYTES_BEFORE_AUTH)
        await websocket.accept(subprotocol=limits.PROTOCOL if offered else None)
        address, gone = address_of(websocket), websocket.scope["extensions"][GONE]
        with (
            Standing(websocket, self._authenticator, self._watch, principal) as standing,
            Throttle(self._rates, lambda: standing.principal, address, gone) as throttle,
        ):
            window = Window(self._budget)
            await Session(websocket, self._store, self._settings, window, self._proxy, standing, throttle).run()
