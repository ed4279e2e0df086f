"""Rows of tokens and links: the statements on them, each run inside a transaction."""

from collections.abc import Collection
from dataclasses import asdict
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row
from sqlalchemy.sql.elements import ColumnElement

from storage.errors import NotFound, TooManyLinks
from storage.grants import MAX_LINKS, REMEMBERED_FOR, Grant, GrantKind
from storage.schema import grants


def grant_of(row: Row[Any]) -> Grant:
    return Grant(**(row._asdict() | {"scopes": tuple(row.scopes)}))


def add(connection: Connection, grant: Grant) -> None:
    """Raises NotFound where its parent is revoked, or not there; TooManyLinks."""
    if grant.parent is not None and revoked_of(connection, [grant.parent]):
        raise NotFound(f"the token {grant.parent!r}")
    if grant.kind != "token" and _links_of(connection, grant.kind, grant.subject) >= MAX_LINKS:
        raise TooManyLinks(MAX_LINKS)
    connection.execute(sa.insert(grants).values(asdict(grant) | {"scopes": list(grant.scopes)}))


def _links_of(connection: Connection, kind: GrantKind, subject: str) -> int:
    found = sa.select(sa.func.count()).where(grants.c.kind == kind, grants.c.subject == subject)
    count: int = connection.execute(found).scalar_one()
    return count


def forget_links(connection: Connection, now: datetime) -> None:
    """Those that ended long ago."""
    before = now - REMEMBERED_FOR
    ended = (grants.c.revoked < before) | (grants.c.expires < before)
    connection.execute(sa.delete(grants).where(grants.c.kind != "token", ended))


def find(connection: Connection, grant_id: str) -> Grant | None:
    row = connection.execute(sa.select(grants).where(grants.c.grant_id == grant_id)).one_or_none()
    return None if row is None else grant_of(row)


def list_grants(connection: Connection, kind: GrantKind | None, subject: str | None) -> list[Grant]:
    """The newest first."""
    select = sa.select(grants).order_by(grants.c.created.desc(), grants.c.grant_id)
    if kind is not None:
        select = select.where(grants.c.kind == kind)
    if subject is not None:
        select = select.where(grants.c.subject == subject)
    return [grant_of(row) for row in connection.execute(select)]


def revoke(connection: Connection, grant_id: str, now: datetime) -> None:
    """Raises NotFound."""
    if find(connection, grant_id) is None:
        raise NotFound(f"the token or link {grant_id!r}")
    concerned = (grants.c.grant_id == grant_id) | (grants.c.parent == grant_id)
    connection.execute(sa.update(grants).where(concerned, grants.c.revoked.is_(None)).values(revoked=now))


def revoked_of(connection: Connection, grant_ids: Collection[str]) -> frozenset[str]:
    wanted = sa.select(grants.c.grant_id).where(grants.c.grant_id.in_(grant_ids), grants.c.revoked.is_(None))
    return frozenset(grant_ids) - frozenset(connection.execute(wanted).scalars())


def any_tokens(connection: Connection) -> bool:
    found = sa.select(grants.c.grant_id).where(grants.c.kind == "token").limit(1)
    return connection.execute(found).first() is not None


def begin_download(connection: Connection, grant_id: str, now: datetime) -> bool:
    left = grants.c.downloads.is_(None) | (grants.c.begun < grants.c.downloads)
    return _count(connection, grant_id, now, left, {"begun": grants.c.begun + 1})


def resume_download(connection: Connection, grant_id: str, resumed: int, size: int, now: datetime) -> bool:
    after = grants.c.resumed_bytes + resumed
    left = grants.c.downloads.is_(None) | (after <= grants.c.begun * size)
    return _count(connection, grant_id, now, left, {"resumed_bytes": after})


def _count(
    connection: Connection, grant_id: str, now: datetime, left: ColumnElement[bool], counted: dict[str, Any]
) -> bool:
    in_force = grants.c.revoked.is_(None) & (grants.c.expires.is_(None) | (grants.c.expires > now))
    share = (grants.c.grant_id == grant_id) & (grants.c.kind == "share")
    return connection.execute(sa.update(grants).where(share, in_force, left).values(counted)).rowcount == 1


def not_sent(connection: Connection, grant_id: str, resumed: int) -> None:
    rest = sa.func.max(grants.c.resumed_bytes - resumed, 0)
    connection.execute(sa.update(grants).where(grants.c.grant_id == grant_id).values(resumed_bytes=rest))
