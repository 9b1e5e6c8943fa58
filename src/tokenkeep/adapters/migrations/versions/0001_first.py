"""The first shape."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TIME = sa.BigInteger().with_variant(postgresql.TIMESTAMP(timezone=True), "postgresql")
ORDERED = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
SEQUENCE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _texts(*names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.Text(), nullable=False) for name in names]


def _times(*names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, TIME, nullable=False) for name in names]


def _counts(*names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.BigInteger(), nullable=False) for name in names]


def upgrade() -> None:
    """From nothing."""
    _create_credentials()
    _create_grants()
    _create_history()
    _create_connecting()
    _create_callers()
    _create_keys()


def downgrade() -> None:
    """To nothing, and everything stored is lost."""
    for table in (
        "instance",
        "data_keys",
        "sign_in_links",
        "user_sessions",
        "members",
        "users",
        "workspaces",
        "service_keys",
        "connect_sessions",
        "authorization_requests",
        "clients",
        "events",
        "credential_references",
        "orphans",
        "grants",
        "credentials",
    ):
        op.drop_table(table)


def _create_credentials() -> None:
    op.create_table(
        "credentials",
        *_texts("workspace_id", "id", "type", "name"),
        sa.Column("name_key", ORDERED, nullable=False),
        *_counts("version"),
        sa.Column("values_sealed", sa.LargeBinary()),
        *_counts("values_version"),
        *_texts("masked"),
        *_times("created_at", "updated_at"),
        *_texts("created_by"),
        sa.PrimaryKeyConstraint("workspace_id", "id", name=op.f("pk_credentials")),
        sa.CheckConstraint("version > 0", name=op.f("ck_credentials_version")),
    )
    op.create_index("ix_credentials_by_name", "credentials", ["workspace_id", "name_key", "id"])


def _create_grants() -> None:
    op.create_table(
        "grants",
        *_texts("workspace_id", "credential_id", "grant_id", "client", "provider"),
        *_counts("version"),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        *_texts("state"),
        sa.Column("expires_at", TIME),
        sa.Column("refresh_expires_at", TIME),
        sa.Column("next_refresh_at", TIME),
        sa.Column("last_refresh_at", TIME),
        sa.Column("failure_kind", sa.Text()),
        sa.Column("failure_code", sa.Text()),
        sa.Column("failure_count", sa.BigInteger()),
        sa.Column("failure_since", TIME),
        *_times("connected_at"),
        sa.Column("prev_sealed", sa.LargeBinary()),
        sa.Column("prev_until", TIME),
        sa.Column("account_sealed", sa.LargeBinary()),
        *_texts("scopes_requested"),
        sa.Column("scopes_granted", sa.Text()),
        *_counts("fence"),
        *_texts("lease_owner"),
        sa.Column("lease_until", TIME),
        sa.Column("intent_at", TIME),
        *_texts("intent_fingerprint"),
        sa.Column("prior_intent_at", TIME),
        sa.Column("prior_intent_fingerprint", sa.Text(), nullable=False, server_default=sa.text("''")),
        sa.Column("prior_next_refresh_at", TIME),
        sa.Column("revision", sa.BigInteger(), nullable=False, server_default=sa.text("1")),
        sa.PrimaryKeyConstraint("workspace_id", "credential_id", name=op.f("pk_grants")),
        sa.ForeignKeyConstraint(
            ["workspace_id", "credential_id"],
            ["credentials.workspace_id", "credentials.id"],
            ondelete="CASCADE",
            name=op.f("fk_grants_credentials"),
        ),
        sa.CheckConstraint("(failure_kind IS NULL) = (failure_since IS NULL)", name=op.f("ck_grants_failure")),
        sa.CheckConstraint(
            "failure_kind IN ('transient', 'client', 'grant', 'internal')", name=op.f("ck_grants_failure_kind")
        ),
        sa.CheckConstraint("fence >= 0", name=op.f("ck_grants_fence")),
        sa.CheckConstraint("(lease_owner = '') = (lease_until IS NULL)", name=op.f("ck_grants_lease")),
        sa.CheckConstraint(
            "state IN ('connected', 'failing', 'reauthorization_required', 'quarantined')", name=op.f("ck_grants_state")
        ),
        sa.CheckConstraint("version > 0", name=op.f("ck_grants_version")),
    )
    op.create_index("ix_grants_by_client", "grants", ["workspace_id", "client"])
    op.create_index(
        "ix_grants_due",
        "grants",
        ["next_refresh_at"],
        sqlite_where=sa.text("next_refresh_at IS NOT NULL"),
        postgresql_where=sa.text("next_refresh_at IS NOT NULL"),
    )
    op.create_table(
        "orphans",
        *_texts("workspace_id", "credential_id", "grant_id"),
        sa.Column("version", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("fence", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        *_times("until"),
        sa.PrimaryKeyConstraint(
            "workspace_id", "credential_id", "grant_id", "version", "fence", name=op.f("pk_orphans")
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id", "credential_id"],
            ["credentials.workspace_id", "credentials.id"],
            ondelete="CASCADE",
            name=op.f("fk_orphans_credentials"),
        ),
    )
    op.create_index("ix_orphans_until", "orphans", ["until"])


def _create_history() -> None:
    op.create_table(
        "credential_references",
        *_texts("workspace_id", "credential_id", "consumer"),
        sa.Column("declared", sa.Boolean(), nullable=False),
        *_times("created_at"),
        sa.Column("last_used_at", TIME),
        sa.PrimaryKeyConstraint("workspace_id", "credential_id", "consumer", name=op.f("pk_credential_references")),
        sa.ForeignKeyConstraint(
            ["workspace_id", "credential_id"],
            ["credentials.workspace_id", "credentials.id"],
            ondelete="CASCADE",
            name=op.f("fk_credential_references_credentials"),
        ),
    )
    op.create_table(
        "events",
        sa.Column("seq", SEQUENCE, nullable=False),
        *_texts("id", "workspace_id", "credential_id"),
        *_times("at"),
        *_texts("kind", "actor", "detail"),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_events")),
        sa.UniqueConstraint("workspace_id", "id", name=op.f("uq_events_workspace_id_id")),
    )
    op.create_index("ix_events_of_credential", "events", ["workspace_id", "credential_id", "at", "seq"])
    op.create_index("ix_events_recent", "events", ["workspace_id", "at", "seq"])


def _create_connecting() -> None:
    op.create_table(
        "clients",
        *_texts("workspace_id", "id", "provider", "client_id"),
        sa.Column("secret_sealed", sa.LargeBinary()),
        *_counts("version"),
        *_texts("scopes", "variables", "incident_code"),
        sa.Column("incident_since", TIME),
        sa.Column("probe_at", TIME),
        sa.Column("updated_at", TIME),
        sa.PrimaryKeyConstraint("workspace_id", "id", name=op.f("pk_clients")),
        sa.UniqueConstraint("id", name=op.f("uq_clients_id")),
        sa.UniqueConstraint("workspace_id", "provider", name=op.f("uq_clients_workspace_id_provider")),
        sa.CheckConstraint("version > 0", name=op.f("ck_clients_version")),
    )
    op.create_table(
        "authorization_requests",
        *_texts(
            "workspace_id",
            "id",
            "state_digest",
            "browser_digest",
            "user_id",
            "connect_session_id",
            "credential_id",
            "client",
            "issuer",
            "token_endpoint",
        ),
        sa.Column("verifier_sealed", sa.LargeBinary(), nullable=False),
        *_texts("scopes", "redirect_uri"),
        *_times("created_at", "expires_at"),
        sa.Column("popup", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "id", name=op.f("pk_authorization_requests")),
        sa.UniqueConstraint("state_digest", name=op.f("uq_authorization_requests_state_digest")),
    )
    op.create_index("ix_authorization_requests_expires_at", "authorization_requests", ["expires_at"])
    op.create_index("ix_authorization_requests_of_user", "authorization_requests", ["workspace_id", "user_id"])
    op.create_table(
        "connect_sessions",
        *_texts("workspace_id", "id", "secret_digest", "type", "name", "credential_id", "scopes"),
        sa.Column("values_sealed", sa.LargeBinary()),
        *_texts("return_url", "opener_origin", "minted_by", "state", "problem_code", "problem_detail"),
        *_times("created_at", "expires_at"),
        *_texts("confirm_digest"),
        sa.Column("pending_sealed", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("workspace_id", "id", name=op.f("pk_connect_sessions")),
        sa.UniqueConstraint("secret_digest", name=op.f("uq_connect_sessions_secret_digest")),
        sa.CheckConstraint(
            "state IN ('pending', 'awaiting_confirmation', 'connected', 'failed', 'expired')",
            name=op.f("ck_connect_sessions_state"),
        ),
    )
    op.create_index("ix_connect_sessions_expires_at", "connect_sessions", ["expires_at"])


def _create_callers() -> None:
    op.create_table(
        "service_keys",
        *_texts("workspace_id", "id", "name", "digest", "scopes"),
        sa.Column("credential_ids", sa.Text()),
        *_times("created_at"),
        sa.Column("expires_at", TIME),
        sa.Column("last_used_at", TIME),
        sa.Column("revoked_at", TIME),
        sa.Column("revision", sa.BigInteger(), nullable=False, server_default=sa.text("1")),
        sa.PrimaryKeyConstraint("workspace_id", "id", name=op.f("pk_service_keys")),
        sa.UniqueConstraint("id", name=op.f("uq_service_keys_id")),
    )
    op.create_table(
        "workspaces",
        *_texts("id", "name"),
        *_times("created_at"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workspaces")),
    )
    op.create_table(
        "users",
        *_texts("id", "email", "email_key", "name", "password_hash"),
        *_times("created_at"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("email_key", name=op.f("uq_users_email_key")),
    )
    op.create_table(
        "members",
        *_texts("workspace_id", "user_id", "role"),
        *_times("created_at"),
        sa.PrimaryKeyConstraint("workspace_id", "user_id", name=op.f("pk_members")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE", name=op.f("fk_members_users")),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], ondelete="CASCADE", name=op.f("fk_members_workspaces")
        ),
        sa.CheckConstraint("role IN ('owner', 'admin', 'editor', 'user', 'viewer')", name=op.f("ck_members_role")),
    )
    op.create_index("ix_members_of_user", "members", ["user_id"])
    op.create_table(
        "user_sessions",
        *_texts("digest", "user_id", "workspace_id"),
        *_times("created_at", "seen_at", "expires_at"),
        *_texts("browser"),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_user_sessions")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE", name=op.f("fk_user_sessions_users")),
    )
    op.create_index("ix_user_sessions_expires_at", "user_sessions", ["expires_at"])
    op.create_index("ix_user_sessions_of_user", "user_sessions", ["user_id"])
    op.create_table(
        "sign_in_links",
        *_texts("digest"),
        *_times("expires_at"),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_sign_in_links")),
    )


def _create_keys() -> None:
    op.create_table(
        "data_keys",
        sa.Column("id", sa.LargeBinary(), nullable=False),
        *_texts("workspace_id"),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        *_texts("root_key_id"),
        *_times("created_at"),
        sa.Column("active", sa.Boolean(), nullable=False),
        *_counts("used"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_data_keys")),
        sa.CheckConstraint("used >= 0", name=op.f("ck_data_keys_used")),
    )
    op.create_index(
        "ix_data_keys_active",
        "data_keys",
        ["workspace_id"],
        unique=True,
        sqlite_where=sa.text("active"),
        postgresql_where=sa.text("active"),
    )
    op.create_index("ix_data_keys_of_workspace", "data_keys", ["workspace_id"])
    op.create_table(
        "instance",
        sa.Column("id", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("check_sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_instance")),
        sa.CheckConstraint("id = 1", name=op.f("ck_instance_single")),
    )
