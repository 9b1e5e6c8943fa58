"""Argon2id, away from the event loop.

Owns: hashing and verifying people's passwords. Does not own: which passwords are acceptable, counting tries.
"""

from __future__ import annotations

import asyncio

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from tokenkeep.core.secret import Secret

# One hash takes 64 MiB and a quarter of a second of a core: more at once would starve the token reads.
_AT_ONCE = 2
NOBODYS_HASH = "$argon2id$v=19$m=65536,t=3,p=4$miKy450k/mkbHCXrp9ZNzg$enakrpGlaIo7ET2FzeL74wd9KFDpCvapFVnV3w1QC/0"
"""Verified in place of a hash that does not exist, so that unknown users take as long. Its password is unknown."""


class Argon2Passwords:
    """`ports.Passwords` with argon2-cffi's defaults (RFC 9106, low memory)."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher()
        self._turn = asyncio.Semaphore(_AT_ONCE)

    async def hash(self, password: Secret) -> str:
        """Argon2's own text form."""
        async with self._turn:
            return await asyncio.to_thread(self._hasher.hash, password.reveal())

    async def verify(self, password_hash: str, password: Secret) -> bool:
        """Whether it is the password. Takes as long for an empty hash as for a real one (T69)."""
        async with self._turn:
            fits = await asyncio.to_thread(self._fits, password_hash or NOBODYS_HASH, password.reveal())
        return fits and bool(password_hash)

    def _fits(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except (VerificationError, InvalidHashError):
            return False
