"""For machines that watch: whether the process lives, and whether it can be given work."""

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from storage.store import Store
from transfer.problems import PROBLEM_RESPONSES
from transfer.protocol.errors import StorageFailure


class Health(BaseModel):
    """All is well."""

    status: Literal["live", "ready"]


def router(store: Store) -> APIRouter:
    """The routes below `/health`."""
    routes = APIRouter(prefix="/health", responses=PROBLEM_RESPONSES)

    @routes.get("/live")
    async def live() -> Health:
        """The process answers. Restart it when it does not."""
        return Health(status="live")

    @routes.get("/ready")
    async def ready() -> Health:
        """Writes are expected to work. 503 when they are not: send nobody here until it is 200 again."""
        if not store.healthy:
            raise StorageFailure("the store cannot write at the moment")
        return Health(status="ready")

    return routes
