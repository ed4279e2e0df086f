"""What `towline uploads` says of an upload that is not complete: what is safe, where it comes from, how to go on."""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pydantic import JsonValue

from client.http import UnfinishedUpload
from client.terminal.begun import Origin
from client.terminal.wording import printable, size_words

ANY_SOURCE: Final = "FILE"
"""What a command has in the place of a source that this machine does not know."""
MORE_FACTS: Final = ("begun_here", "source", "command")
"""What `facts_of` has beside what the server says."""


def resuming_command(upload: UnfinishedUpload, origin: Origin | None, options: Sequence[str] = ()) -> str:
    """What to type to go on, in any folder; `options` say which server is meant. What was piped in has to be piped in
    once more, and a source that is not known here is for whoever knows it."""
    wanted = origin or Origin(source=None)
    source = ANY_SOURCE if origin is None else "-" if origin.source is None else typed(origin.source)
    choices = [] if wanted.if_exists == "error" else ["--if-exists", wanted.if_exists]
    choices += [] if wanted.digest == "sha256" else ["--digest", wanted.digest]
    return " ".join(["towline upload", source, *map(shlex.quote, ["--name", str(upload.name), *choices, *options])])


def typed(path: Path) -> str:
    """A path as one types it: with what a terminal cannot show, or UTF-8 cannot write, as bash and zsh read it."""
    text = str(path)
    if printable(text) == text:
        return shlex.quote(text)
    return "$'" + "".join(chr(byte) if _is_plain(byte) else f"\\x{byte:02x}" for byte in os.fsencode(path)) + "'"


def _is_plain(byte: int) -> bool:
    return 0x20 <= byte < 0x7F and byte not in b"'\\"


def lines_of(upload: UnfinishedUpload, origin: Origin | None, command: str) -> str:
    """What people read: the name, and below it what there is to know, and to type."""
    safe = f"{size_words(upload.offset)} of {_size_words(upload)} are safe"
    rows = [str(upload.name), f"{safe}; {_end_words(upload)}", f"id {upload.upload_id}", _origin_words(origin), command]
    return "\n    ".join(map(printable, rows))


def facts_of(upload: UnfinishedUpload, origin: Origin | None, command: str) -> dict[str, JsonValue]:
    """What programs read: what the server says, and what is known here."""
    source = None if origin is None or origin.source is None else str(origin.source)
    return upload.model_dump(mode="json") | dict(zip(MORE_FACTS, (origin is not None, source, command), strict=True))


def _size_words(upload: UnfinishedUpload) -> str:
    if upload.size is None:
        return "an unknown size"
    share = f" ({upload.offset * 100 // upload.size} %)" if upload.size else ""
    return size_words(upload.size) + share


def _end_words(upload: UnfinishedUpload) -> str:
    return f"expires {upload.expires.astimezone():%Y-%m-%d %H:%M}" if upload.expires else "does not expire"


def _origin_words(origin: Origin | None) -> str:
    if origin is None:
        return "begun elsewhere; whoever has the file goes on with"
    if origin.source is None:
        return "piped in; pipe the same in again, to"
    missing = "" if origin.source.exists() else ", which is not there now"
    return f"from {origin.source}{missing}"
