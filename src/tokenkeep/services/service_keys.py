"""Programs' keys: `tk_<id>_<secret>_<checksum>`.

Owns: minting, listing, revoking and recognising service keys. The secret is 256 random bits, so a plain SHA-256 of it is
stored; the checksum rejects typing errors without a look-up and lets secret scanners recognise a leaked key.
Does not own: what a caller may do (`core/permissions`).
"""

from __future__ import annotations

import hmac
import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256

from tokenkeep.core.errors import InvalidInput, NotFound, Unauthenticated
from tokenkeep.core.model import ServiceKey
from tokenkeep.core.permissions import Caller, Scope
from tokenkeep.core.secret import Secret
from tokenkeep.services.ports import Clock, Entropy, Journal, Reads, ServiceKeyStore
from tokenkeep.services.usage import Usage

PREFIX = "tk"
ID_LENGTH, SECRET_LENGTH, CHECKSUM_LENGTH = 8, 43, 6
TEXT_LENGTH = len(PREFIX) + ID_LENGTH + SECRET_LENGTH + CHECKSUM_LENGTH + 3
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(slots=True, kw_only=True)
class ServiceKeys:
    """Use cases over `ServiceKeyStore`."""

    store: ServiceKeyStore
    reads: Reads
    usage: Usage
    clock: Clock
    entropy: Entropy
    journal: Journal
    _callers: dict[str, tuple[ServiceKey, Caller]] = field(default_factory=dict)  # by digest

    async def create(
        self,
        caller: Caller,
        *,
        name: str,
        scopes: Collection[str],
        credential_ids: Collection[str] | None = None,
        expires_at: datetime | None = None,
    ) -> tuple[ServiceKey, Secret]:
        """The key and its text, which is never to be seen again. Raises InvalidInput, NotFound (a limited key)."""
        caller.need(Scope.ADMIN)
        if caller.credential_ids is not None:
            raise NotFound("A key limited to named credentials cannot make keys.")
        now = self.clock.now()
        _check(name=name, scopes=scopes, expires_at=expires_at, now=now)
        id_ = _digits(int.from_bytes(self.entropy.octets(6), "big"), base=36, length=ID_LENGTH)
        text = _text(id_, _digits(int.from_bytes(self.entropy.octets(32), "big"), base=62, length=SECRET_LENGTH))
        key = ServiceKey(
            id=id_,
            workspace_id=caller.workspace_id,
            name=name.strip(),
            digest=_digest(text),
            scopes=frozenset(scopes),
            credential_ids=frozenset(credential_ids) if credential_ids is not None else None,
            created_at=now,
            expires_at=expires_at,
        )
        await self.store.add(key)
        self.journal.record("service_key_created", key=id_, actor=caller.actor)
        return key, Secret(text)

    async def list(self, caller: Caller) -> Sequence[ServiceKey]:
        """All of the workspace, ended ones too."""
        caller.need(Scope.ADMIN)
        return await self.store.list(caller.workspace_id)

    async def revoke(self, caller: Caller, key_id: str) -> None:
        """Raises NotFound when it is not there or revoked already."""
        caller.need(Scope.ADMIN)
        if not await self.store.revoke(caller.workspace_id, key_id, self.clock.now()):
            raise NotFound()
        self.journal.record("service_key_revoked", key=key_id, actor=caller.actor)

    async def authenticate(self, text: str) -> Caller:
        """Who calls with this key. Raises Unauthenticated, saying nothing about why."""
        return (await self.recognise(text))[1]

    async def recognise(self, text: str) -> tuple[ServiceKey, Caller]:
        """The key and who calls with it. Raises as `authenticate`."""
        digest = _digest(text)
        known = self._callers.get(digest)
        if known is not None and await self.reads.service_key(known[0].id) is known[0] and not self._expired(known[0]):
            self.usage.key_used(known[0].id)
            return known
        id_ = _claimed_id(text)
        key = await self.reads.service_key(id_) if id_ else None
        # The same work for an unknown key as for a wrong one (T69).
        right = hmac.compare_digest(digest, key.digest if key is not None else _digest(""))
        if key is None or not right or key.revoked_at is not None or self._expired(key):
            raise Unauthenticated("This service key is not valid.", fix="Send `Authorization: Bearer tk_…`.")
        self.usage.key_used(key.id)
        return key, self._caller(key)

    def _expired(self, key: ServiceKey) -> bool:
        return key.expires_at is not None and key.expires_at <= self.clock.now()

    def _caller(self, key: ServiceKey) -> Caller:
        """The caller a valid key amounts to, kept as long as the key is the same object in the read cache.

        What was checked once about an unchanged key need not be checked again: all but its end in time.
        """
        caller = Caller(
            workspace_id=key.workspace_id,
            kind="key",
            id=key.id,
            name=key.name,
            scopes=key.scopes,
            credential_ids=key.credential_ids,
            expires_at=key.expires_at,
        )
        if len(self._callers) >= 10_000:
            self._callers.clear()
        self._callers[key.digest] = (key, caller)
        return caller


def _text(id_: str, secret: str) -> str:
    body = f"{PREFIX}_{id_}_{secret}"
    return f"{body}_{_checksum(body)}"


def _checksum(body: str) -> str:
    return _digits(zlib.crc32(body.encode()), base=36, length=CHECKSUM_LENGTH)


def _digits(number: int, *, base: int, length: int) -> str:
    """The `length` lowest digits of a number; letters and digits only, so that a key is one word when double-clicked."""
    digits = ""
    for _ in range(length):
        number, digit = divmod(number, base)
        digits += DIGITS[digit]
    return digits


def _claimed_id(text: str) -> str:
    """The id part of a well-formed key; empty for anything else."""
    if len(text) != TEXT_LENGTH or not text.isascii() or not text.startswith(f"{PREFIX}_"):
        return ""
    body, _, checksum = text.rpartition("_")
    return body.split("_", 2)[1] if checksum == _checksum(body) else ""


def _digest(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _check(*, name: str, scopes: Collection[str], expires_at: datetime | None, now: datetime) -> None:
    wrong: dict[str, str] = {}
    if not name.strip() or len(name) > 200 or not name.isprintable():
        wrong["name"] = "A name of 1 to 200 printable characters."
    unknown = sorted(set(scopes) - set(Scope))
    if unknown or not scopes:
        wrong["scopes"] = f"One or more of {', '.join(Scope)}."
    if expires_at is not None and expires_at <= now:
        wrong["expires_at"] = "A time in the future."
    if wrong:
        raise InvalidInput(fields=wrong)
