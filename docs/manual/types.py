"""Types of the code in the words of the manual."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from types import UnionType
from typing import Annotated, Final, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, MaxLen, MinLen
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from manual.markdown import code
from transfer.protocol.digest import Digest
from transfer.protocol.names import Name
from transfer.protocol.ranges import Range

_WORDS: Final[Mapping[object, str]] = {
    bool: "true or false",
    int: "integer",
    float: "number",
    Name: "name",
    Digest: "digest",
    Range: "`[start, end]`",
    Path: "path",
    datetime: "RFC 3339 time",
}
_BOUNDS: Final = ((Gt, "gt", "more than"), (Ge, "ge", "at least"), (Le, "le", "at most"))
_LENGTHS: Final = ((MinLen, "min_length", "at least"), (MaxLen, "max_length", "at most"))


def type_of(field: FieldInfo) -> str:
    """A field's type with its bounds: `integer, at least 0`."""
    return words_of(field.annotation, field.metadata)


def default_of(field: FieldInfo, required: str) -> str:
    """A field's default; for one that has none what is given here."""
    if field.is_required():
        return required
    default = field.get_default(call_default_factory=True, validated_data={})
    if isinstance(default, bool):
        return "true" if default else "false"
    if isinstance(default, dict):
        return ", ".join(code(key) for key in default) or "none"
    if isinstance(default, int | float):
        return number(default)
    return code(default) if default else "none"


def words_of(annotation: object, constraints: Iterable[object] = ()) -> str:
    """A type in words, with its bounds; that nothing may stand in its place is for the default to say."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return words_of(arguments[0], [*arguments[1:], *constraints])
    if origin in (Union, UnionType):
        return " or ".join(words_of(part, constraints) for part in arguments if part is not type(None))
    return ", ".join([_word(annotation, origin, arguments), *_bounds(_flat(constraints), annotation)])


def _word(annotation: object, origin: object, arguments: tuple[object, ...]) -> str:
    if origin is Literal:
        return ", ".join(code(value) for value in arguments)
    if origin in (tuple, list, frozenset, set):
        return f"list of {words_of(arguments[0])}"
    if origin is dict:
        return "table" if _is_table(arguments[1]) else f"table of {words_of(arguments[1])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    return _WORDS.get(annotation, "text")


def _is_table(annotation: object) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _flat(constraints: Iterable[object]) -> list[object]:
    """`Field(…)` and `StringConstraints(…)` hold several; pydantic unpacks only those that stand at a field itself."""
    flat: list[object] = []
    for constraint in constraints:
        flat += constraint.metadata if isinstance(constraint, FieldInfo) else [constraint]
    return flat


def _bounds(constraints: Iterable[object], annotation: object) -> list[str]:
    constraints = list(constraints)
    if annotation in (int, float):
        bounds = _values(constraints, _BOUNDS)
        only = len(bounds) == 2 and bounds[0][1] == bounds[1][1]
        return [f"only {number(bounds[0][1])}"] if only else [f"{word} {number(value)}" for word, value in bounds]
    lengths = [f"{word} {number(value)}" for word, value in _values(constraints, _LENGTHS) if value > 1]
    unit = " characters" if annotation is str else ""
    return [length + unit for length in lengths]


def _values(constraints: Iterable[object], kinds: Iterable[tuple[type, str, str]]) -> list[tuple[str, float]]:
    kinds = list(kinds)
    return [
        (word, getattr(constraint, attribute))
        for constraint in constraints
        for kind, attribute, word in kinds
        if isinstance(constraint, kind)
    ]


def number(value: float) -> str:
    """A number as people read it; the largest integer that JSON has everywhere by its name."""
    if value == 2**53 - 1:
        return "2^53-1"
    return f"{value:,.0f}" if value >= 10_000 else f"{value:g}"
