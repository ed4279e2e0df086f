"""The page of messages, from `transfer.protocol`: every JSON message of `/ws` with its fields, and every error code."""

from typing import Final, get_args

from pydantic import BaseModel

from manual.markdown import code, page, prose, table
from manual.types import default_of, type_of
from transfer.protocol import messages
from transfer.protocol.errors import ERRORS
from transfer.protocol.events import EventMessage
from transfer.protocol.messages import ClientMessage, ProxyAnswer, ServerMessage

_INTRODUCTION: Final = """\
The JSON messages on `/ws` and `/events`, field by field, and the codes of errors. [The wire
protocol](../protocol.md) says what they mean and in which order they come; the files' bytes go in binary
frames, between them. A message has a `type`, and a field that has no value is left out. Unknown fields are
ignored, in both directions."""
_EVENTS: Final = """\
What `/events` tells, each as a text frame of a WebSocket or as the data of a server-sent event; see
[Events](../protocol.md#events)."""
_PARTS: Final = (messages.FileEntry, messages.Existing)


def messages_page() -> str:
    """The page `docs/reference/messages.md`."""
    to_server = [_message(model) for model in get_args(ClientMessage)]
    to_client = [_message(model) for model in dict.fromkeys([*get_args(ServerMessage), *get_args(ProxyAnswer)])]
    told = [_section(f"{model.model_fields['type'].default}, an event", model) for model in get_args(EventMessage)]
    parts = [_section(model.__name__, model) for model in _PARTS]
    return page(
        "Messages and errors",
        _INTRODUCTION,
        "## From a client to the server",
        *to_server,
        "## From the server to a client",
        *to_client,
        "## Events",
        _EVENTS,
        *told,
        "## What stands in messages",
        *parts,
        f"## Error codes\n\n{prose(_ERRORS)}\n\n{_errors()}",
    )


_ERRORS: Final = """\
The same code is in a message `error` on `/ws` and in the problem (RFC 9457) of an HTTP answer. *Retryable*
means that the same request can succeed later by waiting alone; what a message itself says of that counts more.
*Close* is the code with which `/ws` is closed after the error, if it is. Which facts come with each is in [the
wire protocol](../protocol.md#errors)."""


def _message(model: type[BaseModel]) -> str:
    kind = model.model_fields["type"].default
    title = f"{kind}, of a tunnel" if model is messages.ProxyReadyMessage else kind
    return _section(title, model)


def _section(title: str, model: type[BaseModel]) -> str:
    rows = [
        [code(name), type_of(field), default_of(field, "required")]
        for name, field in model.model_fields.items()
        if name != "type"
    ]
    fields = table(("field", "type", "default"), rows) if rows else "No fields beside `type`."
    return f"### {title}\n\n{prose(model.__doc__ or '')}\n\n{fields}"


def _errors() -> str:
    rows = [
        [
            code(name),
            prose(error.__doc__ or "").partition("\n\n")[0],
            str(error.http_status),
            "yes" if error.retryable else "no",
            str(error.close_code or ""),
        ]
        for name, error in ERRORS.items()
    ]
    return table(("code", "when", "HTTP", "retryable", "close"), rows)
