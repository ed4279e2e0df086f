"""What somebody may hand out: never more names, and never for longer, than they have themselves. Pure.

Whoever can make tokens can give any scope. A share or request link gives none but its own.
"""

from datetime import datetime, timedelta
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from storage.grants import Grant
from transfer.access.principal import Principal
from transfer.bodies import Body
from transfer.protocol.errors import BadMessage
from transfer.protocol.messages import TimeField
from transfer.protocol.prefixes import parse_prefix

State = Literal["in force", "expired", "revoked"]
MAX_SECONDS: Final = 36_500 * 24 * 3600


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("not a string")
    return value


PrefixField = Annotated[str, BeforeValidator(_text), AfterValidator(parse_prefix)]


class Lasting(Body):
    """Something that ends: at a time, so many seconds from now, or, without either, when somebody ends it."""

    expires: TimeField | None = None
    lasts: Annotated[int, Field(gt=0, le=MAX_SECONDS)] | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if self.expires is not None and self.lasts is not None:
            raise ValueError("expires and lasts say the same, give one of them")
        return self


def expiry(wanted: Lasting, giver: Principal, now: datetime) -> datetime | None:
    """When it ends: not after the right of who hands it out does. Raises BadMessage for a time that is past."""
    if wanted.expires is not None and wanted.expires <= now:
        raise BadMessage("the field expires is wrong: that time is past", field="expires")
    own = wanted.expires if wanted.lasts is None else now + timedelta(seconds=wanted.lasts)
    return min((end for end in (own, giver.expires) if end is not None), default=None)


def state_of(grant: Grant, now: datetime) -> State:
    if grant.revoked is not None:
        return "revoked"
    return "in force" if grant.in_force(now) else "expired"
