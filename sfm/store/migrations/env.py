"""Alembic's door: runs the migrations in the connection, and the transaction, of whoever calls."""

from __future__ import annotations

from alembic import context

from sfm.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
    render_as_batch=True,
)
context.run_migrations()
