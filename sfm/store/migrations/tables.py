"""Tables as the database declares them at a revision, for migrations that read or write rows."""

from __future__ import annotations

import sqlalchemy as sa

__all__ = ["table_now"]


def table_now(connection: sa.Connection, name: str) -> sa.Table:
    """
    Return a table's columns and primary key as they are declared now.

    Indexes and constraints are left out: rows are read and written without them, and asking for
    them took a third of an upgrade of a small database.
    """
    look = sa.inspect(connection)
    columns = [sa.Column(one["name"], one["type"]) for one in look.get_columns(name)]
    key = sa.PrimaryKeyConstraint(*look.get_pk_constraint(name)["constrained_columns"])
    return sa.Table(name, sa.MetaData(), *columns, key)
