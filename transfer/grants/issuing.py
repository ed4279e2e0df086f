"""Making what is handed out: a fresh secret, and the row that is kept of it. It does not know who may make what."""

from collections.abc import Collection
from datetime import datetime

from storage.grants import Grant
from transfer.access.principal import Principal, Scope, parse_subject
from transfer.access.tokens import Secret
from transfer.protocol.prefixes import parse_prefix


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


def new_share(
    maker: Principal,
    file_id: str,
    *,
    now: datetime,
    expires: datetime | None = None,
    downloads: int | None = None,
    password_hash: str | None = None,
) -> tuple[Secret, Grant]:
    """A link to the content of this id, for `maker`: it goes when their token is revoked."""
    secret = Secret.new()
    grant = Grant(
        grant_id=secret.grant_id,
        kind="share",
        secret_hash=secret.hash,
        subject=maker.subject,
        created=now,
        expires=expires,
        parent=maker.grant_id,
        file_id=file_id,
        downloads=downloads,
        password_hash=password_hash,
    )
    return secret, grant


def new_request(
    maker: Principal, *, now: datetime, prefix: str = "", expires: datetime | None = None, size: int | None = None
) -> tuple[Secret, Grant]:
    """A link through which others upload below `prefix`, `size` bytes in all, for `maker`, as for `new_share`. Raises
    InvalidPrefix."""
    secret = Secret.new()
    grant = Grant(
        grant_id=secret.grant_id,
        kind="request",
        secret_hash=secret.hash,
        subject=maker.subject,
        created=now,
        expires=expires,
        parent=maker.grant_id,
        prefix=parse_prefix(prefix),
        quota=size,
        account_quota=maker.quota,
    )
    return secret, grant
