"""Where the tokens are that a command deals with: in a data folder on this machine, or at a server elsewhere.

Whoever serves knows no client: requests to a server elsewhere are sent by the towline command, which lends us a
function for that.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar, cast

from pydantic import BaseModel, JsonValue

from transfer.access.principal import Scope
from transfer.grants.token_entries import NewToken, TokenEntry, TokenListing, new_entry, token_entries
from transfer.maintenance import folder_of
from transfer.terminal import Misused

if TYPE_CHECKING:
    from storage.granting import GrantBook

Read = TypeVar("Read", bound=BaseModel)


class Lent(Protocol):
    """Sends a request to a server with the user's token, and returns what the answer says. Raises TransferError,
    OSError."""

    def __call__(
        self,
        server: str,
        ca_file: Path | None,
        token_file: Path | None,
        method: str,
        path: str,
        fields: Mapping[str, JsonValue] | None,
    ) -> JsonValue: ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """A token to be made."""

    subject: str
    scopes: frozenset[Scope]
    prefix: str
    quota: int | None
    lasts: timedelta | None


class Tokens(Protocol):
    """The tokens of one server."""

    def create(self, wanted: Wanted) -> NewToken: ...

    def list(self) -> Sequence[TokenEntry]:
        """The newest first."""
        ...

    def revoke(self, token_id: str) -> None: ...


class TokensHere:
    """Those in a data folder on this machine."""

    def __init__(self, book: "GrantBook") -> None:
        self._book = book

    def create(self, wanted: Wanted) -> NewToken:
        from storage.store import utc_now
        from transfer.grants.issuing import new_token

        now = utc_now()
        secret, grant = new_token(
            wanted.subject,
            wanted.scopes,
            now=now,
            prefix=wanted.prefix,
            quota=wanted.quota,
            expires=None if wanted.lasts is None else now + wanted.lasts,
        )
        self._book.add(grant)
        return new_entry(grant, self._book.usage(grant.subject), secret.text, now)

    def list(self) -> Sequence[TokenEntry]:
        from storage.store import utc_now

        grants = self._book.list()
        used = {subject: self._book.usage(subject) for subject in {grant.subject for grant in grants}}
        return token_entries(grants, used, utc_now())

    def revoke(self, token_id: str) -> None:
        self._book.revoke(token_id)


class TokensElsewhere:
    """Those of a server that is reached over HTTP."""

    def __init__(self, ask: Callable[[str, str, Mapping[str, JsonValue] | None], JsonValue]) -> None:
        self._ask = ask

    def create(self, wanted: Wanted) -> NewToken:
        fields: dict[str, JsonValue] = {
            "subject": wanted.subject,
            "scopes": list[JsonValue](sorted(wanted.scopes)),
            "prefix": wanted.prefix,
        }
        if wanted.quota is not None:
            fields["quota"] = wanted.quota
        if wanted.lasts is not None:
            fields["lasts"] = int(wanted.lasts.total_seconds())
        return _read(NewToken, self._ask("POST", "/tokens", fields))

    def list(self) -> Sequence[TokenEntry]:
        return _read(TokenListing, self._ask("GET", "/tokens", None)).tokens

    def revoke(self, token_id: str) -> None:
        self._ask("DELETE", f"/tokens/{token_id}", None)


def _read(model: type[Read], answer: JsonValue) -> Read:
    try:
        return model.model_validate(answer)
    except ValueError:  # pydantic's, which shows what came
        raise ConnectionError("the server answered with something that was not expected") from None


@contextmanager
def tokens_of(
    lent: object,
    data: Path | None,
    server: str | None,
    ca_file: Path | None,
    token_file: Path | None,
    *,
    making: bool = False,
) -> Iterator[Tokens]:
    """The tokens that the options mean; a store is made only when `making` one. `lent` is what the towline command
    lends (`Lent`), or nothing. Raises Misused, WrongSetting, StoreRefused."""
    if server is not None:
        if data is not None:
            raise Misused("--data is a folder here, --server a server elsewhere: give one of them")
        if lent is None:
            raise Misused("--server is for the command towline token")
        yield TokensElsewhere(partial(cast(Lent, lent), server, ca_file, token_file))
        return
    if token_file is not None:
        raise Misused("--token-file goes with --server: on the server's machine nobody is asked for a token")
    from storage.granting import opened_grants
    from storage.opening import check_store

    folder = folder_of(data)
    if not making:
        check_store(folder)  # nobody lists what is not there, and makes a store in the wrong folder
    with opened_grants(folder) as book:
        yield TokensHere(book)
