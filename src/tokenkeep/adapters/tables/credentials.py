"""Credentials, their grants, what uses them and their history.

Owns: `credentials`, `grants`, `orphans`, `references`, `events`. Does not own: other tables.

A person's edits (`credentials`) and the refresher's (`grants`) are two tables: neither waits for, nor invalidates, the
other.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

from tokenkeep.adapters.tables.base import (
    count,
    json_column,
    keys,
    metadata,
    of_credential,
    revision,
    sealed,
    text_column,
    texts,
    time,
    times,
)
from tokenkeep.adapters.tables.columns import Ordered

credentials = Table(
    "credentials",
    metadata,
    *keys("workspace_id", "id"),
    *texts("type", "name"),
    Column("name_key", Ordered, nullable=False),  # casefolded: what lists are ordered and searched by
    count("version"),
    sealed("values_sealed"),
    count("values_version"),
    json_column("masked"),
    *times("created_at", "updated_at"),
    text_column("created_by"),
    CheckConstraint("version > 0", name="version"),
    Index("ix_credentials_by_name", "workspace_id", "name_key", "id"),
)

grants = Table(
    "grants",
    metadata,
    *keys("workspace_id", "credential_id"),
    *texts("grant_id", "client", "provider"),
    count("version"),
    sealed("sealed", nullable=False),
    text_column("state"),
    time("expires_at", nullable=True),
    time("refresh_expires_at", nullable=True),
    time("next_refresh_at", nullable=True),
    time("last_refresh_at", nullable=True),
    Column("failure_kind", Text),  # NULL: all is well
    Column("failure_code", Text),
    Column("failure_count", BigInteger),
    time("failure_since", nullable=True),
    Column("endless", Boolean, nullable=False, server_default=false()),
    Column("learned_life_s", BigInteger),
    time("needs_person_at", nullable=True),
    time("warn_at", nullable=True),
    time("warned_for", nullable=True),  # the date that was said last; no refresh writes it
    Column("rejected_count", BigInteger),  # NULL, as all of them: no node reported a rejection
    time("rejected_since", nullable=True),
    time("rejected_at", nullable=True),
    Column("rejected_version", BigInteger),
    Column("rejected_life_before_s", BigInteger),
    time("connected_at"),
    sealed("prev_sealed"),
    time("prev_until", nullable=True),
    sealed("account_sealed"),
    json_column("scopes_requested"),
    json_column("scopes_granted", nullable=True),
    count("fence"),
    text_column("lease_owner"),
    time("lease_until", nullable=True),
    time("intent_at", nullable=True),
    text_column("intent_fingerprint"),
    # What a claim overwrote. RETURNING answers new values only, and a read before the claim would be another statement.
    time("prior_intent_at", nullable=True),
    text_column("prior_intent_fingerprint", server_default=text("''")),
    time("prior_next_refresh_at", nullable=True),
    json_column("refused", nullable=True),  # NULL: none
    revision(),
    of_credential(),
    CheckConstraint("version > 0", name="version"),
    CheckConstraint("fence >= 0", name="fence"),
    CheckConstraint("state IN ('connected', 'failing', 'reauthorization_required', 'quarantined')", name="state"),
    CheckConstraint("failure_kind IN ('transient', 'client', 'grant', 'internal')", name="failure_kind"),
    CheckConstraint("(failure_kind IS NULL) = (failure_since IS NULL)", name="failure"),
    CheckConstraint("(lease_owner = '') = (lease_until IS NULL)", name="lease"),
    Index(
        "ix_grants_due",
        "next_refresh_at",
        sqlite_where=text("next_refresh_at IS NOT NULL"),
        postgresql_where=text("next_refresh_at IS NOT NULL"),
    ),
    Index("ix_grants_by_client", "workspace_id", "client"),
    Index(
        "ix_grants_to_warn",
        "warn_at",
        sqlite_where=text("warn_at IS NOT NULL"),
        postgresql_where=text("warn_at IS NOT NULL"),
    ),
)

orphans = Table(
    "orphans",
    metadata,
    *keys("workspace_id", "credential_id", "grant_id"),
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("fence", BigInteger, primary_key=True, autoincrement=False),
    sealed("sealed", nullable=False),
    time("until"),
    of_credential(),
    Index("ix_orphans_until", "until"),
)

references = Table(
    "credential_references",  # REFERENCES is a reserved word
    metadata,
    *keys("workspace_id", "credential_id", "consumer"),
    Column("declared", Boolean, nullable=False),
    time("created_at"),
    time("last_used_at", nullable=True),
    of_credential(),
)

events = Table(
    "events",
    metadata,
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),  # order within one moment
    text_column("id"),
    text_column("workspace_id"),
    text_column("credential_id"),  # empty: about no credential. No foreign key: `deleted` is told after the deletion
    time("at"),
    *texts("kind", "actor"),
    json_column("detail"),
    Column("told", Boolean),  # NULL: outsiders (webhooks, mail) have not been told yet
    UniqueConstraint("workspace_id", "id"),
    Index("ix_events_of_credential", "workspace_id", "credential_id", "at", "seq"),
    Index("ix_events_recent", "workspace_id", "at", "seq"),
    Index("ix_events_untold", "seq", sqlite_where=text("told IS NULL"), postgresql_where=text("told IS NULL")),
)
