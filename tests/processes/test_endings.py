"""However a process ends, no token is lost: killed, told to stop, or interrupted at the keyboard."""

from __future__ import annotations

import asyncio
import signal
import time
from datetime import timedelta

import httpx2
import pytest

from tests.processes.service import store_connected
from tokenkeep.core.model import Rotation

LONG_AGO = timedelta(minutes=-5)


async def until(holds, patience_s=15.0):
    deadline = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < deadline, "it never came to that"
        await asyncio.sleep(0.02)


async def in_flight(service, provider, stored):
    """A node is waiting for a refresh that the provider has begun."""
    waiting = asyncio.create_task(asyncio.to_thread(service.token, stored.key, stored.credential_id))
    await until(lambda: len(provider.refreshes()) == 1)
    return waiting


@pytest.mark.parametrize(
    ("rotation", "answered"), [(Rotation.NONE, False), (Rotation.GRACE, True), (Rotation.STRICT, False)]
)
async def test_a_refresh_that_was_killed_is_made_up_for(beside, provider, rotation, answered):
    """Killed before the provider did it (`answered` False) or after; then the grace brings the lost token back."""
    provider.switches.rotation = rotation
    provider.switches.delay_before_s, provider.switches.delay_after_s = (0.0, 5.0) if answered else (5.0, 0.0)
    service = beside()
    stored = await store_connected(service, provider, expires_in=LONG_AGO)
    await asyncio.to_thread(service.start)
    waiting = await in_flight(service, provider, stored)
    if answered:
        await until(lambda: provider.refreshes()[0].outcome == "granted")
    service.kill()
    with pytest.raises(httpx2.TransportError):
        await waiting
    provider.switches.delay_before_s = provider.switches.delay_after_s = 0.0
    if not answered:
        provider.switches.drops_requests = 1  # the killed process's request comes to nothing
        await until(lambda: provider.refreshes()[0].outcome == "dropped")
    await asyncio.to_thread(service.start)
    answer = await asyncio.to_thread(service.token, stored.key, stored.credential_id)
    assert answer.status_code == 200, answer.text
    assert provider.is_alive(answer.json()["access_token"])
    assert [entry.outcome for entry in provider.refreshes()[1:]] == ["granted"]
    spent = [entry.fingerprint for entry in provider.refreshes()]
    assert spent[0] == spent[1]  # the one planned attempt with the token that may have been spent


async def test_a_lost_answer_of_a_strict_provider_is_told_and_tried_once(beside, provider):
    """The provider rotated, the process died: nobody can bring that back. It must be said, not hidden."""
    provider.switches.delay_before_s, provider.switches.delay_after_s = 0.0, 5.0
    service = beside()
    stored = await store_connected(service, provider, expires_in=LONG_AGO)
    await asyncio.to_thread(service.start)
    waiting = await in_flight(service, provider, stored)
    await until(lambda: provider.refreshes()[0].outcome == "granted")
    service.kill()
    with pytest.raises(httpx2.TransportError):
        await waiting
    provider.switches.delay_after_s = 0.0
    await asyncio.to_thread(service.start)
    for _ in range(3):
        answer = await asyncio.to_thread(service.token, stored.key, stored.credential_id)
        assert (answer.status_code, answer.json()["code"]) == (409, "reauthorization_required")
        assert answer.json()["cause"] == "lost_response"
    assert [entry.outcome for entry in provider.refreshes()] == ["granted", "refused:invalid_grant"]


async def test_told_to_stop_during_a_refresh_it_stores_first(beside, provider):
    provider.switches.delay_after_s = 1.5
    service = beside()
    stored = await store_connected(service, provider, expires_in=LONG_AGO)
    await asyncio.to_thread(service.start)
    waiting = await in_flight(service, provider, stored)
    code = await asyncio.to_thread(service.stop)
    assert code == 0, service.said()
    answer = await waiting
    assert answer.status_code == 200, answer.text  # who was waiting is answered too
    await asyncio.to_thread(service.start)
    again = await asyncio.to_thread(service.token, stored.key, stored.credential_id)
    assert again.json()["access_token"] == answer.json()["access_token"] != stored.access_token
    assert [entry.outcome for entry in provider.refreshes()] == ["granted"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_it_ends_at_once_although_a_live_page_is_open(service, number):
    service.start()
    with service.signed_in() as browser, browser.stream("GET", "/status/events") as page:
        assert page.status_code == 200
        lines = page.iter_lines()
        assert next(lines).startswith("data: ")
        began = time.monotonic()
        service.tell(number)
        assert service.wait() == 0, service.said()
        assert time.monotonic() - began < 5
    assert "Traceback" not in service.said()
