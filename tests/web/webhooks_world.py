"""The webhooks behind the pages: a fake use case whose data a test sets, and who remembers what was asked."""

from __future__ import annotations

from typing import Any

from tests.kit.clock import NOON
from tests.kit.told import delivery, endpoint
from tokenkeep.core.errors import InvalidInput, NotFound, ScopeMissing
from tokenkeep.core.permissions import Scope
from tokenkeep.core.secret import Secret
from tokenkeep.core.webhooks import DeliveryState
from tokenkeep.services.ports import Page

SECRET = "whsec_SHOWN-ONCE"


class Webhooks:
    """One endpoint with a delivery of each kind."""

    def __init__(self) -> None:
        self.endpoints = [endpoint(description="Alerts")]
        self.sent = [
            delivery(id="msg_waiting", attempts=2, last_attempt_at=NOON, last_result="503"),
            delivery(id="msg_done", state=DeliveryState.DELIVERED, next_attempt_at=None, last_result="204", attempts=1),
            delivery(
                id="msg_failed", state=DeliveryState.FAILED, next_attempt_at=None, last_result="lost", attempts=10
            ),
        ]
        self.asked: list[tuple[Any, ...]] = []
        self.wrong: dict[str, str] = {}
        self.next_cursor = ""

    async def list(self, caller):
        _need_admin(caller)
        return self.endpoints

    async def get(self, caller, endpoint_id):
        _need_admin(caller)
        found = next((one for one in self.endpoints if one.id == endpoint_id), None)
        if found is None:
            raise NotFound
        return found

    async def create(self, caller, **given):
        _need_admin(caller)
        return self._change("create", given), Secret(SECRET)

    async def edit(self, caller, endpoint_id, **given):
        await self.get(caller, endpoint_id)
        return self._change("edit", given)

    def _change(self, name, given):
        if self.wrong:
            raise InvalidInput(fields=self.wrong)
        self.asked.append((name, given))
        return self.endpoints[0]

    async def rotate(self, caller, endpoint_id):
        self.asked.append(("rotate", endpoint_id))
        return await self.get(caller, endpoint_id), Secret(SECRET)

    async def delete(self, caller, endpoint_id):
        await self.get(caller, endpoint_id)
        self.asked.append(("delete", endpoint_id))

    async def test(self, caller, endpoint_id):
        await self.get(caller, endpoint_id)
        self.asked.append(("test", endpoint_id))

    async def deliveries(self, caller, endpoint_id, *, state, limit, cursor):
        self.asked.append(("deliveries", state, cursor))
        return Page(items=[one for one in self.sent if not state or one.state == state], next_cursor=self.next_cursor)

    async def replay(self, caller, endpoint_id, delivery_id):
        await self.get(caller, endpoint_id)
        self.asked.append(("replay", endpoint_id, delivery_id))

    async def replay_failed(self, caller, endpoint_id):
        await self.get(caller, endpoint_id)
        self.asked.append(("replay_failed", endpoint_id))
        return sum(one.state is DeliveryState.FAILED for one in self.sent)


def _need_admin(caller):
    if Scope.ADMIN not in caller.scopes:
        raise ScopeMissing
