"""A shelf in memory."""

from __future__ import annotations

from collections.abc import Mapping


class MemorySpill:
    """`ports.Spill`. `full` makes every put fail, as a full disk does."""

    def __init__(self) -> None:
        self.shelf: dict[str, bytes] = {}
        self.full = False

    async def put(self, name: str, sealed: bytes) -> None:
        if self.full:
            raise OSError(28, "No space left on device")
        if not name or "/" in name or ".." in name:
            raise ValueError("not a spill name")
        self.shelf[name] = sealed

    async def drop(self, name: str) -> None:
        self.shelf.pop(name, None)

    async def all(self) -> Mapping[str, bytes]:
        return dict(self.shelf)
