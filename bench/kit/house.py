"""A service with something in it.

Owns: settings for a throw-away service, and filling its database through the use cases' own stores: connected
credentials with sealed tokens, and a service key. Does not own: running it (`bench.kit.processes`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from bench.kit.processes import free_port
from tests.kit import builders
from tests.kit.databases import postgres_dsn
from tokenkeep.adapters.logs import configure_logging
from tokenkeep.core.model import Grant
from tokenkeep.core.permissions import system
from tokenkeep.core.secret import Secret
from tokenkeep.house import House
from tokenkeep.main import open_house
from tokenkeep.services.sealing import seal_tokens
from tokenkeep.settings.environment import read

DATABASES = ("sqlite", "postgresql")
TOKEN_LENGTH = 200


def settings(folder: Path, database_url: str = "", **more: str) -> dict[str, str]:
    """Environment of a service that keeps everything under `folder`. Call it again for another port."""
    given = {
        "TOKENKEEP_PORT": str(free_port()),
        "TOKENKEEP_DATA_DIR": str(folder / "data"),
        "TOKENKEEP_ROOT_KEY_FILE": str(folder / "keys" / "root.json"),
        "TOKENKEEP_LOG_LEVEL": "warning",
    }
    return given | ({"TOKENKEEP_DATABASE_URL": database_url} if database_url else {}) | more


@asynccontextmanager
async def database(kind: str) -> AsyncIterator[str]:
    """The URL of an empty database; empty for SQLite, which lies in the data directory."""
    if kind == "sqlite":
        yield ""
        return
    server = make_url(postgres_dsn())
    name = f"bench_{free_port()}"
    await _administer(server, f'CREATE DATABASE "{name}"')
    try:
        yield server.set(database=name).render_as_string(hide_password=False)
    finally:
        await _administer(server, f'DROP DATABASE "{name}" WITH (FORCE)')


async def _administer(server: Any, statement: str) -> None:
    engine = create_async_engine(server, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.execute(text(statement))
    await engine.dispose()


@asynccontextmanager
async def opened(environ: dict[str, str]) -> AsyncIterator[House]:
    """The house of those settings, not ticking and not telling."""
    configure_logging("text", "ERROR")
    house = await open_house(read(environ))
    try:
        await house.cases.accounts.ensure_workspace()
        yield house
    finally:
        await house.stop()


@dataclass(frozen=True)
class Filled:
    """What was put in."""

    workspace_id: str
    credential_ids: list[str]
    key: str


async def fill(
    house: House, *, count: int, expires_in: timedelta, client: str = "client-1", provider: str = "demo", first: int = 0
) -> Filled:
    """`count` connected credentials whose tokens end in `expires_in`, and a key that reads them.

    `first`: the number of the first, where others were put in before.
    """
    ((workspace_id, _),) = await house.database.accounts.workspaces()
    now = await house.database.grants.now()
    expires_at, an_hour_ago = now + expires_in, now - timedelta(hours=1)
    pattern = builders.grant(
        workspace_id=workspace_id,
        client=client,
        provider=provider,
        connected_at=an_hour_ago,
        standing=builders.standing(expires_at=expires_at, next_refresh_at=expires_at, last_refresh_at=an_hour_ago),
        scopes_requested=("notes.read", "notes.write", "profile"),
        scopes_granted=("notes.read", "notes.write", "profile"),
    )
    ids = [f"01999999-0000-7000-8000-{number:012d}" for number in range(first, first + count)]
    for number, credential_id in enumerate(ids, first):
        await _connected(house, replace(pattern, credential_id=credential_id, grant_id=f"grant-{number}"), number)
    _, key = await house.cases.service_keys.create(system(workspace_id), name="bench", scopes={"tokens:read"})
    return Filled(workspace_id, ids, key.reveal())


async def _connected(house: House, grant: Grant, number: int) -> None:
    place = {"workspace_id": grant.workspace_id, "credential_id": grant.credential_id, "at": grant.connected_at}
    credential = builders.credential(
        id=grant.credential_id, workspace_id=grant.workspace_id, type="demoOAuth2", name=f"Credential {number}"
    )
    await house.database.credentials.add(credential, builders.event(id=f"created-{number}", **place))
    tokens = builders.token_set(
        access_token=Secret(f"access-{number}-".ljust(TOKEN_LENGTH, "a")),
        refresh_token=Secret(f"refresh-{number}-".ljust(TOKEN_LENGTH, "r")),
        scope=grant.scopes_granted,
        expires_at=grant.standing.expires_at,
    )
    sealed = await seal_tokens(house.cases.tokens.envelope, grant, tokens)
    await house.database.grants.connect(sealed, builders.event(id=f"connected-{number}", kind="connected", **place))
