"""Webhooks on the wire: guarded, no redirects, bounded in time; and the whole service telling a real receiver."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.adapters.test_outbound import Peer, listening
from tests.kit.clock import FakeClock
from tests.kit.databases import sqlite_url
from tests.kit.receiver import Received, signed_by
from tokenkeep.adapters.outbound import Outbound
from tokenkeep.adapters.poster import LIMITS, WebhookPoster
from tokenkeep.core.model import Answer
from tokenkeep.core.permissions import system
from tokenkeep.core.webhooks import DeliveryState
from tokenkeep.main import open_house
from tokenkeep.settings.environment import read

BODY = '{"name":"Grün"}'
HEADERS = {"webhook-id": "msg_1", "content-type": "application/json"}


async def post(url: str, *, allow: tuple[str, ...] = (), total_s: float = 15.0) -> Answer:
    poster = WebhookPoster(Outbound(FakeClock(), allow=allow, limits=replace(LIMITS, total_s=total_s)))
    try:
        return await poster.post(url, headers=HEADERS, body=BODY)
    finally:
        await poster.close()


async def test_what_is_sent_arrives_octet_for_octet() -> None:
    async with listening(Peer()) as peer:
        answer = await post(peer.url, allow=("127.0.0.1",))
    assert answer.status == 200
    head, _, body = peer.received[0].partition(b"\r\n\r\n")
    assert body == BODY.encode()
    assert head.startswith(b"POST /token HTTP/1.1")
    assert b"webhook-id: msg_1" in head.lower()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "10.0.0.1", "169.254.169.254", "[::1]"])
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_private_addresses_are_refused(host: str, scheme: str) -> None:
    assert (await post(f"{scheme}://{host}:1/hook")).fault == "refused"


async def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    elsewhere = b"HTTP/1.1 307 Elsewhere\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"
    async with listening(Peer(elsewhere)) as peer:
        answer = await post(peer.url, allow=("127.0.0.1",))
    assert (answer.status, peer.connections) == (307, 1)


async def test_an_endpoint_that_does_not_answer_is_given_up() -> None:
    async with listening(Peer(wait=asyncio.Event())) as peer:
        assert (await post(peer.url, allow=("127.0.0.1",), total_s=0.2)).fault == "lost"


def test_an_attempt_ends_long_before_its_lease() -> None:
    from tokenkeep.services.outbox import LEASE_S

    assert 2 * LIMITS.total_s < LEASE_S


def request_of(octets: bytes) -> Received:
    """What a receiver sees of it."""
    head, _, body = octets.partition(b"\r\n\r\n")
    lines = [line.partition(": ") for line in head.decode().split("\r\n")[1:]]
    return Received("", {name.lower(): value for name, _, value in lines}, body.decode())


async def test_a_real_service_tells_a_real_receiver(tmp_path: Path) -> None:
    settings = {
        "TOKENKEEP_DATA_DIR": str(tmp_path / "data"),
        "TOKENKEEP_DATABASE_URL": sqlite_url(tmp_path),
        "TOKENKEEP_ROOT_KEY_FILE": str(tmp_path / "keys" / "root.json"),
        "TOKENKEEP_DEMO": "off",
        "TOKENKEEP_OUTBOUND_ALLOW": "127.0.0.1",
    }
    async with listening(Peer()) as peer:
        house = await open_house(read(settings))
        try:
            await house.start()
            ((workspace_id, _),) = await house.database.accounts.workspaces()
            somebody, outsiders = system(workspace_id), house.cases.outsiders
            endpoint, secret = await outsiders.webhooks.create(somebody, url=peer.url)
            made = await house.cases.credentials.create(
                somebody, type="openAIApi", name="Key", values={"openAIApiKey": "sk-canary-0123456789"}
            )
            house.ticker.wake("telling")
            await house.tasks.drain(10)
            house.ticker.wake("outbox")
            await house.tasks.drain(10)
            page = await outsiders.webhooks.deliveries(somebody, endpoint.id, limit=9, cursor="")
        finally:
            await house.stop()
    assert [(each.type, each.state) for each in page.items] == [("credential.created", DeliveryState.DELIVERED)]
    (octets,) = peer.received
    request = request_of(octets)
    assert signed_by(secret.reveal(), request)
    assert json.loads(request.body)["data"]["credential_id"] == made.credential.id
    assert b"sk-canary" not in octets
    stored = b"".join(file.read_bytes() for file in tmp_path.glob("tokenkeep.db*"))
    assert secret.reveal().encode() not in stored
