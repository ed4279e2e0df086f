"""Tokens for tests, made as `towline token create` makes them."""

from collections.abc import Collection
from datetime import datetime, timedelta

from storage.store import Store, utc_now
from transfer.access.principal import SCOPES, Scope
from transfer.access.tokens import Secret
from transfer.grants.issuing import new_token


async def token_for(
    store: Store,
    subject: str,
    scopes: Collection[Scope] = SCOPES,
    *,
    prefix: str = "",
    quota: int | None = None,
    lasts: timedelta | None = None,
) -> Secret:
    """A token of an open store; with `lasts` it expires so long from now."""
    now: datetime = utc_now()
    expires = None if lasts is None else now + lasts
    secret, grant = new_token(subject, scopes, now=now, prefix=prefix, quota=quota, expires=expires)
    await store.grants.add(grant)
    return secret


def bearer(secret: Secret) -> dict[str, str]:
    """The header that shows it."""
    return {"Authorization": f"Bearer {secret.text}"}
