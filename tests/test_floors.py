"""The floors do not mix at run time either: import-linter does not see what a package's `__init__` drags in."""

import json
import subprocess
import sys

import pytest

from tests.server import CHECKOUT

PURE = ("transfer.protocol.sender", "transfer.protocol.receiver", "transfer.protocol.messages")
STORED = {"transfer.protocol.names", "transfer.protocol.digest", "transfer.protocol.leaves", "transfer.protocol.ranges"}


def loaded_by(module: str) -> set[str]:
    """What a fresh interpreter has loaded after importing `module`."""
    code = f"import json, sys; import {module}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, check=True, text=True)
    return set(json.loads(done.stdout))


def parts(loaded: set[str], *packages: str) -> set[str]:
    return {name for name in loaded if name.split(".")[0] in packages}


def test_the_service_package_alone_loads_nothing() -> None:
    assert parts(loaded_by("transfer"), "transfer", "storage", "client", "fastapi", "uvicorn") == {"transfer"}


@pytest.mark.parametrize("module", PURE)
def test_the_ground_floor_loads_no_sockets_and_nothing_above(module: str) -> None:
    loaded = loaded_by(module)
    assert not loaded & {"aiofiles", "sqlalchemy", "fastapi", "starlette", "uvicorn", "websockets", "httpx2"}
    assert parts(loaded, "storage", "client") == set()
    assert all(name.startswith("transfer.protocol") for name in parts(loaded, "transfer") - {"transfer"})


def test_storage_knows_four_modules_of_the_protocol() -> None:
    loaded = loaded_by("storage.local")
    assert parts(loaded, "transfer") - {"transfer", "transfer.protocol"} == STORED
    assert not loaded & {"fastapi", "starlette", "uvicorn", "websockets", "httpx2", "client"}


def test_the_client_knows_the_protocol_only() -> None:
    loaded = loaded_by("client")
    assert parts(loaded, "storage") == set()
    assert all(name.startswith("transfer.protocol") for name in parts(loaded, "transfer") - {"transfer"})
    assert not loaded & {"fastapi", "starlette", "uvicorn", "sqlalchemy"}


def test_the_command_loads_nothing_before_it_needs_it_that_most_uploads_never_need() -> None:
    assert parts(loaded_by("client.cli"), "keyring", "secretstorage", "jeepney", "httpx2", "pathspec") == set()


def test_the_service_does_not_know_its_clients() -> None:
    assert parts(loaded_by("transfer.app"), "client", "httpx2") == set()
