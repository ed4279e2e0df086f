"""Who may do what: tokens and links, whose quota a file counts against, and through which link it came.

Who had a file or an upload before keeps it: it is theirs, and they uploaded it.
"""

import json

import sqlalchemy as sa
from alembic import op

from storage.schema import Moment

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _make_grants()
    op.add_column("files", sa.Column("uploader", sa.Text(), nullable=False, server_default=""))
    op.add_column("files", sa.Column("via", sa.Text(), nullable=True))
    op.execute("UPDATE files SET uploader = owner")
    op.add_column("uploads", sa.Column("subject", sa.Text(), nullable=False, server_default=""))
    op.add_column("uploads", sa.Column("via", sa.Text(), nullable=True))
    op.add_column("uploads", sa.Column("quota", sa.BigInteger(), nullable=True))
    op.add_column("uploads", sa.Column("via_quota", sa.BigInteger(), nullable=True))
    op.add_column("uploads", sa.Column("within", sa.Text(), nullable=False, server_default=""))
    op.add_column("uploads", sa.Column("may_compare", sa.Boolean(), nullable=False, server_default=sa.true()))
    op.add_column("uploads", sa.Column("may_replace", sa.Boolean(), nullable=False, server_default=sa.true()))
    op.add_column("uploads", sa.Column("reserved", sa.BigInteger(), nullable=False, server_default="0"))
    op.create_index("uploads_by_via", "uploads", ["via"], unique=False)
    op.execute("UPDATE uploads SET subject = owner, reserved = coalesce(size, 0)")
    op.add_column("completed", sa.Column("wanted", sa.Text(), nullable=True))
    _reserve_streams()
    _make_usage()
    _make_listings_quick()


def _make_listings_quick() -> None:
    """A search by a part of names reads their index alone; and what has no time is in the index of times."""
    op.drop_index("files_by_name", "files")
    op.create_index("files_by_name", "files", ["name", "name_key"], unique=False)
    op.drop_index("files_by_modified", "files")
    never = sa.Computed(f"coalesce(modified, {-(1 << 62)})", persisted=False)
    op.add_column("files", sa.Column("modified_or_never", sa.BigInteger(), never, nullable=True))
    op.create_index("files_by_modified", "files", ["modified_or_never", "name"], unique=False)


def _make_grants() -> None:
    op.create_table(
        "grants",
        sa.Column("grant_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("created", Moment(), nullable=False),
        sa.Column("expires", Moment(), nullable=True),
        sa.Column("revoked", Moment(), nullable=True),
        sa.Column("parent", sa.Text(), nullable=True),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("quota", sa.BigInteger(), nullable=True),
        sa.Column("account_quota", sa.BigInteger(), nullable=True),
        sa.Column("file_id", sa.Text(), nullable=True),
        sa.Column("downloads", sa.BigInteger(), nullable=True),
        sa.Column("begun", sa.BigInteger(), nullable=False),
        sa.Column("resumed_bytes", sa.BigInteger(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("grant_id"),
    )
    op.create_index("grants_by_kind", "grants", ["kind", "subject", "created"], unique=False)


def _make_usage() -> None:
    """Sums that triggers keep, whoever writes: nothing can be counted twice, or be forgotten."""
    op.create_table(
        "usage",
        sa.Column("kind", sa.Text(), nullable=False, comment="subject or via"),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "name"),
        comment="sums over files and uploads, which triggers on them keep",
    )
    counted = "SELECT owner AS name, size AS bytes FROM files UNION ALL SELECT subject, reserved FROM uploads"
    op.execute(f"INSERT INTO usage SELECT 'subject', name, sum(bytes) FROM ({counted}) GROUP BY name")
    for table, subject, size in (("files", "owner", "size"), ("uploads", "subject", "reserved")):
        columns = {"subject": subject, "via": "via"}
        plus = " ".join(_plus(kind, f"NEW.{name}", f"NEW.{size}") for kind, name in columns.items())
        minus = " ".join(_minus(kind, f"OLD.{name}", f"OLD.{size}") for kind, name in columns.items())
        op.execute(f"CREATE TRIGGER {table}_come AFTER INSERT ON {table} BEGIN {plus} END")
        op.execute(f"CREATE TRIGGER {table}_go AFTER DELETE ON {table} BEGIN {minus} END")
        changed = " OR ".join(f"OLD.{name} IS NOT NEW.{name}" for name in (subject, "via", size))
        op.execute(
            f"CREATE TRIGGER {table}_change AFTER UPDATE OF {subject}, via, {size} ON {table} WHEN {changed}"
            f" BEGIN {minus} {plus} END"
        )


def _plus(kind: str, name: str, size: str) -> str:
    """The WHERE also keeps SQLite from reading ON as the start of a join (lang_upsert.html, "Parsing Ambiguity")."""
    return (
        f"INSERT INTO usage SELECT '{kind}', {name}, {size} WHERE {name} IS NOT NULL"
        " ON CONFLICT (kind, name) DO UPDATE SET bytes = bytes + excluded.bytes;"
    )


def _minus(kind: str, name: str, size: str) -> str:
    return f"UPDATE usage SET bytes = bytes - {size} WHERE kind = '{kind}' AND name = {name};"


def _reserve_streams() -> None:
    """A stream counts with what is durable of it, which only its ranges say. A failed upload keeps no place."""
    connection = op.get_bind()
    found = connection.exec_driver_sql("SELECT upload_id, durable FROM uploads WHERE size IS NULL").all()
    for upload_id, durable in found:
        total = sum(end - start for start, end in json.loads(durable))
        connection.exec_driver_sql("UPDATE uploads SET reserved = ? WHERE upload_id = ?", (total, upload_id))
    connection.exec_driver_sql("UPDATE uploads SET reserved = 0 WHERE failed")
