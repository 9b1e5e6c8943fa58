"""Signing in at a real PostgreSQL: what each refusal means, and how much TLS there has to be."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy.engine import URL, make_url

from tests.kit.certificates import self_signed
from tests.kit.database_servers import PostgresqlFront
from tests.kit.databases import administer, postgres_dsn
from tokenkeep.adapters.probes.database_probe import DatabaseProbeAdapter
from tokenkeep.core.model import Driver
from tokenkeep.core.probing import Probed, Target, Tls
from tokenkeep.core.secret import Secret

pytestmark = pytest.mark.postgres

HOST = "db.test"
MINE = os.getpid()  # several processes may test at one server
ROLE, SHUT_OUT, PASSWORD = f"probed_role_{MINE}", f"probed_shut_out_{MINE}", "pass word:/@'"
OPEN, CLOSED = f"probed_open_{MINE}", f"probed_closed_{MINE}"


async def here(host: str, port: int) -> list[str]:
    return ["127.0.0.1"]


def dialling(server: URL) -> Any:
    folder = server.query.get("host", "")
    if str(folder).startswith("/"):
        return lambda: asyncio.open_unix_connection(f"{folder}/.s.PGSQL.{server.port or 5432}")
    return lambda: asyncio.open_connection(server.host, server.port or 5432)


async def by_password(server: URL) -> None:
    """The server of the tests trusts everybody on this machine: not these two."""
    options = {"user": server.username, "password": server.password, "database": "postgres"}
    place = {"host": server.query.get("host") or server.host, "port": server.port or 5432}
    connection = await asyncpg.connect(**options, **place)
    line = f"local all {ROLE},{SHUT_OUT} scram-sha-256"
    try:
        rules = await connection.fetchval("SELECT pg_read_file(current_setting('hba_file'))")
        if line not in rules:
            path = await connection.fetchval("SELECT current_setting('hba_file')")
            Path(path).write_text(f"{line}\n{rules}", encoding="utf-8")
            await connection.execute("SELECT pg_reload_conf()")
    finally:
        await connection.close()


@pytest.fixture
async def server() -> AsyncIterator[URL]:
    url = make_url(postgres_dsn())
    literal = PASSWORD.replace("'", "''").replace(":", "\\:")
    drop = [f"DROP DATABASE IF EXISTS {name}" for name in (OPEN, CLOSED)]
    drop += [f"DROP ROLE IF EXISTS {name}" for name in (ROLE, SHUT_OUT)]
    await administer(
        url,
        *drop,
        f"CREATE ROLE {ROLE} LOGIN PASSWORD '{literal}'",
        f"CREATE ROLE {SHUT_OUT} NOLOGIN PASSWORD '{literal}'",
        f"CREATE DATABASE {OPEN}",
        f"CREATE DATABASE {CLOSED}",
        f"REVOKE CONNECT ON DATABASE {CLOSED} FROM PUBLIC",
    )
    if str(url.query.get("host", "")).startswith("/"):
        await by_password(url)
    yield url
    await administer(url, *drop)


async def found(server: URL, *, front_tls: Any = None, ca_file: Any = None, **changes: Any) -> tuple[Probed, Any]:
    """What signing in finds, as somebody the server knows unless `changes` say otherwise; and what stood in front."""
    whole = Target(
        driver=Driver.POSTGRESQL, host=HOST, port=0, user=ROLE, password=Secret(PASSWORD), database=OPEN, tls=Tls.PREFER
    )
    front = PostgresqlFront(tls=front_tls, dial=dialling(server))
    async with front.listening():
        adapter = DatabaseProbeAdapter(allow=("127.0.0.0/8",), ca_file=ca_file, resolve=here)
        return await adapter.probe(replace(whole, port=front.port, **changes)), front


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, Probed.OK),
        ({"database": ""}, Probed.OK),
        ({"tls": Tls.OFF}, Probed.OK),
        ({"password": Secret("wrong")}, Probed.WRONG_CREDENTIAL),
        ({"password": Secret("")}, Probed.WRONG_CREDENTIAL),
        ({"database": "probed_none"}, Probed.MISSING_DATABASE),
        ({"database": CLOSED}, Probed.MISSING_PERMISSION),
        ({"user": SHUT_OUT}, Probed.MISSING_PERMISSION),
        ({"tls": Tls.REQUIRE}, Probed.NO_TLS),
        ({"tls": Tls.VERIFY}, Probed.NO_TLS),
    ],
)
async def test_what_a_database_says(server, changes, told):
    told_by, _ = await found(server, **changes)
    assert told_by is told


async def test_a_wrong_password_is_tried_once(server, tmp_path):
    tls, _ = self_signed("other.test", tmp_path)
    told, front = await found(server, front_tls=tls, password=Secret("wrong"))
    assert told is Probed.WRONG_CREDENTIAL
    assert len([part for part in front.sent if b"SCRAM-SHA-256" in part]) == 1


@pytest.mark.parametrize(
    ("name", "known", "asked", "told"),
    [
        (HOST, True, Tls.VERIFY, Probed.OK),
        (HOST, False, Tls.VERIFY, Probed.UNTRUSTED_CERTIFICATE),
        ("other.test", True, Tls.VERIFY, Probed.UNTRUSTED_CERTIFICATE),
        ("other.test", False, Tls.REQUIRE, Probed.OK),
        ("other.test", False, Tls.PREFER, Probed.OK),
    ],
)
async def test_the_certificate_proves_the_hosts_name_although_an_address_is_dialled(
    server, tmp_path, name, known, asked, told
):
    tls, trusted = self_signed(name, tmp_path)
    said, front = await found(server, front_tls=tls, ca_file=trusted if known else None, tls=asked)
    assert said is told
    assert front.names == [HOST]
    assert bool(front.sent) is (told is Probed.OK)


async def test_a_closed_port_is_not_reached():
    adapter = DatabaseProbeAdapter(allow=("127.0.0.0/8",))
    target = Target(driver=Driver.POSTGRESQL, host="127.0.0.1", port=1, user=ROLE, password=Secret(PASSWORD))
    assert await adapter.probe(target) is Probed.UNREACHABLE
