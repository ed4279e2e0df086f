"""The fenced blocks of documents, told apart by the words after the fence: tests/test_documents.py says which."""

import re
from pathlib import Path
from typing import Final, NamedTuple

FENCED: Final = re.compile(r"^```(?P<info>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A fenced block: the words after the fence, and what is in it."""

    info: str
    text: str


def blocks(document: Path, *infos: str) -> list[Block]:
    found = [Block(match["info"], match["text"]) for match in FENCED.finditer(document.read_text())]
    return [block for block in found if block.info in infos]


def only_block(document: Path, info: str) -> str:
    """The text of the one block of a document with these words after its fence."""
    (block,) = blocks(document, info)
    return block.text
