"""Alembic's entry point: run the migrations in the caller's connection and transaction."""

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
