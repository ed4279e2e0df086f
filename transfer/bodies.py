"""The body of a request that carries a JSON object: read strictly, and no longer than a header may be."""

from typing import Final, TypeVar

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError
from starlette.requests import ClientDisconnect, Request

from transfer.access.auth import Authenticator
from transfer.problems import shown
from transfer.protocol import errors, limits
from transfer.protocol.errors import BadMessage, TooLarge
from transfer.protocol.messages import read_object
from transfer.protocol.names import InvalidName

SECRET_FIELDS: Final = frozenset(["token", "password"])


class Body(BaseModel):
    """What a request asks for. A field that is not known is refused: it might have been a limit, misspelt."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, arbitrary_types_allowed=True)


Read = TypeVar("Read", bound=Body)


async def body_of(request: Request, model: type[Read]) -> Read:
    """The caller's body, read as what it should be. Raises TooLarge, BadMessage, InvalidName, and
    what `caller` does."""
    fields = await callers_fields(request)
    try:
        return model.model_validate(fields)
    except ValidationError as refused:
        raise _refusal(refused) from None


def _refusal(refused: ValidationError) -> errors.TransferError:
    """The error for the first thing that is wrong; it does not show what may be secret."""
    first = refused.errors(include_url=False)[0]
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, InvalidName):
        return errors.InvalidName(str(cause), rule=cause.rule)
    field = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return BadMessage(f"there is no field {shown(field)} here")
    if first["type"] == "missing":
        return BadMessage(f"the field {field} is missing", field=field)
    problem = str(cause) if cause is not None else first["msg"].lower()
    if not field:
        return BadMessage(f"fields that do not fit together: {problem}")
    got = "" if SECRET_FIELDS.intersection(first["loc"]) else f", got {shown(first['input'])}"
    return BadMessage(f"the field {field} is wrong: {problem}{got}", field=field)


async def callers_fields(request: Request) -> dict[str, JsonValue]:
    """`fields_of` somebody who may still ask: their right may have ended while the body came. Raises what `caller` does
    too."""
    fields = await fields_of(request)
    authenticator: Authenticator = request.app.state.authenticator
    await authenticator.caller(request)
    return fields


async def fields_of(request: Request) -> dict[str, JsonValue]:
    """The fields of the object. Raises TooLarge, BadMessage."""
    return read_object(await _text(request))


def text_field(fields: dict[str, JsonValue], name: str) -> str:
    """A field that has to be there, and a string. Raises BadMessage, which does not show it."""
    value = fields.get(name)
    if not isinstance(value, str):
        raise BadMessage(f"the field {name} is missing, or not a string", field=name)
    return value


def described(model: type[BaseModel]) -> dict[str, object]:
    """What the generated description says of a body that is read by `fields_of`."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": model.model_json_schema()}}}}


async def _text(request: Request) -> str:
    content = bytearray()
    try:
        async for piece in request.stream():
            content += piece
            if len(content) > limits.MAX_HEADER_BYTES:
                raise TooLarge(f"a body of more than {limits.MAX_HEADER_BYTES} bytes", limit=limits.MAX_HEADER_BYTES)
        return content.decode()
    except UnicodeDecodeError:
        raise BadMessage("the body is not UTF-8") from None
    except ClientDisconnect:
        raise BadMessage("the body was not complete") from None
