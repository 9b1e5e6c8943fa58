"""A house that tells the outside: with endpoints that remember, and a mailbox."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from tests.kit.builders import WORKSPACE
from tests.kit.clock import NOON
from tests.kit.house import House, _assembled, make_house
from tests.kit.mailbox import Mailbox
from tests.kit.receiver import Receiver
from tokenkeep.adapters.tasks import ServiceTasks
from tokenkeep.core.webhooks import Delivery, DeliveryState, Endpoint
from tokenkeep.services.outbox import Outbox
from tokenkeep.services.outsiders import Outsiders

URL = "https://hooks.example/tokenkeep"


def endpoint(**changes: Any) -> Endpoint:
    defaults = {
        "id": "endpoint-1",
        "workspace_id": WORKSPACE,
        "url": URL,
        "description": "",
        "types": (),
        "secret_sealed": b"sealed",
        "secret_version": 1,
        "previous_sealed": None,
        "previous_until": None,
        "created_at": NOON,
        "created_by": "user/user-1",
    }
    return Endpoint(**defaults | changes)


def delivery(**changes: Any) -> Delivery:
    defaults = {
        "id": "msg_1",
        "workspace_id": WORKSPACE,
        "endpoint_id": "endpoint-1",
        "type": "credential.refreshed",
        "body": '{"type":"credential.refreshed"}',
        "created_at": NOON,
        "next_attempt_at": NOON,
    }
    return Delivery(**defaults | changes)


@dataclass
class Told:
    """The house, one endpoint of its workspace, and what reached the outside."""

    house: House
    receiver: Receiver
    mailbox: Mailbox
    endpoint: Endpoint
    secret: str

    @property
    def outsiders(self) -> Outsiders:
        return self.house.cases.outsiders

    @property
    def outbox(self) -> Outbox:
        assert self.outsiders.outbox is not None
        return self.outsiders.outbox

    async def pass_on(self) -> None:
        """Fan out, and send what is due to its end."""
        await self.outsiders.tell()
        await self.send()

    async def send(self) -> None:
        await self.outbox.deliver()
        assert await self.house.tasks.drain(20) == 0

    async def mail(self) -> int:
        assert self.outsiders.notices is not None
        return await self.outsiders.notices.send()

    async def deliveries(self) -> Sequence[Delivery]:
        """Of the endpoint, oldest first."""
        page = await self.house.database.outbox.list(
            self.endpoint.workspace_id, self.endpoint.id, state=None, limit=200, cursor=""
        )
        return list(reversed(page.items))

    async def only(self) -> Delivery:
        (found,) = await self.deliveries()
        return found

    async def states(self) -> list[DeliveryState]:
        return [each.state for each in await self.deliveries()]

    async def stored_endpoint(self) -> Endpoint:
        found = await self.house.database.endpoints.get(self.endpoint.workspace_id, self.endpoint.id)
        assert found is not None
        return found

    def wait_until(self, at: datetime | None) -> None:
        self.house.wait_until(at)

    def replica(self, receiver: Receiver | None = None) -> Told:
        """Another process over the same database."""
        other = _told(self.house.replica(), receiver or self.receiver, self.mailbox)
        return replace(self, house=other, receiver=receiver or self.receiver)


def _told(house: House, receiver: Receiver, mailbox: Mailbox | None) -> House:
    parts = replace(house.parts, poster=receiver, mail=mailbox, tasks=ServiceTasks())
    return _assembled(parts, house)


async def make_told(*, types: Sequence[str] = (), mailing: bool = True, **house: Any) -> Told:
    """What happened while the house was made is told already."""
    receiver, mailbox = Receiver(), Mailbox()
    made = _told(await make_house(**house), receiver, mailbox if mailing else None)
    await made.cases.outsiders.tell()
    point, secret = await made.cases.outsiders.webhooks.create(made.person, url=URL, types=types)
    return Told(made, receiver, mailbox, point, secret.reveal())
