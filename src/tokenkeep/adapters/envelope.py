"""Sealing: the only cryptography over what is stored.

Owns: the format of envelopes, what they are bound to, the workspaces' data keys and when these turn over, and the
check value that proves at the start that the root key is the right one.
Does not own: root keys (`keys`), rows of data keys (`store`), what is sealed (the use cases).

An envelope is `0x01 format | 0x01 suite | 16 octets data key id | 12 octets nonce | ciphertext and 16 octets tag`.
The additional data is rebuilt from the row and never stored: each part is prefixed by its length. Format 1 is frozen;
`tests/vectors/envelopes` must open for ever.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tokenkeep.adapters.keys import KEY_OCTETS, RootKeys, WrapContext, length_prefixed
from tokenkeep.core.errors import KeyRefused, Quarantined
from tokenkeep.core.model import INSTANCE, DataKey, Place
from tokenkeep.services.ports import Clock, DataKeyStore, Entropy

_APPLICATION, _FORMAT, _SUITE = b"credsvc", b"\x01", b"\x01"
_START = _FORMAT + _SUITE
_ID_OCTETS, _NONCE_OCTETS, _TAG_OCTETS = 16, 12, 16
_NONCE_AT = len(_START) + _ID_OCTETS
_TEXT_AT = _NONCE_AT + _NONCE_OCTETS
OVERHEAD = _TEXT_AT + _TAG_OCTETS

_CHECK = Place(workspace_id=INSTANCE, kind="check", record_id="check", field="value")
_CHECK_OCTETS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long one data key may seal. With random nonces 2^30 messages leave a collision chance of 2^-37."""

    turn_over_at: int = 2**30
    refuse_at: int = 2**32  # NIST SP 800-38D section 8.3
    max_age: timedelta = timedelta(days=365)
    block: int = 10_000  # reserved before use, so that a crash counts too many and never too few


class _OpenedKey:
    """A data key ready for use. The cipher object is built once: building it costs more than using it."""

    __slots__ = ("_bound", "cipher", "created_at", "id", "index_key", "start", "workspace_id")

    def __init__(self, octets: bytes, row: DataKey, workspace_id: str) -> None:
        self.id = row.id
        self.workspace_id = workspace_id
        self.created_at = row.created_at
        self.start = _START + row.id
        self.cipher = AESGCM(_derive(octets, b"seal/v1"))
        self.index_key = _derive(octets, b"index/v1")
        self._bound = length_prefixed(_APPLICATION, _FORMAT, _SUITE, row.id, workspace_id.encode())

    def bound(self, place: Place) -> bytes:
        """The additional data of `place`."""
        parts = (place.kind, place.record_id, place.field, place.grant_id, str(place.version))
        return self._bound + length_prefixed(*(part.encode() for part in parts))


@dataclass(slots=True)
class _Active:
    """The key a workspace seals with, and how much of the reserved block is left."""

    key: _OpenedKey
    left: int
    until: datetime


