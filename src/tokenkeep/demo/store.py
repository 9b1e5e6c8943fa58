"""The demo provider's memory: one SQLite file, so that a grant outlives a restart.

Owns: the shape of its rows, transactions, and forgetting what no longer matters. Holds digests, never tokens.
Does not own: the rules of OAuth (`grants`) and the service's own database, which is another file.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tokenkeep.demo.people import Person
from tokenkeep.demo.records import Client, Code, Grant, Pending, Token

FILE_NAME = "demo.sqlite3"
REMEMBER_ENDED_S = 86_400
"""How long used codes, spent refresh tokens and revoked grants stay, so that their reuse is recognised."""

PENDING_LIMIT = 1000
"""Anybody may begin an authorization request, so there is an end to how many are kept."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS clients (
  client_id TEXT PRIMARY KEY, secret_digest TEXT NOT NULL, redirect_uri TEXT NOT NULL, name TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS pending (
  id_digest TEXT PRIMARY KEY, browser_digest TEXT NOT NULL, parameters TEXT NOT NULL,
  person_id TEXT NOT NULL DEFAULT '', person_name TEXT NOT NULL DEFAULT '', workspace TEXT NOT NULL DEFAULT '',
  expires_at REAL NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS grants (
  id TEXT PRIMARY KEY, client_id TEXT NOT NULL, person_id TEXT NOT NULL, person_name TEXT NOT NULL,
  workspace TEXT NOT NULL, scope TEXT NOT NULL, granted_at REAL NOT NULL, revoked_at REAL,
  issued INTEGER NOT NULL DEFAULT 0, issued_at REAL) STRICT;
CREATE TABLE IF NOT EXISTS codes (
  digest TEXT PRIMARY KEY, grant_id TEXT NOT NULL REFERENCES grants (id) ON DELETE CASCADE, redirect_uri TEXT,
  code_challenge TEXT NOT NULL, expires_at REAL NOT NULL, used INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE TABLE IF NOT EXISTS tokens (
  digest TEXT PRIMARY KEY, grant_id TEXT NOT NULL REFERENCES grants (id) ON DELETE CASCADE, kind TEXT NOT NULL,
  scope TEXT NOT NULL, lifetime_s INTEGER NOT NULL, expires_at REAL, spent_at REAL) STRICT;
CREATE INDEX IF NOT EXISTS tokens_by_grant ON tokens (grant_id);
"""


class DemoStore:
    """Everything the demo provider remembers. Use each method inside `transaction()`."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / FILE_NAME
        path.touch(mode=0o600)  # before SQLite makes it readable for others; its WAL inherits the mode
        self._lock = threading.Lock()
        self._rows = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)
        self._rows.row_factory = sqlite3.Row
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
            self._rows.execute(f"PRAGMA {pragma}")
        self._rows.executescript(SCHEMA)

    def close(self) -> None:
        """Let go of the file."""
        self._rows.close()

    @contextmanager
    def transaction(self) -> Iterator[DemoStore]:
        """One protocol step, alone: two requests with one refresh token must not both find it unspent."""
        with self._lock:
            self._rows.execute("BEGIN IMMEDIATE")
            try:
                yield self
            except BaseException:
                self._rows.execute("ROLLBACK")
                raise
            self._rows.execute("COMMIT")

    # --- clients ---

    def put_client(self, client: Client) -> None:
        """Insert, or replace the one with the same id."""
        self._rows.execute(
            "INSERT OR REPLACE INTO clients (client_id, secret_digest, redirect_uri, name) VALUES (?, ?, ?, ?)",
            (client.client_id, client.secret_digest, client.redirect_uri, client.name),
        )

    def client(self, client_id: str) -> Client | None:
        """None: not registered."""
        row = self._one("SELECT * FROM clients WHERE client_id = ?", client_id)
        return Client(**dict(row)) if row else None

    # --- pending authorization requests ---

    def add_pending(self, pending: Pending, *, browser_digest: str, expires_at: float) -> None:
        """Keep a request until its decision; only the browser it came from can continue it."""
        self._rows.execute(
            "INSERT INTO pending (id_digest, browser_digest, parameters, expires_at) VALUES (?, ?, ?, ?)",
            (pending.id_digest, browser_digest, json.dumps(pending.parameters), expires_at),
        )
        self._rows.execute(
            "DELETE FROM pending WHERE rowid NOT IN (SELECT rowid FROM pending ORDER BY rowid DESC LIMIT ?)",
            (PENDING_LIMIT,),
        )

    def pending(self, id_digest: str, *, browser_digest: str, now: float) -> Pending | None:
        """None: unknown, decided, too old, or begun in another browser."""
        row = self._one(
            "SELECT * FROM pending WHERE id_digest = ? AND browser_digest = ? AND expires_at > ?",
            id_digest, browser_digest, now,
        )  # fmt: skip
        return _pending(row) if row else None

    def sign_in(self, id_digest: str, person: Person) -> None:
        """Say who answers this request."""
        self._rows.execute(
            "UPDATE pending SET person_id = ?, person_name = ?, workspace = ? WHERE id_digest = ?",
            (person.id, person.name, person.workspace, id_digest),
        )

    def end_pending(self, id_digest: str) -> None:
        """It is decided: never again."""
        self._rows.execute("DELETE FROM pending WHERE id_digest = ?", (id_digest,))

    # --- grants ---

    def add_grant(self, grant: Grant) -> None:
        """A person said yes."""
        who = grant.person
        self._rows.execute(
            "INSERT INTO grants (id, client_id, person_id, person_name, workspace, scope, granted_at) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (grant.id, grant.client_id, who.id, who.name, who.workspace, grant.scope, grant.granted_at),
        )

    def live_grants(self) -> Sequence[tuple[Grant, str]]:
        """(grant, client name) of all that still give tokens, newest first."""
        rows = self._rows.execute(
            "SELECT g.*, g.id AS grant_id, g.scope AS grant_scope, c.name AS client_name "
            "FROM grants g JOIN clients c USING (client_id) "
            "WHERE g.revoked_at IS NULL AND g.issued > 0 ORDER BY g.granted_at DESC, g.id"
        )
        return [(_grant(row), row["client_name"]) for row in rows]

    def revoke_grant(self, grant_id: str, *, now: float) -> bool:
        """End a consent with every token under it. False: there was no live one."""
        ended = self._rows.execute(
            "UPDATE grants SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL", (now, grant_id)
        )
        return ended.rowcount > 0

    # --- codes ---

    def add_code(self, code: Code, *, expires_at: float) -> None:
        """Under a grant that is already there."""
        self._rows.execute(
            "INSERT INTO codes (digest, grant_id, redirect_uri, code_challenge, expires_at) VALUES (?, ?, ?, ?, ?)",
            (code.digest, code.grant.id, code.redirect_uri, code.code_challenge, expires_at),
        )

    def code(self, code_digest: str, *, now: float) -> Code | None:
        """Also answers used and expired ones, saying so."""
        row = self._one(
            "SELECT t.*, g.*, g.scope AS grant_scope "
            "FROM codes t JOIN grants g ON g.id = t.grant_id WHERE t.digest = ?",
            code_digest,
        )
        return _code(row, now) if row else None

    def use_code(self, code_digest: str) -> None:
        """Kept for a while, so that a second use is recognised."""
        self._rows.execute("UPDATE codes SET used = 1 WHERE digest = ?", (code_digest,))

    # --- tokens ---

    def add_token(self, token: Token, *, expires_at: float | None) -> None:
        """`expires_at` None: it lives as long as its grant."""
        self._rows.execute(
            "INSERT INTO tokens (digest, grant_id, kind, scope, lifetime_s, expires_at) VALUES (?, ?, ?, ?, ?, ?)",
            (token.digest, token.grant.id, token.kind, token.scope, token.lifetime_s, expires_at),
        )

    def note_issue(self, grant_id: str, *, now: float) -> None:
        """Count a token answer, for the person's page."""
        self._rows.execute("UPDATE grants SET issued = issued + 1, issued_at = ? WHERE id = ?", (now, grant_id))

    def token(self, token_digest: str, *, now: float) -> Token | None:
        """Also answers expired, spent and revoked ones, saying so."""
        row = self._one(
            "SELECT t.*, t.scope AS token_scope, g.*, g.scope AS grant_scope "
            "FROM tokens t JOIN grants g ON g.id = t.grant_id WHERE t.digest = ?",
            token_digest,
        )
        return _token(row, now) if row else None

    def spend(self, token_digest: str, *, now: float) -> None:
        """A refresh token was rotated away; its reuse ends the grant."""
        self._rows.execute("UPDATE tokens SET spent_at = ? WHERE digest = ?", (now, token_digest))

    def drop_token(self, token_digest: str) -> None:
        """One token alone; its grant goes on."""
        self._rows.execute("DELETE FROM tokens WHERE digest = ?", (token_digest,))

    def purge(self, now: float) -> None:
        """Forget what ended long enough ago."""
        ended = now - REMEMBER_ENDED_S
        self._rows.execute("DELETE FROM pending WHERE expires_at < ?", (now,))
        self._rows.execute("DELETE FROM codes WHERE expires_at < ?", (ended,))
        self._rows.execute("DELETE FROM tokens WHERE expires_at < ? OR spent_at < ?", (ended, ended))
        self._rows.execute("DELETE FROM grants WHERE revoked_at < ?", (ended,))
        self._rows.execute("DELETE FROM grants WHERE issued = 0 AND granted_at < ?", (ended,))

    def _one(self, statement: str, *values: object) -> sqlite3.Row | None:
        row: sqlite3.Row | None = self._rows.execute(statement, values).fetchone()
        return row


def _person(row: sqlite3.Row) -> Person:
    return Person(id=row["person_id"], name=row["person_name"], workspace=row["workspace"])


def _pending(row: sqlite3.Row) -> Pending:
    parameters = tuple((name, value) for name, value in json.loads(row["parameters"]))
    person = _person(row) if row["person_id"] else None
    return Pending(id_digest=row["id_digest"], parameters=parameters, person=person)


def _grant(row: sqlite3.Row) -> Grant:
    return Grant(
        id=row["id"],
        client_id=row["client_id"],
        person=_person(row),
        scope=row["grant_scope"],
        granted_at=row["granted_at"],
        revoked=row["revoked_at"] is not None,
        issued=row["issued"],
        issued_at=row["issued_at"],
    )


def _code(row: sqlite3.Row, now: float) -> Code:
    return Code(
        digest=row["digest"],
        grant=_grant(row),
        redirect_uri=row["redirect_uri"],
        code_challenge=row["code_challenge"],
        used=bool(row["used"]),
        expired=row["expires_at"] <= now,
    )


def _token(row: sqlite3.Row, now: float) -> Token:
    return Token(
        digest=row["digest"],
        kind=row["kind"],
        grant=_grant(row),
        scope=row["token_scope"],
        lifetime_s=row["lifetime_s"],
        expired=row["expires_at"] is not None and row["expires_at"] <= now,
        spent=row["spent_at"] is not None,
    )
