"""docs/howto/javascript.md, in Node: its script sends a file."""

import json
import shutil
from pathlib import Path
from typing import Final

from tests.consoles import Terminal
from tests.end_to_end.node import OPTION, found_node
from tests.fences import blocks, only_block
from tests.server import CHECKOUT

DOCUMENT: Final = CHECKOUT / "docs" / "howto" / "javascript.md"
SCRIPT: Final = "send.js"


async def test_what_the_console_shows_is_what_happens(tmp_path: Path) -> None:
    found_node(DOCUMENT.name)
    (tmp_path / SCRIPT).write_text(only_block(DOCUMENT, f"js {SCRIPT}"))
    (tmp_path / "package.json").write_text(json.dumps({"type": "module"}))
    shutil.copytree(CHECKOUT / "transfer" / "web", tmp_path / "towline")
    async with Terminal(tmp_path, {"NODE_OPTIONS": OPTION, "NODE_NO_WARNINGS": "1"}) as terminal:
        await terminal.serve()
        for block in blocks(DOCUMENT, "console"):
            await terminal.type(block)
