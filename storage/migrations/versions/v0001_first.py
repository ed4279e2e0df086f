"""The first schema."""

import sqlalchemy as sa
from alembic import op

from storage.schema import Moment

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "completed",
        sa.Column("upload_id", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("file_id", sa.Text(), nullable=False),
        sa.Column("unchanged", sa.Boolean(), nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("upload_id"),
    )
    op.create_index("ix_completed_at", "completed", ["at"], unique=False)
    op.create_table(
        "deleting",
        sa.Column("object_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("object_id"),
        comment="objects whose rows are gone and whose files are still to be unlinked",
    )
    op.create_table(
        "facts",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
        comment="store_id; alive: when this store was last known to be open, in microseconds since 1970",
    )
    op.create_table(
        "files",
        sa.Column("file_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("name_key", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("content_type", sa.Text(), nullable=False),
        sa.Column("modified", Moment(), nullable=True),
        sa.Column("created", Moment(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("file_id"),
        sa.UniqueConstraint("name_key"),
    )
    op.create_index("files_by_created", "files", ["created", "name"], unique=False)
    op.create_index("files_by_modified", "files", ["modified", "name"], unique=False)
    op.create_index("files_by_name", "files", ["name"], unique=False)
    op.create_index("files_by_size", "files", ["size", "name"], unique=False)
    op.create_table(
        "leaves",
        sa.Column("object_id", sa.Text(), nullable=False),
        sa.Column("segment", sa.BigInteger(), nullable=False),
        sa.Column("checksums", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("object_id", "segment"),
        comment="checksums of full leaves, 64 to a row, zeros for absent ones",
    )
    op.create_table(
        "uploads",
        sa.Column("upload_id", sa.Text(), nullable=False),
        sa.Column("object_id", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=True),
        sa.Column("if_exists", sa.Text(), nullable=False),
        sa.Column("digest_algorithm", sa.Text(), nullable=False),
        sa.Column("content_type", sa.Text(), nullable=False),
        sa.Column("modified", Moment(), nullable=True),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.Column("leaf_size", sa.BigInteger(), nullable=False),
        sa.Column("durable", sa.JSON(), nullable=False, comment="ranges as [[start, end], …]"),
        sa.Column("tail_length", sa.BigInteger(), nullable=False),
        sa.Column("tail_checksum", sa.LargeBinary(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("lease", sa.Text(), nullable=False),
        sa.Column("failed", sa.Boolean(), nullable=False, comment="the object was shorter than its durable ranges"),
        sa.Column("created", Moment(), nullable=False),
        sa.Column("active", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("upload_id"),
        sa.UniqueConstraint("object_id"),
    )
    op.create_index("uploads_by_owner", "uploads", ["owner", "name", "active"], unique=False)
