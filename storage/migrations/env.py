"""Alembic's environment: `storage.connecting.migrate` hands over an open connection in a transaction."""

from alembic import context

from storage.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
