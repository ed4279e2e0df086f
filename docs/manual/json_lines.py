"""The page of `--json`: every kind of line that a command writes, with its fields."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, get_args

from pydantic import BaseModel

from client.http import UnfinishedUpload, WhoAmI
from client.links import RequestLink, ShareLink
from client.progress import Event, Failed
from client.terminal.diagnosis import Finding
from client.terminal.tally import Tally
from client.terminal.unfinished import MORE_FACTS
from manual.markdown import code, page, prose, table
from transfer.grants.token_entries import NewToken, TokenEntry
from transfer.protocol.events import EventMessage
from transfer.protocol.messages import FileEntry

_INTRODUCTION: Final = """\
With `--json` a command writes an object a line to stdout, and nothing else. What happens has an `event`; of what
`ls`, `uploads` and others were asked for each is an object of its own. Sizes and offsets are bytes. `name` is a
name on the server, `path` one on this machine. There will be other kinds and more fields: skip what you do not
know."""
_MESSAGE: Final = """\
Of those lines each that is told to people, too, has their sentence as `message`: it may change from version to
version."""


class Kind(NamedTuple):
    """Lines of one kind: their `event`, who writes them, what they have beside `event` and `message`, and when."""

    event: str
    commands: str
    fields: Sequence[str]
    when: str


def _fields_of(*models: type[BaseModel]) -> list[str]:
    return [name for model in models for name in model.model_fields if name != "type"]


LINK_FIELDS: Final = [name for name in dict.fromkeys(_fields_of(ShareLink, RequestLink)) if name != "url"]
"""Of a link that was made before: nobody can show its address again."""
NOTICES: Final = (
    Kind("error", "all", ["code", "name", "path"], "something failed; `name` or `path` where it is about one thing"),
    Kind("selected", "upload, download", ["files", "size"], "how many there are, before the first"),
    Kind("excluded", "upload", ["path"], "an `--exclude` covers it"),
    Kind("skipped", "upload", ["path", "reason"], "it is no regular file, or a link in a folder"),
    Kind("would_send", "upload --dry-run", ["name", "path", "size"], "it would be sent"),
    Kind("unchanged", "upload --dry-run", ["name"], "it would not be sent: the server has its content"),
    Kind("deleted", "upload --delete-source", ["path"], "the source was deleted here, once the server had it"),
    Kind("summary", "upload", [*Tally("sent").facts], "of a folder or several files, at the end"),
    Kind("summary", "upload --dry-run", ["would_send", "would_send_bytes"], "and what `upload` has"),
    Kind("summary", "download", [*Tally("received").facts], "of a folder or several files, at the end"),
    Kind("deleted", "rm", ["name"], "a file was deleted on the server"),
    Kind("renamed", "mv", ["name", "file"], "the file that was called `name` is `file` now"),
    Kind("cancelled", "cancel", ["upload_id"], "an upload was dropped, with its bytes"),
    Kind("revoked", "unlink", [name for name in LINK_FIELDS if name != "state"], "a link ends"),
    Kind("logged_in", "login", ["server", "kept_in", *_fields_of(WhoAmI)], "a token is kept"),
    Kind("logged_out", "logout", ["server", "forgotten"], "whether there was a token"),
    Kind("echo", "echo", ["text", "round_trip_ms", "seq"], "a text came back; `seq` where several are measured"),
    Kind(
        "summary",
        "echo",
        ["sent", "came_back", "min_ms", "avg_ms", "max_ms", "mdev_ms"],
        "where several are measured, at the end",
    ),
    Kind("open", "proxy", ["url", "subprotocol"], "the tunnel is open"),
    Kind("message", "proxy", ["text", "hex"], "a message has come: a text, or with `--hex` its bytes"),
    Kind("binary", "proxy", ["size"], "bytes have come, and are not shown"),
    Kind("closed", "proxy", [], "the other end has closed the tunnel"),
    Kind("summary", "doctor", ["problems"], "how many were found, at the end"),
    Kind("created", "token create", _fields_of(NewToken), "a token, with its secret as `token`"),
    Kind("token", "token list", _fields_of(TokenEntry), "each token"),
    Kind("revoked", "token revoke", _fields_of(TokenEntry), "a token ends"),
    Kind("verified", "verify", ["files", "uploads", "size", "damaged"], "at the end"),
    Kind(
        "damaged",
        "verify",
        ["kind", "name", "problem", "ranges", "object_id", "advice"],
        "a content is not what it was",
    ),
    Kind("lost", "backup", ["name"], "the server's disk does not have the content of this file"),
    Kind("backed_up", "backup", ["folder", "files", "uploads", "linked_bytes", "copied_bytes", "lost"], "at the end"),
    Kind("unreadable", "recover", ["object_id"], "it cannot be read, and is set aside"),
    Kind("recovered", "recover", ["files", "set_aside", "unreadable", "kept_catalog"], "at the end"),
)
RESULTS: Final = (
    ("ls", "a file", _fields_of(FileEntry)),
    ("uploads", "an upload that is not complete", [*_fields_of(UnfinishedUpload), *MORE_FACTS]),
    ("share", "the link, with its `url`", _fields_of(ShareLink)),
    ("request", "the link, with its `url`", _fields_of(RequestLink)),
    ("links", "a link, without its `url`", LINK_FIELDS),
    ("whoami", "who one is", _fields_of(WhoAmI)),
    (
        "doctor",
        "what was found of one thing, and more fields for some",
        [*Finding("", "ok", "").told, "mending"],
    ),
)


def json_page() -> str:
    """The page `docs/reference/json.md`."""
    return page(
        "Lines of --json",
        _INTRODUCTION,
        f"## Of a transfer\n\n{table(('event', 'fields', 'when'), map(_transfer_row, get_args(Event)))}",
        f"## Of commands\n\n{prose(_MESSAGE)}\n\n{table(('event', 'command', 'fields', 'when'), map(_row, NOTICES))}",
        "## What was asked for\n\n"
        + table(("command", "each line is", "fields"), ([code(who), what, _codes(has)] for who, what, has in RESULTS)),
        f"## Of `towline watch`\n\n{prose(_watch_words())}",
    )


def _transfer_row(event: type) -> list[str]:
    if event is Failed:
        return [code("error"), _codes(["name", "code", "message"]), "One of several files failed; the others go on."]
    said = " ".join((event.__doc__ or "").split())
    return [code(event.__name__.lower()), _codes(field.name for field in dataclasses.fields(event)), said]


def _row(kind: Kind) -> list[str]:
    who = "all" if kind.commands == "all" else ", ".join(code(each) for each in kind.commands.split(", "))
    return [code(kind.event), who, _codes(kind.fields), kind.when]


def _codes(names: Iterable[str]) -> str:
    return ", ".join(map(code, names)) or "none"


def _watch_words() -> str:
    kinds = ", ".join(str(model.model_fields["type"].default) for model in get_args(EventMessage))
    return (
        f"Each event as the server tells it, by its `type` ({kinds}): [their fields](messages.md#events). While the "
        "server is away there are lines `waiting`, as of a transfer."
    )
