"""What the tables are made of.

Owns: the metadata, constraint names and the usual columns. Does not own: column types (`columns`) or any table.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Column, ForeignKeyConstraint, LargeBinary, MetaData, Text, text

from tokenkeep.adapters.tables.columns import JsonText, UtcTime

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)


def keys(*names: str) -> list[Column[Any]]:
    """Parts of the primary key."""
    return [Column(name, Text, primary_key=True) for name in names]


def text_column(name: str, **more: Any) -> Column[Any]:
    """Text that is never NULL."""
    return Column(name, Text, nullable=False, **more)


def texts(*names: str) -> list[Column[Any]]:
    """Several of `text_column`."""
    return [text_column(name) for name in names]


def count(name: str) -> Column[Any]:
    """A whole number, never NULL."""
    return Column(name, BigInteger, nullable=False)


def revision() -> Column[Any]:
    """Grows with every UPDATE of its row; `store/reads` compares it."""
    return Column("revision", BigInteger, nullable=False, server_default=text("1"))


def time(name: str, *, nullable: bool = False) -> Column[Any]:
    """One moment."""
    return Column(name, UtcTime, nullable=nullable)


def times(*names: str) -> list[Column[Any]]:
    """Several moments that are never NULL."""
    return [time(name) for name in names]


def json_column(name: str, *, nullable: bool = False) -> Column[Any]:
    """A JSON document."""
    return Column(name, JsonText, nullable=nullable)


def sealed(name: str, *, nullable: bool = True) -> Column[Any]:
    """An envelope."""
    return Column(name, LargeBinary, nullable=nullable)


def of_credential() -> ForeignKeyConstraint:
    """Rows that go when their credential goes."""
    return ForeignKeyConstraint(
        ["workspace_id", "credential_id"], ["credentials.workspace_id", "credentials.id"], ondelete="CASCADE"
    )
