"""Who may do what with what is Alice's: the table of docs/security.md, cell by cell, on a real server."""

import itertools
from dataclasses import replace
from datetime import timedelta
from typing import Final, NamedTuple, get_args

import pytest

from storage.local import LocalStore
from storage.store import utc_now
from tests.end_to_end.conftest import Service
from tests.end_to_end.matrix import ATTEMPTS, Scene, alices
from tests.server import CHECKOUT
from tests.tokens import bearer, token_for
from transfer.access.principal import SCOPES, Principal, Scope
from transfer.grants.issuing import new_request, new_share
from transfer.protocol.names import Name

DOCUMENT: Final = CHECKOUT / "docs" / "security.md"
USUAL: Final = SCOPES - {"admin"}
ALICE: Final = Principal(subject="alice", scopes=USUAL)


class Cell(NamedTuple):
    """One attempt of the table."""

    operation: str
    scope: str
    who: str
    outcome: str


def table() -> list[Cell]:
    """The cells that say something."""
    lines = DOCUMENT.read_text().partition("| operation | scope |")[2].partition("\n\n")[0].splitlines()
    columns = [cell.strip() for cell in lines[0].strip("|").split("|")]
    cells = []
    for line in lines[2:]:
        operation, scope, *outcomes = (cell.strip() for cell in line.strip("|").split("|"))
        cells += [
            Cell(operation, scope.strip("`"), who, outcome)
            for who, outcome in zip(columns, outcomes, strict=True)
            if outcome
        ]
    return cells


TABLE: Final = table()


class World:
    """A server, on which Alice has something new for each attempt."""

    def __init__(self, store: LocalStore, port: int) -> None:
        self.store = store
        self._port = port
        self._numbers = itertools.count()

    async def scene(self, cell: Cell) -> Scene:
        scene = await alices(self.store, self._port, next(self._numbers))
        return replace(scene, headers=await self._shown_by(cell))

    async def _shown_by(self, cell: Cell) -> dict[str, str]:
        store = self.store
        match cell.who:
            case "Alice":
                secret = await token_for(store, "alice", USUAL)
            case "Bob":
                secret = await token_for(store, "bob", USUAL)
            case "prefix":
                secret = await token_for(store, "carol", USUAL, prefix="elsewhere/")
            case "scope":
                secret = await token_for(store, "bob", USUAL - {_scope(cell.scope)})
            case "nobody":
                return {}
            case "expired":
                secret = await token_for(store, "alice", USUAL, lasts=timedelta(0))
            case "revoked":
                secret = await token_for(store, "alice", USUAL)
                await store.grants.revoke(secret.grant_id)
            case "admin":
                secret = await token_for(store, "root", ["admin"])
            case "share":
                secret, grant = new_share(ALICE, "0" * 32, now=utc_now())
                await store.grants.add(grant)
            case "visitor":
                secret, grant = new_request(ALICE, now=utc_now())
                await store.grants.add(grant)
            case _:
                raise AssertionError(f"nobody is called {cell.who}")
        return bearer(secret)


def _scope(text: str) -> Scope:
    return next(scope for scope in get_args(Scope) if scope == text)


@pytest.fixture
async def world(service: Service) -> World:
    await token_for(service.store, "whoever")  # so that everybody has to show one
    return World(service.store, service.port)


def rows(*outcomes: str) -> dict[str, list[Cell]]:
    """The cells of each operation, of those with these outcomes if any are named."""
    wanted = [cell for cell in TABLE if not outcomes or cell.outcome in outcomes]
    by_operation = itertools.groupby(wanted, lambda cell: cell.operation)
    return {operation: list(cells) for operation, cells in by_operation}


@pytest.mark.parametrize("operation", rows())
async def test_everybody_gets_what_the_table_says(world: World, operation: str) -> None:
    cells = rows()[operation]
    outcomes = {cell.who: await ATTEMPTS[operation](await world.scene(cell)) for cell in cells}
    assert outcomes == {cell.who: cell.outcome for cell in cells}


def test_the_table_has_every_operation_and_no_other() -> None:
    assert [cell.operation for cell in TABLE if cell.who == "Alice"] == list(ATTEMPTS)


@pytest.mark.parametrize("operation", rows("not_found", "empty"))
async def test_what_is_not_theirs_looks_to_the_byte_like_what_is_not_there(world: World, operation: str) -> None:
    for cell in rows("not_found", "empty")[operation]:
        scene = await world.scene(cell)
        await ATTEMPTS[operation](scene)
        there = b"".join(scene.heard)
        scene.heard.clear()
        await world.store.delete(Name.parse(scene.file))
        await world.store.cancel(scene.upload_id, "alice")
        await ATTEMPTS[operation](scene)
        assert there, cell
        assert b"".join(scene.heard) == there, cell
