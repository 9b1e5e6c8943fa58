"""Wrapped data keys, and this instance.

Owns: `data_keys`, `instance`, `instance_mark`. Does not own: the keys that wrap them (`adapters/keys`).
"""

from __future__ import annotations

from sqlalchemy import Boolean, CheckConstraint, Column, Index, Integer, LargeBinary, Table, text

from tokenkeep.adapters.tables.base import count, metadata, text_column, time

data_keys = Table(
    "data_keys",
    metadata,
    Column("id", LargeBinary, primary_key=True),
    text_column("workspace_id"),
    Column("wrapped", LargeBinary, nullable=False),
    text_column("root_key_id"),
    time("created_at"),
    Column("active", Boolean, nullable=False),
    count("used"),
    CheckConstraint("used >= 0", name="used"),
    Index("ix_data_keys_of_workspace", "workspace_id"),
    Index(
        "ix_data_keys_active",
        "workspace_id",
        unique=True,
        sqlite_where=text("active"),
        postgresql_where=text("active"),
    ),
)

instance = Table(
    "instance",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("check_sealed", LargeBinary, nullable=False),
    CheckConstraint("id = 1", name="single"),
)

instance_mark = Table(
    "instance_mark",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    text_column("home"),
    time("at"),
    CheckConstraint("id = 1", name="single"),
)
