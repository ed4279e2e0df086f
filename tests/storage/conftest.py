from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from storage.events import Event
from storage.memory import MemoryStore
from storage.store import Store
from tests.storage.conformance.asking import PENDING_EXPIRY, Kept, ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def take_over_seconds() -> float:
    """Long: no test waits for it. A test that wants another parametrizes it."""
    return 60.0


@pytest.fixture
def max_unfinished_uploads() -> int | None:
    """How many unfinished uploads an owner may have. A test that wants a limit parametrizes it."""
    return None


@pytest.fixture
def told() -> list[Event]:
    """What the store has told so far."""
    return []


@pytest.fixture(params=["memory", "local"])
async def kept(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    clock: ManualClock,
    take_over_seconds: float,
    max_unfinished_uploads: int | None,
    told: list[Event],
) -> AsyncIterator[Kept]:
    """A store, open, that can be closed and opened again: one for each kind there is."""
    memory = MemoryStore(
        pending_expiry=PENDING_EXPIRY,
        take_over_seconds=take_over_seconds,
        max_unfinished_uploads=max_unfinished_uploads,
        clock=clock,
        tell=told.append,
    )

    def make_memory() -> Store:
        memory.lose_unsynced()
        return memory

    def make_local() -> Store:
        from storage.local import LocalStore  # what the other stores need is not loaded for the memory one

        return LocalStore(
            tmp_path / "data",
            pending_expiry=PENDING_EXPIRY,
            take_over_seconds=take_over_seconds,
            min_free_bytes=0,
            max_unfinished_uploads=max_unfinished_uploads,
            clock=clock,
            tell=told.append,
        )

    async with Kept({"memory": make_memory, "local": make_local}[request.param]) as kept:
        yield kept


@pytest.fixture
def store(kept: Kept) -> Store:
    return kept.store
