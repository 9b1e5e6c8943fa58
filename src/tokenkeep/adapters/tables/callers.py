"""Who asks: programs and people.

Owns: `service_keys`, `workspaces`, `users`, `members`, `user_sessions`, `sign_in_links`. Does not own: other tables.
"""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Table, Text, UniqueConstraint

from tokenkeep.adapters.tables.base import json_column, keys, metadata, revision, text_column, texts, time, times

service_keys = Table(
    "service_keys",
    metadata,
    *keys("workspace_id", "id"),
    *texts("name", "digest"),
    json_column("scopes"),
    json_column("credential_ids", nullable=True),
    time("created_at"),
    time("expires_at", nullable=True),
    time("last_used_at", nullable=True),
    time("revoked_at", nullable=True),
    revision(),
    UniqueConstraint("id"),
)

workspaces = Table("workspaces", metadata, *keys("id"), text_column("name"), time("created_at"))

users = Table(
    "users",
    metadata,
    *keys("id"),
    text_column("email"),
    text_column("email_key", unique=True),  # casefolded: one address, one person
    *texts("name", "password_hash"),
    time("created_at"),
)

members = Table(
    "members",
    metadata,
    Column("workspace_id", Text, ForeignKey("workspaces.id", ondelete="CASCADE"), primary_key=True),
    Column("user_id", Text, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    text_column("role"),
    time("created_at"),
    CheckConstraint("role IN ('owner', 'admin', 'editor', 'user', 'viewer')", name="role"),
    Index("ix_members_of_user", "user_id"),
)

user_sessions = Table(
    "user_sessions",
    metadata,
    *keys("digest"),
    Column("user_id", Text, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    text_column("workspace_id"),
    *times("created_at", "seen_at", "expires_at"),
    text_column("browser"),
    Index("ix_user_sessions_of_user", "user_id"),
    Index("ix_user_sessions_expires_at", "expires_at"),
)

sign_in_links = Table("sign_in_links", metadata, *keys("digest"), time("expires_at"))
