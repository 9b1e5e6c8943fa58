"""A model provider: the truth that the checker judges by.

Owns: the provider's consents (the kit's, of every rotation class), what goes wrong on the way to it and back, and the
journal of every refresh request. Does not own: HTTP (the kit's `authorization_server` and its tests have it).
A request that was sent is handled in a task of the provider: it does not end because its sender died.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.kit.consents import Consents, Family, Refusal, Switches
from tokenkeep.core.model import Answer, ClientAuth, Provider, Rotation
from tokenkeep.core.secret import Secret
from tokenkeep.services.ports import Registration

CALL_S = 30.0
"""How long the adapter waits for an answer, in all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """A rotation class, and whether a refresh kills the access token before it."""

    name: str
    rotation: Rotation
    grace_s: float = 0.0
    kills: bool = False

    @property
    def forgives(self) -> bool:
        """Whether nothing can be lost with an answer: the spent refresh token is taken once more."""
        return self.rotation in {Rotation.NONE, Rotation.GRACE}


MANNERS = {
    manner.name: manner
    for manner in (
        Manner(name="none", rotation=Rotation.NONE),
        Manner(name="grace", rotation=Rotation.GRACE, grace_s=1800),
        Manner(name="strict", rotation=Rotation.STRICT),
        Manner(name="unknown", rotation=Rotation.UNKNOWN),
        Manner(name="family", rotation=Rotation.FAMILY),
        Manner(name="strict-kills", rotation=Rotation.STRICT, kills=True),
        Manner(name="family-kills", rotation=Rotation.FAMILY, kills=True),
    )
}


@dataclass(slots=True, kw_only=True)
class Sent:
    """One refresh request, as the provider saw it."""

    number: int
    provider: str
    replica: str
    family: int  # 0: of nobody
    token: str  # the refresh token it carried
    current: str  # the family's at that moment
    began: float
    outcome: str = "pending"  # granted, refused:<code>, down, busy, unsent, never
    access_token: str = ""  # what it granted
    refresh_token: str = ""
    decided: float | None = None  # when the provider committed or refused
    ended: float | None = None  # when its sender had an answer, gave up or died

    @property
    def granted(self) -> bool:
        """The provider has committed, whoever heard of it."""
        return self.outcome == "granted"

    @property
    def refused(self) -> bool:
        return self.outcome == "refused:invalid_grant"


