"""Connecting: clients, authorization requests and connect sessions.

Owns: `clients`, `authorization_requests`, `connect_sessions`. Does not own: what a connection leads to (`credentials`).
"""

from __future__ import annotations

from sqlalchemy import Boolean, CheckConstraint, Column, Index, Table, UniqueConstraint

from tokenkeep.adapters.tables.base import count, json_column, keys, metadata, sealed, text_column, texts, time, times

clients = Table(
    "clients",
    metadata,
    *keys("workspace_id", "id"),
    *texts("provider", "client_id"),
    sealed("secret_sealed"),
    count("version"),
    json_column("scopes"),
    json_column("variables"),
    text_column("incident_code"),
    time("incident_since", nullable=True),
    time("probe_at", nullable=True),
    time("updated_at", nullable=True),
    CheckConstraint("version > 0", name="version"),
    UniqueConstraint("id"),
    UniqueConstraint("workspace_id", "provider"),
)

authorization_requests = Table(
    "authorization_requests",
    metadata,
    *keys("workspace_id", "id"),
    text_column("state_digest", unique=True),
    *texts("browser_digest", "user_id", "connect_session_id", "credential_id", "client", "issuer", "token_endpoint"),
    sealed("verifier_sealed", nullable=False),
    json_column("scopes"),
    text_column("redirect_uri"),
    *times("created_at", "expires_at"),
    Column("popup", Boolean, nullable=False),
    Index("ix_authorization_requests_of_user", "workspace_id", "user_id"),
    Index("ix_authorization_requests_expires_at", "expires_at"),
)

connect_sessions = Table(
    "connect_sessions",
    metadata,
    *keys("workspace_id", "id"),
    text_column("secret_digest", unique=True),
    *texts("type", "name", "credential_id"),
    json_column("scopes"),
    sealed("values_sealed"),
    *texts("return_url", "opener_origin", "minted_by", "state", "problem_code", "problem_detail"),
    *times("created_at", "expires_at"),
    text_column("confirm_digest"),
    sealed("pending_sealed"),
    CheckConstraint("state IN ('pending', 'awaiting_confirmation', 'connected', 'failed', 'expired')", name="state"),
    Index("ix_connect_sessions_expires_at", "expires_at"),
)
