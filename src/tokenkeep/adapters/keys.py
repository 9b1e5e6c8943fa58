"""Root keys: what wraps the data keys.

Owns: the interface every source of root keys keeps, the local one (AES-256-GCM), and which keys are refused as weak.
Does not own: the key file (`key_file`), data keys and sealing (`envelope`), which setting names the source (`settings`).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tokenkeep.core.errors import KeyRefused
from tokenkeep.core.secret import Secret
from tokenkeep.services.ports import Entropy

KEY_OCTETS = 32
DOCUMENTED_EXAMPLE = "aEQiEy8wu0+sODuARKb+bqZWjDhn8Ct8RDtIZcRkMWs="
"""The value our documentation shows. Everybody knows it, so it is refused."""

_WRAP_FORMAT = b"\x01"
_NONCE_OCTETS = 12
_MAKE_ONE = "Make one with `openssl rand -base64 32`."


@dataclass(frozen=True, slots=True)
class WrapContext:
    """What a wrapped data key is bound to: moved to another id or workspace it does not unwrap."""

    data_key_id: bytes
    workspace_id: str


class RootKeys(Protocol):
    """A source of root keys: this machine, or a key management service."""

    async def wrap(self, plain: bytes, context: WrapContext) -> tuple[str, bytes]:
        """(root key id, wrapped octets), by the primary root key."""

    async def unwrap(self, blob: bytes, context: WrapContext, *, root_key_id: str) -> bytes:
        """The data key. Raises KeyRefused when that root key is not here or does not open it."""

    def current_id(self) -> str:
        """The id of the primary root key. Not a secret."""

    async def health(self) -> bool:
        """Whether wrapping and unwrapping would work now."""


@dataclass(frozen=True, slots=True)
class RootKey:
    """One local root key and the id that rows name it by."""

    id: str
    octets: bytes = field(repr=False)


def length_prefixed(*parts: bytes) -> bytes:
    """The parts as one octet string that no other list of parts gives."""
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def root_key_id(octets: bytes) -> str:
    """The id of a root key, made from the key, so the same key has the same id in every source."""
    return hashlib.sha256(b"root-key-id" + octets).hexdigest()[:16]


def parse_root_key(text: Secret) -> RootKey:
    """A root key from its base64 text. Raises KeyRefused; the text is never repeated in the error."""
    try:
        octets = base64.b64decode(text.reveal().strip().encode(), validate=True)
    except (binascii.Error, ValueError):
        raise KeyRefused("The root key is not base64.", fix=_MAKE_ONE) from None
    if len(octets) != KEY_OCTETS:
        raise KeyRefused(f"The root key has {len(octets)} octets, not {KEY_OCTETS}.", fix=_MAKE_ONE)
    _refuse_weak(octets)
    return RootKey(root_key_id(octets), octets)


def encode_root_key(octets: bytes) -> Secret:
    """The text that `parse_root_key` reads."""
    return Secret(base64.b64encode(octets).decode())


def _refuse_weak(octets: bytes) -> None:
    """Chance gives fewer than 16 distinct octets, or only printable ones, about never; people do."""
    if octets == base64.b64decode(DOCUMENTED_EXAMPLE):
        raise KeyRefused("The root key is the example from the documentation.", fix=_MAKE_ONE)
    if len(set(octets)) < KEY_OCTETS // 2:
        raise KeyRefused("The root key is too regular to be random.", fix=_MAKE_ONE)
    if all(0x20 <= octet < 0x7F for octet in octets):
        raise KeyRefused("The root key is text, not random octets.", fix=_MAKE_ONE)


class LocalRootKeys:
    """Root keys held by this process. AES-256-GCM is an approved AEAD for wrapping (SP 800-38F section 5.1)."""

    def __init__(self, keys: Mapping[str, RootKey], *, primary: str, entropy: Entropy) -> None:
        self._ciphers = {key.id: AESGCM(key.octets) for key in keys.values()}
        self._primary = primary
        self._entropy = entropy

    @classmethod
    def from_environment(cls, text: Secret, entropy: Entropy) -> LocalRootKeys:
        """The one key whose base64 is `text`. Raises KeyRefused."""
        key = parse_root_key(text)
        return cls({key.id: key}, primary=key.id, entropy=entropy)

    async def wrap(self, plain: bytes, context: WrapContext) -> tuple[str, bytes]:
        """(root key id, wrapped octets), by the primary root key."""
        nonce = self._entropy.octets(_NONCE_OCTETS)
        bound = _bound(context, self._primary)
        return self._primary, _WRAP_FORMAT + nonce + self._ciphers[self._primary].encrypt(nonce, plain, bound)

    async def unwrap(self, blob: bytes, context: WrapContext, *, root_key_id: str) -> bytes:
        """The data key. Raises KeyRefused when that root key is not here or does not open it."""
        cipher = self._ciphers.get(root_key_id)
        if cipher is None or blob[:1] != _WRAP_FORMAT:
            raise KeyRefused("A data key was wrapped by a root key that is not here.")
        nonce, wrapped = blob[1 : 1 + _NONCE_OCTETS], blob[1 + _NONCE_OCTETS :]
        try:
            return cipher.decrypt(nonce, wrapped, _bound(context, root_key_id))
        except (InvalidTag, ValueError):
            raise KeyRefused("A data key does not unwrap.") from None

    def current_id(self) -> str:
        """The id of the primary root key."""
        return self._primary

    async def health(self) -> bool:
        """Always: the key is in this process."""
        return True

    def __repr__(self) -> str:
        return f"LocalRootKeys(primary={self._primary!r})"


def _bound(context: WrapContext, root_id: str) -> bytes:
    return length_prefixed(b"wrap", context.data_key_id, context.workspace_id.encode(), root_id.encode())