@dataclass(kw_only=True)
class ModelProvider:
    """One provider with one manner. `trouble` names what goes wrong with the next request, `latency` how long it takes."""

    id: str
    manner: Manner
    journal: list[Sent]  # of all providers, in the order of sending
    numbers: Iterator[int]  # of everything in this world that is ordered: requests and writes
    families: Iterator[int]  # of this world, so that no two tokens are alike
    trouble: Callable[[], str] = lambda: ""
    latency: Callable[[], float] = lambda: 0.05
    switches: Switches = field(default_factory=Switches)
    withdrawn: set[int] = field(default_factory=set)  # families that the user ended at the provider

    def __post_init__(self) -> None:
        self.switches.rotation, self.switches.grace_s = self.manner.rotation, self.manner.grace_s
        self.switches.kills_old_access_token = self.manner.kills
        self.consents = Consents(self.switches, asyncio.get_running_loop().time)
        self.consents._numbers = self.families
        self._running: set[asyncio.Task[Answer]] = set()

    def file(self) -> Provider:
        """The provider file that fits."""
        return Provider(
            id=self.id,
            name=self.id.title(),
            authorization_endpoint=f"https://{self.id}.test/authorize",
            token_endpoint=f"https://{self.id}.test/token",
            revocation_endpoint=f"https://{self.id}.test/revoke",
            client_auth=ClientAuth.BASIC,
            rotation=self.manner.rotation,
            grace_s=int(self.manner.grace_s),
            kills_old_access_token=self.manner.kills,
            hosts=frozenset({f"{self.id}.test"}),
        )

    def consent(self) -> Family:
        """A user agrees."""
        return self.consents.renewed(self.consents.new_family("read"))

    def withdraw(self, family: Family) -> None:
        """The user ends it in the provider's settings."""
        self.withdrawn.add(family.id)
        self.consents.end(family)

    def end_by_token(self, token: str) -> None:
        """RFC 7009."""
        for family in self.consents:
            if self.consents.owner(token) is family or token in family.access_tokens:
                self.withdraw(family)

    async def refresh(self, replica: str, token: str) -> Answer:
        """As the wire sees it: an answer or a fault, within the time of one call."""
        loop = asyncio.get_running_loop()
        entry = self._entry(replica, token, loop.time())
        task = loop.create_task(self._handle(entry, self.trouble()))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        try:
            return await asyncio.shield(task)
        finally:
            entry.ended = loop.time()

    def _entry(self, replica: str, token: str, now: float) -> Sent:
        family = self.consents.owner(token)
        entry = Sent(
            number=next(self.numbers),
            provider=self.id,
            replica=replica,
            family=family.id if family else 0,
            token=token,
            current=family.refresh_token if family else "",
            began=now,
        )
        self.journal.append(entry)
        return entry

    async def _handle(self, entry: Sent, trouble: str) -> Answer:
        if trouble == "unsent":
            entry.outcome = "unsent"
            return Answer(status=0, fault="not_sent")
        await asyncio.sleep(self.latency())
        if trouble in _BEFORE:
            entry.outcome = trouble
            return await _BEFORE[trouble]()
        answer = self._decide(entry)
        await asyncio.sleep(self.latency())
        return await _AFTER[trouble](answer) if entry.granted and trouble in _AFTER else answer

    def _decide(self, entry: Sent) -> Answer:
        """What the provider commits to, and what it would like to answer."""
        family, entry.decided = self.consents.owner(entry.token), asyncio.get_running_loop().time()
        try:
            family = self._granted(family, entry.token)
        except Refusal as refusal:
            entry.outcome = f"refused:{refusal.code}"
            return _json(refusal.status, {"error": refusal.code})
        entry.outcome = "granted"
        entry.access_token, entry.refresh_token = family.access_token, family.refresh_token
        return _json(200, self.consents.answer(family))

    def _granted(self, family: Family | None, token: str) -> Family:
        if self.switches.invalid_client:
            raise Refusal("invalid_client", 401)
        if family is None:
            raise Refusal("invalid_grant")
        return self.consents.refreshed(family, token)


def _json(status: int, document: Mapping[str, Any], **headers: str) -> Answer:
    return Answer(
        status=status,
        headers={
            "content-type": "application/json",
            **{name.replace("_", "-"): text for name, text in headers.items()},
        },
        body=Secret(json.dumps(document)),
    )


async def _down() -> Answer:
    return _json(503, {"message": "down"})


async def _busy() -> Answer:
    return _json(429, {"message": "slowly"}, retry_after="20")


async def _silent() -> Answer:
    await asyncio.sleep(CALL_S)
    return Answer(status=0, fault="lost")


async def _silent_although_committed(_answer: Answer) -> Answer:
    return await _silent()


async def _reset(_answer: Answer) -> Answer:
    return Answer(status=0, fault="lost")


async def _truncated(answer: Answer) -> Answer:
    return Answer(status=200, headers=answer.headers, body=Secret(answer.body.reveal()[:25]))


async def _gateway(_answer: Answer) -> Answer:
    return Answer(status=502, body=Secret("<html>bad gateway</html>"), headers={"content-type": "text/html"})


_BEFORE = {"down": _down, "busy": _busy, "never": _silent}
_AFTER = {"late": _silent_although_committed, "lost": _reset, "truncated": _truncated, "gateway": _gateway}
TROUBLES = ("unsent", *_BEFORE, *_AFTER)


class ModelWire:
    """`ports.TokenEndpoint` of one replica: every call goes to the model provider it names."""

    def __init__(self, replica: str, providers: Mapping[str, ModelProvider]) -> None:
        self._replica = replica
        self._providers = providers

    async def refresh(self, registration: Registration, *, refresh_token: Secret, scopes: Sequence[str]) -> Answer:
        return await self._providers[registration.provider.id].refresh(self._replica, refresh_token.reveal())

    async def revoke(self, registration: Registration, *, token: Secret, hint: str) -> Answer:
        self._providers[registration.provider.id].end_by_token(token.reveal())
        return Answer(status=200)
