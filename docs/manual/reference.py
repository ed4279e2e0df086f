"""The pages of `docs/reference/`, which are written from the code, and which of them are stale."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from manual.command_line import command_line_page
from manual.http_api import http_page
from manual.json_lines import json_page
from manual.messages import messages_page
from manual.settings import settings_page

FOLDER: Final = Path(__file__).resolve().parent.parent / "reference"
PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "settings.md": settings_page,
    "command-line.md": command_line_page,
    "http.md": http_page,
    "messages.md": messages_page,
    "json.md": json_page,
}


def stale() -> dict[Path, str]:
    """The pages that are not what the code says, and what they should be."""
    pages = {FOLDER / name: write() for name, write in PAGES.items()}
    return {file: text for file, text in pages.items() if not file.exists() or file.read_text() != text}


def bring_up_to_date() -> list[Path]:
    """Write the pages that are stale; returns which."""
    pages = stale()
    FOLDER.mkdir(exist_ok=True)
    for file, text in pages.items():
        file.write_text(text)
    return list(pages)
