"""What a built site would fetch from elsewhere, as soon as somebody looks at a page. Links that are followed by a click
are none of it."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Final

_FETCHED: Final = {
    "audio": "src",
    "embed": "src",
    "iframe": "src",
    "img": "src",
    "link": "href",
    "object": "data",
    "script": "src",
    "source": "src",
    "video": "src",
}
"""Elements that fetch, and the attribute which says what (HTML, the parts on embedded content, links and scripts)."""
_NOT_FETCHED: Final = ("canonical", "next", "prev")
_STYLED: Final = re.compile(r"""url\(["']?((?:https?:)?//[^)"']+)|@import ["']((?:https?:)?//[^"']+)""")


def requests_outside(site: Path) -> Iterator[tuple[Path, str]]:
    """Pages and style sheets, and the addresses that they would ask."""
    for page in site.rglob("*.html"):
        reader = _Reader()
        reader.feed(page.read_text())
        yield from ((page, address) for address in reader.addresses)
    for sheet in site.rglob("*.css"):
        yield from ((sheet, match[1] or match[2]) for match in _STYLED.finditer(sheet.read_text()))


class _Reader(HTMLParser):
    """Collects what the elements of a page fetch from another host."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        address = given.get(_FETCHED.get(tag, "")) or ""
        if address.startswith(("http:", "https:", "//")) and given.get("rel") not in _NOT_FETCHED:
            self.addresses.append(address)
