"""The body of a request that carries a JSON object: read strictly, and no longer than a header may be."""

from pydantic import BaseModel, JsonValue
from starlette.requests import ClientDisconnect, Request

from transfer.protocol import limits
from transfer.protocol.errors import BadMessage, TooLarge
from transfer.protocol.messages import read_object


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
