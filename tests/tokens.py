"""Tokens and request links for tests, made as `towline token create` and `POST /requests` make them."""

from collections.abc import Collection
from datetime import datetime, timedelta

from storage.store import Store, utc_now
from tests import evidence
from transfer.access.principal import SCOPES, Principal, Scope
from transfer.access.tokens import Secret
from transfer.grants.issuing import new_request, new_token


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


async def request_link(store: Store, subject: str, *, prefix: str = "") -> Secret:
    """A link through which somebody without a token sends files to `subject`."""
    maker = Principal(subject=subject, scopes=SCOPES)
    secret, grant = new_request(maker, now=utc_now(), prefix=prefix)
    await store.grants.add(grant)
    evidence.secret(secret.in_link)
    return secret


def bearer(secret: Secret) -> dict[str, str]:
    """The header that shows it."""
    return {"Authorization": f"Bearer {secret.text}"}
