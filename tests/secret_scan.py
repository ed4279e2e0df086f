"""Searches what a run of the tests has left for secrets, and does not take silence for an answer.

    python -m tests.secret_scan FOLDER

Tokens, JWTs and links by their shape; passwords, tokens, upload ids and leases that the tests were told, by their text.
Upload ids are typed by people, as in `towline cancel ID`, and so are links that they got, in `towline download URL` and
`towline upload FILE --to URL` or `towline unlink URL`: in command lines of these they are no finding.
"""

import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from tests.evidence import Kind, found

SHAPES: Final = re.compile(
    r"towline_[0-9a-f]{12}_[0-9a-f]{64}|/[sr]/[0-9a-f]{12}_[0-9a-f]{64}|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}"
)
TYPED_LINK: Final = re.compile(r'"(?:download|unlink|--to)", "https?://[^"/]+/[sr]/[0-9a-f]{12}_[0-9a-f]{64}"')
WORD: Final = re.compile(r"[\w-]+")
FEWEST_CHARACTERS: Final = 8
"""A shorter secret is somebody's placeholder, and would be found in any text."""
FEWEST: Final[dict[Kind, int]] = {"log": 1_000, "error": 500, "command": 100, "secret": 500}
"""What a run of all tests leaves at the least: less means that somebody has stopped looking."""


class Finding(NamedTuple):
    """Where a secret was, with its beginning, and what stands before it."""

    kind: Kind
    shown: str

    def __str__(self) -> str:
        return f"a secret in {'an' if self.kind == 'error' else 'a'} {self.kind}: {self.shown}"


def findings(folder: Path) -> list[Finding]:
    """Every secret that stands where it must not."""
    secrets = {text for text in found(folder, "secret") if len(text) >= FEWEST_CHARACTERS}
    words = {text for text in secrets if WORD.fullmatch(text)}
    return [
        Finding(kind, _shown(text, leak))
        for kind in ("log", "error", "command")
        for text in found(folder, kind)
        for leak in _leaks(text, words, secrets - words, is_command=kind == "command")
    ]


def _leaks(text: str, words: set[str], others: set[str], *, is_command: bool) -> Iterator[str]:
    text = TYPED_LINK.sub('"a link"', text) if is_command else text
    yield from SHAPES.findall(text)
    if not (is_command and '"cancel"' in text):
        yield from sorted(words.intersection(WORD.findall(text)))
    yield from sorted(secret for secret in others if secret in text or json.dumps(secret)[1:-1] in text)


def _shown(text: str, leak: str) -> str:
    before, _, _ = text.partition(leak)
    return f"{before[-200:]}{leak[:6]}…"


def too_little(folder: Path) -> list[str]:
    """What there is less of than all tests leave."""
    counts = {kind: len(found(folder, kind)) for kind in FEWEST}
    return [f"only {counts[kind]} of kind {kind}, not {FEWEST[kind]}" for kind in FEWEST if counts[kind] < FEWEST[kind]]


def summary(folder: Path) -> str:
    """How much was looked at."""
    counts = {kind: len(found(folder, kind)) for kind in FEWEST}
    return "searched for {secret} secrets in {log} log lines, {error} errors and {command} command lines".format(
        **counts
    )


def main(arguments: Sequence[str]) -> int:
    folder = Path(arguments[0])
    complaints = [*map(str, findings(folder)), *too_little(folder)]
    print("\n".join([*complaints, summary(folder)]))
    return int(bool(complaints))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
