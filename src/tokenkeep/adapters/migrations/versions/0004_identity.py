"""The mark by which a database is known again: where it was used last, and when."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TIME = sa.BigInteger().with_variant(postgresql.TIMESTAMP(timezone=True), "postgresql")


def upgrade() -> None:
    """No row yet: the first service that starts writes it."""
    op.create_table(
        "instance_mark",
        sa.Column("id", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("home", sa.Text(), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_instance_mark")),
        sa.CheckConstraint("id = 1", name=op.f("ck_instance_mark_single")),
    )


def downgrade() -> None:
    """Forget it."""
    op.drop_table("instance_mark")
