"""The command in a folder of its own, for the `server` that a module has."""

from pathlib import Path

import pytest

from tests.client.command import Towline


@pytest.fixture
async def towline(tmp_path: Path, server: str) -> Towline:
    folder = tmp_path / "here"
    folder.mkdir()
    return Towline(folder, server)
