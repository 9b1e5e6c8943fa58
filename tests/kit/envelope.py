"""An envelope that one can read through."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import asdict

from tokenkeep.core.errors import Quarantined
from tokenkeep.core.model import Place


class ReadableEnvelope:
    """`ports.Envelope` without cryptography: place and plaintext stand there in base64, and a wrong place is refused."""

    def __init__(self) -> None:
        self.broken = False
        """True: nothing opens, as with a lost key."""

    async def seal(self, plain: bytes, place: Place) -> bytes:
        return b"readable|" + _encoded(place) + b"|" + base64.b64encode(plain)

    async def open(self, sealed: bytes, place: Place) -> bytes:
        parts = sealed.split(b"|")
        if self.broken or len(parts) != 3 or parts[:2] != [b"readable", _encoded(place)]:
            raise Quarantined
        try:
            return base64.b64decode(parts[2], validate=True)
        except ValueError:
            raise Quarantined from None

    async def opener(self, sealed: bytes, place: Place) -> Callable[[], bytes]:
        plain = await self.open(sealed, place)
        return lambda: plain

    async def index(self, text: str, workspace_id: str) -> str:
        return f"index of {text} in {workspace_id}"


def place_of(sealed: bytes) -> Place:
    """Where these readable octets belong."""
    return Place(**json.loads(base64.b64decode(sealed.split(b"|")[1])))


def _encoded(place: Place) -> bytes:
    return base64.b64encode(json.dumps(asdict(place), sort_keys=True).encode())
