"""Passwords without the work."""

from __future__ import annotations

from tokenkeep.core.secret import Secret


class FakePasswords:
    """`ports.Passwords`: the hash is the password behind a word, and costs nothing."""

    def __init__(self) -> None:
        self.verified: list[str] = []
        """The hashes that were asked for; empty text for an unknown user."""

    async def hash(self, password: Secret) -> str:
        return f"fake${password.reveal()}"

    async def verify(self, password_hash: str, password: Secret) -> bool:
        self.verified.append(password_hash)
        return password_hash == f"fake${password.reveal()}"
