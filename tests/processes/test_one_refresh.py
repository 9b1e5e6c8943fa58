"""However many nodes and processes ask at once, the provider is asked once."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import httpx2
import pytest

from tests.kit.databases import fresh_postgres
from tests.processes.service import Service, store_connected

NODES = 200
LONG_AGO = timedelta(minutes=-5)


async def asked_at_once(services: list[Service], key: str, credential_id: str) -> list[httpx2.Response]:
    """Every node's answer; nodes take turns among the services."""
    limits = httpx2.Limits(max_connections=NODES)
    async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {key}"}, limits=limits, timeout=30) as nodes:
        paths = [
            f"{services[number % len(services)].url}/v1/credentials/{credential_id}/token" for number in range(NODES)
        ]
        return await asyncio.gather(*(nodes.get(path) for path in paths))


def check(answers, provider, stored):
    assert {answer.status_code for answer in answers} == {200}, {answer.text for answer in answers}
    (token,) = {answer.json()["access_token"] for answer in answers}
    assert token != stored.access_token
    assert provider.is_alive(token)
    assert [entry.outcome for entry in provider.refreshes()] == ["granted"]


@pytest.mark.postgres
async def test_four_processes_on_one_postgresql(beside, provider):
    async with fresh_postgres() as url:
        # One root key for all: each has its own directory, as in containers.
        first = beside("first", TOKENKEEP_DATABASE_URL=url)
        others = [
            beside(f"other-{number}", TOKENKEEP_DATABASE_URL=url, TOKENKEEP_ROOT_KEY_FILE=str(first.key_file))
            for number in range(3)
        ]
        stored = await store_connected(first, provider, expires_in=LONG_AGO)
        services = [first, *others]
        for each in services:
            each.spawn()
        for each in services:
            await asyncio.to_thread(each.wait_until_ready)
        answers = await asked_at_once(services, stored.key, stored.credential_id)
        check(answers, provider, stored)
        assert [await asyncio.to_thread(each.stop) for each in services] == [0, 0, 0, 0]


async def test_one_process_on_sqlite(beside, provider):
    service = beside()
    stored = await store_connected(service, provider, expires_in=LONG_AGO)
    await asyncio.to_thread(service.start)
    check(await asked_at_once([service], stored.key, stored.credential_id), provider, stored)


async def test_the_command_refreshes_what_is_due_without_a_service(beside, provider):
    service = beside()
    stored = await store_connected(service, provider, expires_in=LONG_AGO, sweep_in=LONG_AGO)
    said = await asyncio.to_thread(service.command, "refresh")
    assert said == "1 due, 1 refreshed"
    assert [entry.outcome for entry in provider.refreshes()] == ["granted"]
    again = await asyncio.to_thread(service.command, "refresh")
    assert again == "0 due, 0 refreshed"
    token = await asyncio.to_thread(service.command, "token", stored.credential_id)
    assert provider.is_alive(token)