class EnvelopeAdapter:
    """`ports.Envelope` over a store of wrapped data keys. Unwrapped keys stay in memory; plaintext never does."""

    def __init__(
        self,
        root_keys: RootKeys,
        data_keys: DataKeyStore,
        *,
        clock: Clock,
        entropy: Entropy,
        limits: Limits | None = None,
    ) -> None:
        self._root_keys = root_keys
        self._data_keys = data_keys
        self._clock = clock
        self._entropy = entropy
        self._limits = limits or Limits()
        self._keys: dict[bytes, _OpenedKey] = {}
        self._active: dict[str, _Active] = {}
        self._index_keys: dict[str, bytes] = {}
        self._lock = asyncio.Lock()

    async def open(self, sealed: bytes, place: Place) -> bytes:
        """What was sealed at `place`. Raises Quarantined, always without saying why. Awaits nothing for a known key."""
        return (await self.opener(sealed, place))()

    async def opener(self, sealed: bytes, place: Place) -> Callable[[], bytes]:
        """What opens `sealed` each time it is called. Both raise Quarantined."""
        key = self._keys.get(sealed[2:_NONCE_AT])
        if key is None:
            key = await self._missing(sealed, place.workspace_id)
        if key.workspace_id != place.workspace_id or not sealed.startswith(_START) or len(sealed) < OVERHEAD:
            raise Quarantined
        decrypt, nonce, text, bound = (
            key.cipher.decrypt,
            sealed[_NONCE_AT:_TEXT_AT],
            sealed[_TEXT_AT:],
            key.bound(place),
        )

        def opened() -> bytes:
            try:
                return decrypt(nonce, text, bound)
            except InvalidTag:
                raise Quarantined from None

        return opened

    async def seal(self, plain: bytes, place: Place) -> bytes:
        """The envelope of `plain`, which opens at `place` only. Raises KeyRefused when no data key may be used."""
        active = self._active.get(place.workspace_id)
        if active is None or active.left < 1 or self._clock.now() >= active.until:
            active = await self._prepared(place.workspace_id)
        active.left -= 1
        nonce = self._entropy.octets(_NONCE_OCTETS)
        return active.key.start + nonce + active.key.cipher.encrypt(nonce, plain, active.key.bound(place))

    async def index(self, text: str, workspace_id: str) -> str:
        """A keyed digest for equality search, by the workspace's first data key so that turning over keeps it."""
        key = self._index_keys.get(workspace_id)
        if key is None:
            key = self._index_keys[workspace_id] = await self._first_index_key(workspace_id)
        return hmac.digest(key, text.encode(), "sha256").hex()

    async def unlock(self) -> None:
        """Prove at the start that the root key opens this database, or begin an empty one.

        Raises KeyRefused, having written nothing, when the database belongs to another root key.
        """
        check = await self._data_keys.check()
        if check is None:
            await self._begin()
            return
        try:
            await self.open(check, _CHECK)
        except Quarantined:
            raise await self._refusal() from None

    async def _begin(self) -> None:
        """Also completes a first start that broke off between making the key and writing the check value."""
        rows = await self._load(INSTANCE)
        if any(row.id not in self._keys for row in rows) or (not rows and await self._data_keys.any_keys()):
            raise await self._refusal()
        await self._data_keys.set_check(await self.seal(self._entropy.octets(_CHECK_OCTETS), _CHECK))

    async def _refusal(self) -> KeyRefused:
        wanted = sorted({row.root_key_id for row in await self._data_keys.keys(INSTANCE)})
        given = self._root_keys.current_id()
        if given in wanted:
            return KeyRefused(
                f"The root key {given} is the one this database wants, but its check value does not open.",
                fix="The database is damaged or was restored in part: restore a whole backup.",
            )
        return KeyRefused(
            f"The database wants the root key {', '.join(wanted) or 'of its lost instance key'}, but {given} was given.",
            fix="Give the service the root key this database was made with. Nothing was written.",
        )

    async def _missing(self, sealed: bytes, workspace_id: str) -> _OpenedKey:
        """A key that another process may have made since: look once, then fail closed. Never tries key after key."""
        if sealed.startswith(_START) and len(sealed) >= OVERHEAD:
            await self._load(workspace_id)
        key = self._keys.get(sealed[2:_NONCE_AT])
        if key is None:
            raise Quarantined
        return key

    async def _load(self, workspace_id: str) -> Sequence[DataKey]:
        """The workspace's rows; those whose root key is here are opened."""
        rows = await self._data_keys.keys(workspace_id)
        for row in rows:
            if row.id not in self._keys:
                try:
                    await self._unwrap(row, workspace_id)
                except KeyRefused:
                    continue  # what it sealed is quarantined; other generations stay readable
        return rows

    async def _unwrap(self, row: DataKey, workspace_id: str) -> _OpenedKey:
        """The workspace is the one that was asked for, not what the row claims."""
        context = WrapContext(row.id, workspace_id)
        octets = await self._root_keys.unwrap(row.wrapped, context, root_key_id=row.root_key_id)
        if len(octets) != KEY_OCTETS or len(row.id) != _ID_OCTETS:
            raise KeyRefused("A data key has the wrong length.")
        key = self._keys[row.id] = _OpenedKey(octets, row, workspace_id)
        return key

    async def _prepared(self, workspace_id: str) -> _Active:
        """The active key with a newly reserved block."""
        async with self._lock:
            active = self._active.get(workspace_id)
            if active is not None and active.left > 0 and self._clock.now() < active.until:
                return active  # somebody else has just done it
            row = await self._current_row(workspace_id)
            key = self._keys.get(row.id) or await self._unwrap(row, workspace_id)
            if await self._data_keys.reserve(row.id, self._limits.block) > self._limits.refuse_at:
                raise KeyRefused("A data key has sealed as often as it may.")
            active = _Active(key, self._limits.block, key.created_at + self._limits.max_age)
            self._active[workspace_id] = active
            return active

    async def _current_row(self, workspace_id: str) -> DataKey:
        rows = await self._load(workspace_id)
        active = max((row for row in rows if row.active), key=lambda row: row.created_at, default=None)
        if active is None:
            return await self._generate(workspace_id, replaces=None)
        worn = active.used + self._limits.block > self._limits.turn_over_at
        if worn or self._clock.now() >= active.created_at + self._limits.max_age:
            return await self._generate(workspace_id, replaces=active.id)
        return active

    async def _generate(self, workspace_id: str, *, replaces: bytes | None) -> DataKey:
        """The new generation, or the one that another process made first."""
        key_id, octets = self._entropy.octets(_ID_OCTETS), self._entropy.octets(KEY_OCTETS)
        root_key_id, wrapped = await self._root_keys.wrap(octets, WrapContext(key_id, workspace_id))
        row = DataKey(
            id=key_id,
            workspace_id=workspace_id,
            wrapped=wrapped,
            root_key_id=root_key_id,
            created_at=self._clock.now(),
            active=True,
            used=0,
        )
        return await self._data_keys.add_key(row, replaces=replaces)

    async def _first_index_key(self, workspace_id: str) -> bytes:
        rows = await self._load(workspace_id)
        if not rows:
            await self._prepared(workspace_id)
            rows = await self._load(workspace_id)
        first = min(rows, key=lambda row: (row.created_at, row.id))
        return (self._keys.get(first.id) or await self._unwrap(first, workspace_id)).index_key


def _derive(octets: bytes, use: bytes) -> bytes:
    """HKDF-SHA256 (RFC 5869), one label per use."""
    return HKDF(algorithm=SHA256(), length=KEY_OCTETS, salt=None, info=use).derive(octets)
