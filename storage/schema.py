"""The tables of the catalog: what is written of files, uploads, objects and grants."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

SCHEMA: Final = "0002"
"""The newest migration."""
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
NEVER: Final = -(1 << 62)
"""In microseconds since 1970, before every time: what has none comes first, and can be compared."""


class Moment(TypeDecorator[datetime]):
    """An aware datetime, kept as microseconds since 1970: exact, and in order."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        return None if value is None else microseconds_at(value)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[int | None], datetime | None]:
        return _moment_at  # itself, with nothing around it: there are two in every row of a listing


def microseconds_at(moment: datetime) -> int:
    """As it is kept: since 1970."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def _moment_at(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else EPOCH + timedelta(0, 0, microseconds)


metadata = sa.MetaData()

facts = sa.Table(
    "facts",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
    comment="store_id; alive: when this store was last known to be open, in microseconds since 1970",
)

uploads = sa.Table(
    "uploads",
    metadata,
    sa.Column("upload_id", sa.Text, primary_key=True),
    sa.Column("object_id", sa.Text, nullable=False, unique=True),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("size", sa.BigInteger),
    sa.Column("if_exists", sa.Text, nullable=False),
    sa.Column("digest_algorithm", sa.Text, nullable=False),
    sa.Column("content_type", sa.Text, nullable=False),
    sa.Column("modified", Moment),
    sa.Column("metadata", sa.JSON, nullable=False),
    sa.Column("leaf_size", sa.BigInteger, nullable=False),
    sa.Column("durable", sa.JSON, nullable=False, comment="ranges as [[start, end], …]"),
    sa.Column("tail_length", sa.BigInteger, nullable=False),
    sa.Column("tail_checksum", sa.LargeBinary, nullable=False),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("lease", sa.Text, nullable=False),
    sa.Column("failed", sa.Boolean, nullable=False, comment="the object was shorter than its durable ranges"),
    sa.Column("created", Moment, nullable=False),
    sa.Column("active", Moment, nullable=False),
    sa.Column("subject", sa.Text, nullable=False, comment="whose the file becomes"),
    sa.Column("via", sa.Text, comment="the request link that it comes through"),
    sa.Column("quota", sa.BigInteger),
    sa.Column("via_quota", sa.BigInteger),
    sa.Column("within", sa.Text, nullable=False, comment="what may be compared and replaced begins so"),
    sa.Column("may_compare", sa.Boolean, nullable=False),
    sa.Column("may_replace", sa.Boolean, nullable=False),
    sa.Column("reserved", sa.BigInteger, nullable=False, comment="bytes that count against quotas"),
    sa.Index("uploads_by_owner", "owner", "name", "active"),
    sa.Index("uploads_by_via", "via"),
)

leaves = sa.Table(
    "leaves",
    metadata,
    sa.Column("object_id", sa.Text, primary_key=True),
    sa.Column("segment", sa.BigInteger, primary_key=True),
    sa.Column("checksums", sa.LargeBinary, nullable=False),
    comment="checksums of full leaves, 64 to a row, zeros for absent ones",
)

files = sa.Table(
    "files",
    metadata,
    sa.Column("file_id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("name_key", sa.Text, nullable=False, unique=True),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("content_type", sa.Text, nullable=False),
    sa.Column("modified", Moment),
    sa.Column("created", Moment, nullable=False),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("metadata", sa.JSON, nullable=False),
    sa.Column("uploader", sa.Text, nullable=False),
    sa.Column("via", sa.Text, comment="the request link that it came through"),
    sa.Column("modified_or_never", sa.BigInteger, sa.Computed(f"coalesce(modified, {NEVER})", persisted=False)),
    sa.Index("files_by_name", "name", "name_key"),
    sa.Index("files_by_size", "size", "name"),
    sa.Index("files_by_created", "created", "name"),
    sa.Index("files_by_modified", "modified_or_never", "name"),
)

completed = sa.Table(
    "completed",
    metadata,
    sa.Column("upload_id", sa.Text, primary_key=True),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("file_id", sa.Text, nullable=False),
    sa.Column("unchanged", sa.Boolean, nullable=False),
    sa.Column("wanted", sa.Text, comment="the name that it was to have"),
    sa.Column("at", Moment, nullable=False, index=True),
)

deleting = sa.Table(
    "deleting",
    metadata,
    sa.Column("object_id", sa.Text, primary_key=True),
    comment="objects whose rows are gone and whose files are still to be unlinked",
)

usage = sa.Table(
    "usage",
    metadata,
    sa.Column("kind", sa.Text, primary_key=True, comment="subject or via"),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    comment="sums over files and uploads, which triggers on them keep",
)

grants = sa.Table(
    "grants",
    metadata,
    sa.Column("grant_id", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("secret_hash", sa.LargeBinary, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("created", Moment, nullable=False),
    sa.Column("expires", Moment),
    sa.Column("revoked", Moment),
    sa.Column("parent", sa.Text),
    sa.Column("scopes", sa.JSON, nullable=False),
    sa.Column("prefix", sa.Text, nullable=False),
    sa.Column("quota", sa.BigInteger),
    sa.Column("account_quota", sa.BigInteger),
    sa.Column("file_id", sa.Text),
    sa.Column("downloads", sa.BigInteger),
    sa.Column("begun", sa.BigInteger, nullable=False),
    sa.Column("resumed_bytes", sa.BigInteger, nullable=False),
    sa.Column("password_hash", sa.Text),
    sa.Index("grants_by_kind", "kind", "subject", "created"),
)
