"""The status over the API."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from tests.kit import builders
from tests.kit.clock import NOON
from tests.web.api_fakes import make_api, status_view
from tokenkeep.core.model import State
from tokenkeep.core.policy import Breaker
from tokenkeep.services.ports import Attention
from tokenkeep.services.sweep import Sweep


async def test_the_status_is_told_whole() -> None:
    failing = builders.standing(state=State.FAILING, failure=builders.failure())
    entry = Attention(
        credential_id="credential-1", name="My Acme", type="acmeOAuth2", provider="acme", standing=failing
    )
    api = make_api()
    api.status.answers["overview"] = replace(
        status_view(),
        attention=[entry],
        breakers={"acme.example": Breaker(faults=5, open_until=NOON + timedelta(seconds=15))},
        last_sweep=Sweep(at=NOON, due=2, started=1),
        latency_ms={"p50": 12.5},
    )
    async with api.client() as client:
        document = (await client.get("/v1/status")).json()
    assert document["by_state"]["connected"] == 1
    assert document["by_provider"] == {"acme": {"connected": 1}}
    assert document["attention"] == [
        {
            "credential_id": "credential-1",
            "name": "My Acme",
            "type": "acmeOAuth2",
            "provider": "acme",
            "state": "failing",
            "next_refresh_at": "2026-11-24T12:55:00Z",
            "failure_kind": "transient",
            "failure_code": "no_answer",
            "failing_since": "2026-11-24T12:00:00Z",
        }
    ]
    assert document["breakers"] == [{"host": "acme.example", "faults": 5, "until": "2026-11-24T12:00:15Z"}]
    assert document["last_sweep"] == {"at": "2026-11-24T12:00:00Z", "due": 2, "started": 1}
    assert document["latency_ms"] == {"p50": 12.5}
    assert document["recent"][0]["kind"] == "created"
    assert document["paused_clients"] == [
        {"provider": "acme", "code": "invalid_client", "since": "2026-11-24T12:00:00Z"}
    ]
    assert document["mass_refusals"] == [{"provider": "acme", "credentials": 6}]


async def test_a_quiet_service_has_a_status_too() -> None:
    async with make_api().client() as client:
        document = (await client.get("/v1/status")).json()
    assert (document["last_sweep"], document["attention"], document["oldest_overdue"]) == (None, [], None)
