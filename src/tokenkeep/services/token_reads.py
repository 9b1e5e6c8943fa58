"""A program's token read, and the same read again.

Owns: remembering which answer belongs to the same key, credential and question for as long as nothing was committed.
Does not own: the answer (`tokens`), who the key is (`service_keys`).

Nodes ask the same question many times a second. What is remembered holds sealed octets and no key: its name has a digest.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b

from tokenkeep.core.model import Grant, ServiceKey
from tokenkeep.core.permissions import Caller
from tokenkeep.services.live_token import LiveToken
from tokenkeep.services.ports import Clock, Reads
from tokenkeep.services.service_keys import ServiceKeys
from tokenkeep.services.tokens import Tokens

REPEAT_S = 5.0
"""After so long a read is looked at anew, so that uses are noted and the end of a key is kept to."""
REMEMBERED = 10_000

Question = tuple[bytes, str, int, str]  # digest of the key, credential, min_ttl, consumer


@dataclass(slots=True, kw_only=True, eq=False)
class TokenRead:
    """Who asked, and the answer. It holds while the epoch lasts, until a moment of the monotonic clock."""

    actor: str
    live: LiveToken
    key: ServiceKey
    grant: Grant
    epoch: int
    until: float


@dataclass(slots=True, kw_only=True)
class TokenReads:
    """The use case that everything waits for."""

    keys: ServiceKeys
    tokens: Tokens
    reads: Reads
    clock: Clock
    _answered: dict[Question, TokenRead] = field(default_factory=dict)

    async def read(self, key: bytes, credential_id: str, *, min_ttl: int, consumer: str = "") -> TokenRead:
        """Raises Unauthenticated, and whatever `Tokens.token` raises."""
        question = (blake2b(key).digest(), credential_id, min_ttl, consumer)
        epoch = await self.reads.epoch()  # before anything is read: what is read is at least as new
        answered = self._answered.get(question)
        if answered is None or answered.until < self.clock.monotonic():
            return await self._anew(key, question, epoch)
        if answered.epoch != epoch:
            if not await self._still_true(answered):
                return await self._anew(key, question, epoch)
            answered.epoch = epoch
        return answered

    async def _still_true(self, answered: TokenRead) -> bool:
        """Something was committed: whether it was something else. Reads answer the same object for an unchanged row."""
        grant = answered.grant
        key, credential = await self.reads.both(answered.key.id, grant.workspace_id, grant.credential_id)
        return key is answered.key and credential is not None and credential.grant is grant

    async def _anew(self, key: bytes, question: Question, epoch: int) -> TokenRead:
        _, credential_id, min_ttl, consumer = question
        self._answered.pop(question, None)
        service_key, caller = await self.keys.recognise(key.decode("latin-1"))
        known = await self.tokens.known(caller, credential_id, min_ttl=min_ttl, consumer=consumer)
        until = min(known.fresh_until.get(min_ttl, 0.0), self._end(caller))
        read = TokenRead(
            actor=caller.actor, live=known.live, key=service_key, grant=known.grant, epoch=epoch, until=until
        )
        while len(self._answered) >= REMEMBERED:
            del self._answered[next(iter(self._answered))]
        self._answered[question] = read
        return read

    def _end(self, caller: Caller) -> float:
        now = self.clock.monotonic()
        if caller.expires_at is None:
            return now + REPEAT_S
        return now + min(REPEAT_S, (caller.expires_at - self.clock.now()).total_seconds())
