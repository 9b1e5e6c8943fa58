"""Webhooks: endpoints, the outbox, notices by mail, and the mark of history lines that were told."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TIME = sa.BigInteger().with_variant(postgresql.TIMESTAMP(timezone=True), "postgresql")


def _texts(*names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.Text(), nullable=False) for name in names]


def upgrade() -> None:
    """What happened before the upgrade is not told any more."""
    _mark_history()
    _create_endpoints()
    _create_deliveries()
    op.create_table(
        "notices",
        *_texts("workspace_id", "id", "type"),
        sa.Column("at", TIME, nullable=False),
        *_texts("name", "path"),
        sa.PrimaryKeyConstraint("workspace_id", "id", name=op.f("pk_notices")),
    )
    op.create_table(
        "mail_turns",
        *_texts("workspace_id"),
        sa.Column("next_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", name=op.f("pk_mail_turns")),
    )


def _mark_history() -> None:
    if op.get_bind().dialect.name == "postgresql":
        # PostgreSQL remembers the default for the rows that are there, without writing them.
        op.execute("ALTER TABLE events ADD COLUMN told BOOLEAN DEFAULT true")
        op.execute("ALTER TABLE events ALTER COLUMN told DROP DEFAULT")
    else:
        op.execute("ALTER TABLE events ADD COLUMN told BOOLEAN")
        op.execute("UPDATE events SET told = 1")
    op.create_index(
        "ix_events_untold",
        "events",
        ["seq"],
        sqlite_where=sa.text("told IS NULL"),
        postgresql_where=sa.text("told IS NULL"),
    )


def _create_endpoints() -> None:
    op.create_table(
        "webhook_endpoints",
        *_texts("workspace_id", "id", "url", "description", "types"),
        sa.Column("secret_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("secret_version", sa.BigInteger(), nullable=False),
        sa.Column("previous_sealed", sa.LargeBinary()),
        sa.Column("previous_until", TIME),
        sa.Column("created_at", TIME, nullable=False),
        *_texts("created_by"),
        sa.Column("disabled_at", TIME),
        *_texts("disabled_reason"),
        sa.Column("failing_since", TIME),
        sa.PrimaryKeyConstraint("workspace_id", "id", name=op.f("pk_webhook_endpoints")),
        sa.CheckConstraint("secret_version > 0", name=op.f("ck_webhook_endpoints_secret_version")),
        sa.CheckConstraint(
            "(disabled_at IS NULL) = (disabled_reason = '')", name=op.f("ck_webhook_endpoints_disabled")
        ),
    )


def _create_deliveries() -> None:
    op.create_table(
        "webhook_deliveries",
        *_texts("workspace_id", "endpoint_id", "id", "type", "body"),
        sa.Column("created_at", TIME, nullable=False),
        *_texts("state"),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("next_attempt_at", TIME),
        sa.Column("last_attempt_at", TIME),
        *_texts("last_result"),
        sa.PrimaryKeyConstraint("workspace_id", "endpoint_id", "id", name=op.f("pk_webhook_deliveries")),
        sa.ForeignKeyConstraint(
            ["workspace_id", "endpoint_id"],
            ["webhook_endpoints.workspace_id", "webhook_endpoints.id"],
            name=op.f("fk_webhook_deliveries_webhook_endpoints"),
            ondelete="CASCADE",
        ),
        sa.CheckConstraint("state IN ('pending', 'delivered', 'failed')", name=op.f("ck_webhook_deliveries_state")),
        sa.CheckConstraint(
            "(state = 'pending') = (next_attempt_at IS NOT NULL)", name=op.f("ck_webhook_deliveries_next_attempt_at")
        ),
    )
    op.create_index(
        "ix_webhook_deliveries_due",
        "webhook_deliveries",
        ["next_attempt_at", "workspace_id", "endpoint_id"],
        sqlite_where=sa.text("next_attempt_at IS NOT NULL"),
        postgresql_where=sa.text("next_attempt_at IS NOT NULL"),
    )
    op.create_index(
        "ix_webhook_deliveries_pending",
        "webhook_deliveries",
        ["workspace_id", "endpoint_id", "next_attempt_at"],
        sqlite_where=sa.text("next_attempt_at IS NOT NULL"),
        postgresql_where=sa.text("next_attempt_at IS NOT NULL"),
    )
    op.create_index(
        "ix_webhook_deliveries_newest", "webhook_deliveries", ["workspace_id", "endpoint_id", "created_at", "id"]
    )
    op.create_index("ix_webhook_deliveries_over", "webhook_deliveries", ["state", "last_attempt_at"])


def downgrade() -> None:
    """Endpoints and what waits for them are lost."""
    for table in ("mail_turns", "notices", "webhook_deliveries", "webhook_endpoints"):
        op.drop_table(table)
    op.drop_index("ix_events_untold", "events")
    op.drop_column("events", "told")
