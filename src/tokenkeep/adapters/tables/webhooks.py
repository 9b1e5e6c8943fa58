"""Telling outsiders.

Owns: `webhook_endpoints`, `webhook_deliveries` (the outbox), `notices`, `mail_turns`. Does not own: history (`credentials`).
"""

from __future__ import annotations

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, Table, text

from tokenkeep.adapters.tables.base import count, json_column, keys, metadata, sealed, text_column, texts, time, times

webhook_endpoints = Table(
    "webhook_endpoints",
    metadata,
    *keys("workspace_id", "id"),
    *texts("url", "description"),
    json_column("types"),
    sealed("secret_sealed", nullable=False),
    count("secret_version"),
    sealed("previous_sealed"),
    time("previous_until", nullable=True),
    time("created_at"),
    text_column("created_by"),
    time("disabled_at", nullable=True),
    text_column("disabled_reason"),
    time("failing_since", nullable=True),
    CheckConstraint("secret_version > 0", name="secret_version"),
    CheckConstraint("(disabled_at IS NULL) = (disabled_reason = '')", name="disabled"),
)

webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    *keys("workspace_id", "endpoint_id", "id"),
    *texts("type", "body"),
    time("created_at"),
    text_column("state"),
    count("attempts"),
    time("next_attempt_at", nullable=True),
    time("last_attempt_at", nullable=True),
    text_column("last_result"),
    ForeignKeyConstraint(
        ["workspace_id", "endpoint_id"],
        ["webhook_endpoints.workspace_id", "webhook_endpoints.id"],
        ondelete="CASCADE",
    ),
    CheckConstraint("state IN ('pending', 'delivered', 'failed')", name="state"),
    CheckConstraint("(state = 'pending') = (next_attempt_at IS NOT NULL)", name="next_attempt_at"),
    Index(
        "ix_webhook_deliveries_due",
        "next_attempt_at",
        "workspace_id",
        "endpoint_id",
        sqlite_where=text("next_attempt_at IS NOT NULL"),
        postgresql_where=text("next_attempt_at IS NOT NULL"),
    ),
    Index(
        "ix_webhook_deliveries_pending",
        "workspace_id",
        "endpoint_id",
        "next_attempt_at",
        sqlite_where=text("next_attempt_at IS NOT NULL"),
        postgresql_where=text("next_attempt_at IS NOT NULL"),
    ),
    Index("ix_webhook_deliveries_newest", "workspace_id", "endpoint_id", "created_at", "id"),
    Index("ix_webhook_deliveries_over", "state", "last_attempt_at"),
)

notices = Table(
    "notices",
    metadata,
    *keys("workspace_id", "id"),
    text_column("type"),
    time("at"),
    *texts("name", "path"),
)

mail_turns = Table("mail_turns", metadata, *keys("workspace_id"), *times("next_at"))
