"""Where the links of a document lead on the site: to documents, and to pages of other files of the checkout.

Paths are those of the checkout, such as `docs/design.md`. No file is read here.
"""

import re
from collections.abc import Callable, Iterator
from posixpath import dirname, join, normpath, relpath
from typing import Final

DOCUMENTS: Final = "docs/"
SOURCES: Final = "source/"
"""The folder of the site with the files that documents link to and that are none themselves."""

_FENCED: Final = re.compile(r"(^```[^\n]*\n.*?^```$)", re.MULTILINE | re.DOTALL)
_LINK: Final = re.compile(r"(?P<image>!?)\[(?P<text>[^\]]*)\]\((?P<path>[^()\s#]*)(?P<anchor>#[^()\s]*)?\)")
_INFO: Final = re.compile(r"^```(?P<info>[^\n]+)\n", re.MULTILINE)


def linked(text: str, document: str) -> Iterator[str]:
    """The files and folders that a document links to."""
    for part in _FENCED.split(text):
        if not part.startswith("```"):
            yield from (path for match in _LINK.finditer(part) if (path := _target(match, document)) is not None)


def for_the_site(text: str, document: str, page_of: Callable[[str], str | None]) -> str:
    """A document as the site shows it. `page_of` says which page a file of the checkout has there; a link to what has
    none is only its text, but for one to a document, which is wrong and left to be found."""
    here = dirname(page_of(document) or "")

    def link(match: re.Match[str]) -> str:
        target = _target(match, document)
        if target is None:
            return match[0]
        page = page_of(target)
        if page is None:
            return match[0] if target.startswith(DOCUMENTS) else match["text"]
        return f"{match['image']}[{match['text']}]({relpath(page, here or '.')}{match['anchor'] or ''})"

    return "".join(_coloured(part) if part.startswith("```") else _LINK.sub(link, part) for part in _FENCED.split(text))


def _target(match: re.Match[str], document: str) -> str | None:
    path = match["path"]
    return None if not path or "://" in path or path.startswith("/") else normpath(join(dirname(document), path))


def _coloured(block: str) -> str:
    """What stands after a fence tells the tests what to do with the block; the site wants the name of a language."""
    return _INFO.sub(lambda match: f"```{_LANGUAGES.get(match['info'], match['info'].split()[0])}\n", block, count=1)


_LANGUAGES: Final = {"transcript": "text", "caddy": "text", "unit": "ini"}
