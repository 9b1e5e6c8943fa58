"""The shape of rows.

Owns: tables, keys, indexes and checks. Does not own: statements (`store`) or the way from one shape to the next
(`migrations`).

Rows of a workspace have the composite key (workspace_id, id), so that a statement cannot name a row without naming
whose it is.
"""

from __future__ import annotations

from tokenkeep.adapters.tables.base import metadata
from tokenkeep.adapters.tables.callers import members, service_keys, sign_in_links, user_sessions, users, workspaces
from tokenkeep.adapters.tables.connecting import authorization_requests, clients, connect_sessions
from tokenkeep.adapters.tables.credentials import credentials, events, grants, orphans, references
from tokenkeep.adapters.tables.data_keys import data_keys, instance, instance_mark
from tokenkeep.adapters.tables.webhooks import mail_turns, notices, webhook_deliveries, webhook_endpoints

__all__ = [
    "authorization_requests",
    "clients",
    "connect_sessions",
    "credentials",
    "data_keys",
    "events",
    "grants",
    "instance",
    "instance_mark",
    "mail_turns",
    "members",
    "metadata",
    "notices",
    "orphans",
    "references",
    "service_keys",
    "sign_in_links",
    "user_sessions",
    "users",
    "webhook_deliveries",
    "webhook_endpoints",
    "workspaces",
]
