"""The page of the HTTP API, from the description that a server gives at `/openapi.json`."""

from collections.abc import Iterator
from typing import Final

from fastapi.openapi.models import MediaType, OpenAPI, Operation, Parameter, PathItem, RequestBody, Response, Schema

from manual.markdown import code, page, prose, table
from manual.types import number
from transfer.app import create_app
from transfer.settings import Settings

_INTRODUCTION: Final = """\
What a server answers over HTTP beside its pages. Each server describes the same at `/docs`, to people, and at
`/openapi.json`, to programs; [the wire protocol](../protocol.md#http) says more of listings, ranges and tokens.
Files are sent over `/ws`: see [messages](messages.md).

A token goes into `Authorization: Bearer …`. A refusal is `application/problem+json` (RFC 9457): its `code` is
one of [these](messages.md#error-codes), and its `detail` a sentence for people."""
_METHODS: Final = ("get", "head", "post", "put", "patch", "delete")
_REFUSAL: Final = "default"
_UNSAID: Final = "Successful Response"
"""What FastAPI writes where we have written nothing."""
_FORMATS: Final = {"date-time": "RFC 3339 time", "password": "text"}
_TYPES: Final = {"string": "text", "boolean": "true or false", "object": "table"}


def http_page() -> str:
    """The page `docs/reference/http.md`."""
    api = OpenAPI.model_validate(create_app(Settings.model_construct()).openapi())
    operations = list(_operations(api))
    overview = [[f"[`{title}`](#{_anchor(title)})", _first_sentence(operation)] for title, operation in operations]
    sections = [_section(title, operation) for title, operation in operations]
    schemas = api.components.schemas if api.components else None
    objects = [
        f"### {name}\n\n{prose(schema.description or '')}\n\n{_fields(schema)}"
        for name, schema in sorted((schemas or {}).items())
        if isinstance(schema, Schema)
    ]
    return page(
        "HTTP",
        _INTRODUCTION,
        table(("request", "for"), overview),
        "## Requests",
        *sections,
        "## Objects",
        *objects,
    )


def _operations(api: OpenAPI) -> Iterator[tuple[str, Operation]]:
    for path, item in (api.paths or {}).items():
        methods = PathItem.model_validate(item)
        for method in _METHODS:
            if isinstance(operation := getattr(methods, method), Operation):
                yield f"{method.upper()} {path}", operation


def _anchor(title: str) -> str:
    """As GitHub and the site make one of a heading."""
    return "".join(c for c in title.lower() if c.isalnum() or c in "_- ").replace(" ", "-")


def _first_sentence(operation: Operation) -> str:
    return prose(operation.description or operation.summary or "").partition(". ")[0].removesuffix(".")


def _section(title: str, operation: Operation) -> str:
    parts = [f"### {title}", prose(operation.description or operation.summary or "")]
    rows = [
        [code(parameter.name), parameter.in_.value, *_described(parameter), parameter.description or ""]
        for parameter in operation.parameters or []
        if isinstance(parameter, Parameter)
    ]
    if rows:
        parts.append(table(("parameter", "in", "type", "default", "what it is"), rows))
    if isinstance(operation.requestBody, RequestBody):
        parts += [_body(media) for media in operation.requestBody.content.values()]
    responses = {status: Response.model_validate(said) for status, said in (operation.responses or {}).items()}
    answers = [
        [
            status,
            _meaning(response),
            ", ".join(_answer(kind, media) for kind, media in (response.content or {}).items()),
        ]
        for status, response in sorted(responses.items())
        if status != _REFUSAL
    ]
    parts.append(table(("answer", "meaning", "body"), answers))
    return "\n\n".join(part.strip() for part in parts)


def _meaning(response: Response) -> str:
    return "done" if response.description == _UNSAID else response.description


def _body(media: MediaType) -> str:
    schema = media.schema_
    assert isinstance(schema, Schema)
    return f"The body is JSON. {prose(schema.description or '')}\n\n{_fields(schema)}"


def _answer(kind: str, media: MediaType) -> str:
    schema = media.schema_
    return _type(schema) if isinstance(schema, Schema) and kind == "application/json" else code(kind)


def _fields(schema: Schema) -> str:
    required = set(schema.required or [])
    rows = [
        [code(name), _type(field), "" if name in required else _default(field)]
        for name, field in (schema.properties or {}).items()
        if isinstance(field, Schema)
    ]
    return table(("field", "type", "default"), [[name, kind, said or "required"] for name, kind, said in rows])


def _described(parameter: Parameter) -> tuple[str, str]:
    schema = parameter.schema_
    assert isinstance(schema, Schema)
    return _type(schema), "required" if parameter.required else _default(schema)


def _default(schema: Schema) -> str:
    return "none" if schema.default in (None, "", {}) else code(schema.default)


def _type(schema: Schema) -> str:
    """A schema in words, with a link where it is described below."""
    if schema.ref is not None:
        name = schema.ref.rpartition("/")[2]
        return f"[{name}](#{name.lower()})" if "components" in schema.ref else name.lower()
    if schema.anyOf is not None:
        return " or ".join(_type(part) for part in schema.anyOf if isinstance(part, Schema))
    if schema.enum is not None:
        return ", ".join(code(value) for value in schema.enum)
    if schema.type == "array" and isinstance(schema.items, Schema):
        return f"list of {_type(schema.items)}"
    word = _FORMATS.get(schema.format or "") or _TYPES.get(str(schema.type), str(schema.type))
    return ", ".join([word, *_bounds(schema)])


def _bounds(schema: Schema) -> Iterator[str]:
    if schema.minimum is not None:
        yield f"at least {number(schema.minimum)}"
    if schema.exclusiveMinimum is not None:
        yield f"more than {number(schema.exclusiveMinimum)}"
    if schema.maximum is not None:
        yield f"at most {number(schema.maximum)}"
    if schema.maxLength is not None:
        yield f"at most {number(schema.maxLength)} characters"
