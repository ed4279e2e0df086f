"""Node, for the tests of clients that are written in JavaScript."""

import os
import shutil
import subprocess
from typing import Final

import pytest

OPTION: Final = "--experimental-websocket"


def found_node(who: str) -> str:
    """A Node that has WebSocket. Without one nothing of `who` can be shown: that is a failure in CI and a skip
    elsewhere."""
    found = shutil.which("node")
    said = subprocess.run([found, OPTION, "-p", "typeof WebSocket"], capture_output=True, text=True) if found else None
    if found is not None and said is not None and said.stdout.strip() == "function":
        return found
    lacking = f"{who} needs Node 20.10 or newer, and {found or 'there is none'} on the PATH"
    if os.environ.get("CI") == "true":
        pytest.fail(f"{lacking}: install it, CI does not pass without this test")
    pytest.skip(f"NOT SHOWN HERE: {lacking}")
