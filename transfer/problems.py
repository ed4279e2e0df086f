"""Errors over HTTP: `application/problem+json` (RFC 9457) with the code, the sentence and the facts of the protocol.

The one place where an exception becomes an HTTP answer. Only a bug is logged with a traceback.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, JsonValue
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import Match

from storage.errors import StorageError
from transfer import logs
from transfer.protocol.errors import BadMessage, Internal, NotFound, TooLarge, TransferError, Unauthorized
from transfer.refusals import refusal

MEDIA_TYPE: Final = "application/problem+json"
logger = logs.logger("towline.http")

_SHOWN_CHARACTERS: Final = 80
_METHODS: Final = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")


class Problem(BaseModel):
    """A refusal or failure; facts (`limit`, `digest`, …) are further fields."""

    model_config = ConfigDict(extra="allow")

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str
    retryable: bool = False


PROBLEM_RESPONSES: Final[dict[int | str, dict[str, object]]] = {
    "default": {
        "description": "A refusal or failure (RFC 9457)",
        "content": {MEDIA_TYPE: {"schema": Problem.model_json_schema()}},
    }
}
"""For the generated description of the API."""


class PasswordWanted(Unauthorized):
    """A share link asks for a password, or for the right one."""


def problem_response(
    status: int,
    code: str,
    detail: str,
    *,
    retryable: bool = False,
    facts: Mapping[str, JsonValue] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The answer for one problem; sent to a WebSocket that was not accepted yet it refuses the upgrade."""
    problem = Problem.model_validate(
        dict(facts or {})
        | {
            "type": "about:blank",
            "title": HTTPStatus(status).phrase,
            "status": status,
            "detail": detail,
            "code": code,
            "retryable": retryable,
        }
    )
    return Response(problem.model_dump_json(), status, headers, media_type=MEDIA_TYPE)


def answer(error: TransferError) -> Response:
    """The answer for an error of the protocol."""
    headers = {"www-authenticate": _challenge(error)} if isinstance(error, Unauthorized) else {}
    if (seconds := error.facts.get("retry_after")) is not None:
        headers["retry-after"] = str(seconds)
    return problem_response(
        error.http_status, error.code, error.message, retryable=error.retryable, facts=error.facts, headers=headers
    )


def _challenge(error: Unauthorized) -> str:
    """RFC 6750, section 3, and RFC 7617, section 2.1: passwords are UTF-8."""
    return 'Basic realm="towline share", charset="UTF-8"' if isinstance(error, PasswordWanted) else "Bearer"


def install(app: FastAPI) -> None:
    """Make every error of `app` a problem."""
    app.add_exception_handler(TransferError, _transfer_error)
    app.add_exception_handler(StorageError, _storage_error)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(Exception, _bug)


async def _transfer_error(connection: HTTPConnection, error: Exception) -> Response:
    assert isinstance(error, TransferError)
    return answer(error)


async def _storage_error(connection: HTTPConnection, error: Exception) -> Response:
    assert isinstance(error, StorageError)
    return answer(refusal(error))


async def _invalid_request(connection: HTTPConnection, error: Exception) -> Response:
    """A parameter that is not what it should be; the first one is named."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    field, problem = str(first["loc"][-1]), str(first["msg"]).lower()
    return answer(BadMessage(f"the field {field} is wrong: {problem}, got {shown(first['input'])}", field=field))


async def _http_exception(connection: HTTPConnection, error: Exception) -> Response:
    """What the framework refuses by itself: there is no such path, or no such method there."""
    assert isinstance(error, HTTPException)
    codes = {404: NotFound.code, 413: TooLarge.code}
    code = codes.get(error.status_code, BadMessage.code if error.status_code < 500 else Internal.code)
    detail, headers = error.detail, error.headers
    if error.status_code == 404:
        detail = f"there is nothing at {shown_path(connection)}"
    elif error.status_code == 405 and isinstance(connection, Request):
        detail = f"{connection.method} is not for {shown_path(connection)}"
        headers = {"allow": ", ".join(_methods(connection))}
    return problem_response(error.status_code, code, detail, headers=headers)


def _methods(request: Request) -> list[str]:
    """What may be asked of a path (RFC 9110, section 15.5.6): the framework names the methods of one route of it."""
    routes = request.app.router.routes
    asked = {method: dict(request.scope) | {"method": method} for method in _METHODS}
    return [method for method in _METHODS if any(route.matches(asked[method])[0] == Match.FULL for route in routes)]


async def _bug(request: HTTPConnection, error: Exception) -> Response:
    """Answers, and says which request it was; uvicorn writes the traceback below that line."""
    assert isinstance(request, Request)
    route: object = getattr(request.scope.get("route"), "path", None)  # its pattern: the path itself may have an id
    logger.error("internal", method=request.method, route=route, error=type(error).__name__)
    return answer(Internal("something went wrong in the server; its log says what"))


def shown(value: object) -> str:
    """Untrusted text as it may stand in a sentence or a log line: ASCII, quoted, not long."""
    text = ascii(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"


def shown_path(connection: HTTPConnection) -> str:
    """The path of a request, as it may stand in a sentence: without the secret of a link."""
    path: str = connection.scope["path"]
    link = next((kind for kind in ("/s/", "/r/") if path.startswith(kind)), None)
    return shown(path) if link is None else f"'{link}…'"
