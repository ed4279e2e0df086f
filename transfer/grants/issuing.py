"""Making what is handed out: a fresh secret, and the row that is kept of it. It does not know who may make what."""

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime

from storage.grants import Grant, GrantKind
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
    """A token; `quota` is bytes. Raises ValueError for a subject that is none, InvalidName."""
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
    secret, link = _new_link("share", maker, now, expires)
    return secret, replace(link, file_id=file_id, downloads=downloads, password_hash=password_hash)


def new_request(
    maker: Principal, *, now: datetime, prefix: str = "", expires: datetime | None = None, size: int | None = None
) -> tuple[Secret, Grant]:
    """A link through which others upload below `prefix`, `size` bytes in all, for `maker`, as for `new_share`. Raises
    InvalidName."""
    secret, link = _new_link("request", maker, now, expires)
    return secret, replace(link, prefix=parse_prefix(prefix), quota=size, account_quota=maker.quota)


def _new_link(kind: GrantKind, maker: Principal, now: datetime, expires: datetime | None) -> tuple[Secret, Grant]:
    secret = Secret.new()
    return secret, Grant(
        grant_id=secret.grant_id,
        kind=kind,
        secret_hash=secret.hash,
        subject=maker.subject,
        created=now,
        expires=expires,
        parent=maker.grant_id,
    )
