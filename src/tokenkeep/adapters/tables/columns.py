"""What a column may hold, alike in SQLite and PostgreSQL.

Owns: the types of times, JSON and ordered text, and the database's own clock as an expression.
Does not own: which columns there are.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, BindParameter, Dialect, Float, Text, literal
from sqlalchemy.dialects.postgresql import TEXT as POSTGRES_TEXT
from sqlalchemy.dialects.postgresql import TIMESTAMP
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction
from sqlalchemy.types import TypeDecorator, TypeEngine

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class UtcTime(TypeDecorator[datetime]):
    """Aware UTC. SQLite keeps whole microseconds since 1970, which compare and index as numbers."""

    impl = BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """What the database itself calls it."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(TIMESTAMP(timezone=True))
        return dialect.type_descriptor(BigInteger())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """For the driver. Raises ValueError for a naive time."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("times are aware; this one has no zone")
        return value.astimezone(UTC) if dialect.name == "postgresql" else (value - _EPOCH) // _MICROSECOND

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's signature
        """From the driver, aware."""
        if value is None:
            return None
        if isinstance(value, datetime):
            return value.astimezone(UTC)
        return _EPOCH + timedelta(microseconds=value)


class JsonText(TypeDecorator[Any]):
    """JSON kept as text: the same octets in both databases, and no driver codec to agree on."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:  # noqa: ARG002 - the same
        """For the driver."""
        return None if value is None else json.dumps(value, separators=(",", ":"), ensure_ascii=False)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:  # noqa: ARG002 - the same
        """From the driver."""
        return None if value is None else json.loads(value)


Ordered = Text().with_variant(POSTGRES_TEXT(collation="C"), "postgresql")
"""Text that sorts by code point in both databases, whatever the server's locale."""


class clock_now(GenericFunction[datetime]):  # noqa: N801 - written as the SQL function it stands for
    """The database's clock at this very moment, also after a wait for a row."""

    type = UtcTime()
    inherit_cache = True


class clock_after(GenericFunction[datetime]):  # noqa: N801
    """So many seconds after `clock_now`."""

    type = UtcTime()
    inherit_cache = True

    def __init__(self, seconds: float | BindParameter[float]) -> None:
        super().__init__(seconds if isinstance(seconds, BindParameter) else literal(float(seconds), Float))


class clock_at_start(GenericFunction[datetime]):  # noqa: N801
    """The clock when the statement began. It holds still, so that an index can be searched by it."""

    type = UtcTime()
    inherit_cache = True


_SQLITE_NOW = "(CAST(ROUND((julianday('now') - 2440587.5) * 86400000.0) AS INTEGER) * 1000)"
"""Whole milliseconds, all that SQLite's clock gives; `unixepoch('subsec')` is younger than the SQLite of many Pythons."""


@compiles(clock_now, "postgresql")
def _postgresql_now(_element: Any, _compiler: Any, **_: Any) -> str:
    return "clock_timestamp()"


@compiles(clock_at_start, "postgresql")
def _postgresql_at_start(_element: Any, _compiler: Any, **_: Any) -> str:
    return "statement_timestamp()"


@compiles(clock_after, "postgresql")
def _postgresql_after(element: Any, compiler: Any, **more: Any) -> str:
    seconds = compiler.process(element.clauses, **more)
    return f"(clock_timestamp() + make_interval(secs => {seconds}))"


@compiles(clock_now, "sqlite")
@compiles(clock_at_start, "sqlite")
def _sqlite_now(_element: Any, _compiler: Any, **_: Any) -> str:
    return _SQLITE_NOW


@compiles(clock_after, "sqlite")
def _sqlite_after(element: Any, compiler: Any, **more: Any) -> str:
    seconds = compiler.process(element.clauses, **more)
    return f"({_SQLITE_NOW} + CAST({seconds} * 1000000 AS INTEGER))"
