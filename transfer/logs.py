"""The log: one line an event, to stderr; for people where that is a terminal, else one JSON object a line.

Whatever logs in this process comes out here: `logger(name)` for events with fields, and the standard library's loggers
(of storage, of uvicorn) with their sentences. Text from outside reaches nobody raw: control characters are escaped, a
value cannot look like another field or begin a line, and a long one is cut. What is secret is left out by who logs;
where nobody can know beforehand what a text quotes, `without_quotes` takes that away, and ids in tracebacks are cut.
"""

import json
import logging
import os
import re
import sys
import time
from typing import Any, Final, Literal, Self, TextIO

import structlog
from starlette.requests import HTTPConnection
from structlog.typing import EventDict, Processor, WrappedLogger

LogFormat = Literal["auto", "human", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]

_SHOWN_CHARACTERS: Final = 1_000
_SPECIAL: Final = re.compile(r"""[\s='"\\]""")
_ID: Final = re.compile(r"\b([0-9a-f]{6})[0-9a-f]{26}\b")


def logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger whose events have fields: `logger("towline.session").info("session ended", bytes=3)`."""
    wrapped: structlog.stdlib.BoundLogger = structlog.wrap_logger(
        logging.getLogger(name),
        processors=[structlog.stdlib.filter_by_level, _as_record],
        wrapper_class=structlog.stdlib.BoundLogger,
        context_class=dict,
        cache_logger_on_first_use=True,
    )
    return wrapped


def configure(log_format: LogFormat, log_level: LogLevel, stream: TextIO | None = None) -> None:
    """Write the log of this process to `stream`, or to stderr; other libraries only have warnings in it."""
    stream = sys.stderr if stream is None else stream
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter(log_format, is_terminal=stream.isatty()))
    level = logging.getLevelNamesMapping()[log_level.upper()]
    logging.basicConfig(handlers=[handler], level=max(level, logging.WARNING), force=True)
    logging.getLogger("towline").setLevel(level)
    logging.captureWarnings(capture=True)


def formatter(log_format: LogFormat, *, is_terminal: bool) -> logging.Formatter:
    """What makes a line of a record."""
    human = log_format == "human" or (log_format == "auto" and is_terminal)
    return structlog.stdlib.ProcessorFormatter(
        processors=[*_COMMON, *(_for_people(colors=is_terminal) if human else _JSON)]
    )


class _Event(dict[str, Any]):
    """An event on its way through the standard library. Another program's handlers show it as one line too."""

    def __str__(self) -> str:
        fields = [f"{key}={_shown(value)}" for key, value in self.items() if key not in ("event", "exc_info")]
        return " ".join([str(self["event"]), *fields])


def _as_record(_: WrappedLogger, method: str, event: EventDict) -> tuple[tuple[_Event], dict[str, Any]]:
    """Hand an event on to its logger. `exc_info` also goes the usual way, for other handlers."""
    if event.get("exc_info") is True:
        event["exc_info"] = sys.exc_info()
    extra = {"_logger": None, "_name": method}
    return (_Event(event),), {"extra": extra, "exc_info": event.get("exc_info")}


# ---------------------------------------------------------------------------------------------------------- rendering


def _with_origin(_: WrappedLogger, method: str, event: EventDict) -> EventDict:
    record: logging.LogRecord = event.pop("_record")
    del event["_from_structlog"]
    said = str(event.pop("event")).rstrip("\n")
    return {"level": record.levelname.lower(), "logger": record.name, "event": said, **event}


def _with_traceback(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """The traceback as text that names no id: exceptions quote what they were about."""
    event = structlog.processors.format_exc_info(logger, method, event)
    if "exception" in event:
        event["exception"] = _ID.sub(r"\1…", event["exception"])
    return event


def _cut_long(_: WrappedLogger, method: str, event: EventDict) -> EventDict:
    return {
        key: _cut(value) if isinstance(value, str) and key != "exception" else value for key, value in event.items()
    }


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"


_COMMON: Final[list[Processor]] = [_with_origin, _with_traceback, _cut_long]


def _as_json(_: WrappedLogger, method: str, event: EventDict) -> str:
    text = json.dumps({"time": event["time"], **event}, separators=(",", ":"), default=repr)
    return text.replace("\x7f", "\\u007f")  # the one control character that JSON lets pass


_JSON: Final[list[Processor]] = [
    structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    _as_json,
]


def _for_people(*, colors: bool) -> list[Processor]:
    colors = colors and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return [
        _escape,
        structlog.processors.TimeStamper(fmt="%Y-%m-%d %H:%M:%S", utc=False),
        structlog.dev.ConsoleRenderer(
            colors=colors, force_colors=colors, sort_keys=False, exception_formatter=structlog.dev.plain_traceback
        ),
    ]


class _Verbatim:
    """Text that is shown as it is: the renderer would quote some of it once more."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def _escape(_: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Every value as text that a terminal obeys nothing of."""
    escaped: EventDict = {key: _Verbatim(_shown(value)) for key, value in event.items()}
    for key in ("event", "level", "logger"):
        escaped[key] = _printable(str(event[key]))
    if "exception" in event:  # its lines are indented, so that none can pass for one of the log
        lines = str(event["exception"]).split("\n")
        escaped["exception"] = "\n".join(f"    {_printable(line)}" for line in lines)
    return escaped


def _shown(value: object) -> str:
    """A value as it may stand behind `key=`."""
    text = str(value)
    return text if text and text.isprintable() and not _SPECIAL.search(text) else repr(text)


def _printable(text: str) -> str:
    return text if text.isprintable() else repr(text)[1:-1]


def without_quotes(text: str) -> str:
    """A sentence up to what it quotes: a client's message may hold a token, or an id."""
    said, mark, _ = re.split(r"""(['"]|$)""", text, maxsplit=1)
    return said.rstrip(" :,[{") + ("…" if mark else "")


# ----------------------------------------------------------------------------------------------------------- sessions


class SessionLog:
    """The two lines of one WebSocket, or one stream: one when it is entered, one when it is left.

    Whoever serves the connection says whose it is (`principal`) once that is known, and what it was used for (`mode`),
    counts the `bytes` of contents and messages that came, and says how it `ended`, where the first word counts.
    """

    def __init__(self, name: str, connection: HTTPConnection, principal: str = "unknown") -> None:
        client = connection.client
        self.peer = f"{client.host}:{client.port}" if client is not None else "unknown"
        self.bytes = 0
        self.logger = logger(name).bind(peer=self.peer)
        self.principal = principal
        self._modes: dict[str, None] = {}
        self._outcome: str | None = None
        self._began = 0.0

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        self.logger.info("session opened")
        return self

    def __exit__(self, *_: object) -> None:
        self.logger.info(
            "session ended",
            principal=self.principal,
            mode="+".join(self._modes) or "none",
            bytes=self.bytes,
            seconds=round(time.monotonic() - self._began, 3),
            outcome=self._outcome or "closed",
        )

    def mode(self, mode: str) -> None:
        """The connection is used for this, too."""
        self._modes[mode] = None

    def ended(self, outcome: str) -> None:
        self._outcome = self._outcome or outcome

    def refused(self, code: str, reason: str) -> None:
        """A line of its own for what was refused, while the connection goes on."""
        self.logger.info("refused", code=code, reason=reason)
