"""When a grant will need a person, what is known of its tokens' life, and what nodes saw rejected."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TIME = sa.BigInteger().with_variant(postgresql.TIMESTAMP(timezone=True), "postgresql")


def _columns() -> list[sa.Column[Any]]:
    return [
        sa.Column("endless", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("learned_life_s", sa.BigInteger()),
        sa.Column("needs_person_at", TIME),
        sa.Column("warn_at", TIME),
        sa.Column("warned_for", TIME),
        sa.Column("rejected_count", sa.BigInteger()),
        sa.Column("rejected_since", TIME),
        sa.Column("rejected_at", TIME),
        sa.Column("rejected_version", sa.BigInteger()),
        sa.Column("rejected_life_before_s", sa.BigInteger()),
    ]


def upgrade() -> None:
    """Nothing is known of stored grants before their next refresh; the version before can go on writing them."""
    for column in _columns():
        op.add_column("grants", column)
    op.create_index(
        "ix_grants_to_warn",
        "grants",
        ["warn_at"],
        sqlite_where=sa.text("warn_at IS NOT NULL"),
        postgresql_where=sa.text("warn_at IS NOT NULL"),
    )


def downgrade() -> None:
    """What was learned and foreseen is forgotten."""
    op.drop_index("ix_grants_to_warn", "grants")
    for column in reversed(_columns()):
        op.drop_column("grants", column.name)
