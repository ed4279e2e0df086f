"""Making what is handed out: a fresh secret, and the row that is kept of it. It does not know who may make what."""

from collections.abc import Collection
from datetime import datetime

from storage.grants import Grant
from transfer.principal import Scope, parse_subject
from transfer.protocol.prefixes import parse_prefix
from transfer.tokens import Secret


def new_token(
    subject: str,
    scopes: Collection[Scope],
    *,
    now: datetime,
    prefix: str = "",
    quota: int | None = None,
    expires: datetime | None = None,
) -> tuple[Secret, Grant]:
    """A token; `quota` is bytes. Raises ValueError for a subject that is none, InvalidPrefix."""
    secret = Secret.new()
    grant = Grant(
        grant_id=secret.grant_id,
        kind="token",
        secret_hash=secret.hash,
        subject=parse_subject(subject),
        created=now,
        expires=expires,
        scopes=tuple(sorted(scopes)),
        prefix=parse_prefix(prefix),
        quota=quota,
    )
    return secret, grant
