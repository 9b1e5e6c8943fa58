"""The fake provider of the campaigns: a process of its own that outlives every kill and writes down all it decided.

Owns: token families of every rotation class, what a refresh does to them, the delays before and after that decision, and
the journal: one line when a request begins, when it is decided and when it ended, each in the kernel's hands before the
answer leaves. Does not own: what the journal proves (`history`, `checker`).

Only the standard library is imported, so it is up in a moment. Run as `python -m tests.campaigns.provider JOURNAL SEED`;
the first line on standard output is its port. Each class has a loopback address of its own, so that the breaker of one
host does not guard the others.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

CLASSES = ("none", "grace", "strict", "family", "kills")
"""The last one is strict, and kills the old access token too."""
HOSTS = {kind: f"127.0.0.{number}" for number, kind in enumerate(CLASSES, start=1)}
GRACE_S = 30.0
LIFE_S = 3600


@dataclass
class Family:
    """One consent. A generation is a refresh token; for class `none` only the access token's number grows."""

    name: str  # class.number
    before_s: float
    after_s: float
    abandons: bool  # does nothing for a caller who hangs up before the decision; else it goes on, as many servers do
    generation: int = 1
    spent_at: dict[int, float] = field(default_factory=dict)
    revoked: bool = False

    @property
    def kind(self) -> str:
        return self.name.partition(".")[0]

    def tokens(self) -> dict[str, Any]:
        """The answer for the present generation."""
        of_refresh = 1 if self.kind == "none" else self.generation
        return {
            "access_token": f"at-{self.name}.{self.generation}",
            "refresh_token": f"rt-{self.name}.{of_refresh}",
            "token_type": "Bearer",
            "expires_in": LIFE_S,
        }


@dataclass
class Fault:
    """What a class does wrong for a while: `down`, `lose` (after the commit) or `hang`, to a share of its requests."""

    kind: str = ""
    share: float = 1.0


class Provider:
    """Decides, and writes it down."""

    def __init__(self, journal: str, seed: int) -> None:
        self._journal = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._chance = random.Random(seed)
        self._families: dict[str, Family] = {}
        self._faults: dict[str, Fault] = {}
        self._number = 0

    def note(self, what: str, **facts: Any) -> None:
        line = json.dumps({"what": what, "at": time.monotonic(), **facts}) + "\n"
        os.write(self._journal, line.encode())

    def found(self, order: dict[str, Any]) -> list[dict[str, Any]]:
        """New families, as consents given in a browser would make them."""
        made = []
        for _ in range(order["count"]):
            number = len(self._families) + 1
            family = Family(
                f"{order['kind']}.{number}", order["before_s"], order["after_s"], order.get("abandons", False)
            )
            self._families[family.name] = family
            self.note("family", family=family.name, after_s=family.after_s)
            made.append({"family": family.name, **family.tokens()})
        return made

    def fail(self, order: dict[str, Any]) -> dict[str, Any]:
        self._faults[order["kind"]] = Fault(order["fault"], order.get("share", 1.0))
        self.note("fault", kind=order["kind"], fault=order["fault"])
        return {}

    async def refresh(self, by: str, token: str, hung_up: asyncio.Event) -> tuple[int, dict[str, Any]] | None:
        """None: no answer is to be given. Goes on when the caller hangs up, as a provider does."""
        name, _, sent = token.removeprefix("rt-").rpartition(".")
        family = self._families.get(name)
        if family is None:
            return 400, {"error": "invalid_grant"}
        self._number += 1
        number, generation = self._number, int(sent)
        self.note("begin", n=number, by=by, family=name, sent=generation, current=family.generation)
        answer = await self._decide(number, family, generation, hung_up)
        if answer is not None:
            await _first(family.after_s, hung_up)
        answered = answer is not None and not hung_up.is_set()
        self.note("end", n=number, answered=answered)
        return answer if answered else None

    async def _decide(
        self, number: int, family: Family, sent: int, hung_up: asyncio.Event
    ) -> tuple[int, dict[str, Any]] | None:
        fault = self._faults.get(family.kind, Fault())
        fault = fault if self._chance.random() < fault.share else Fault()
        if fault.kind == "hang":
            await _first(30, hung_up)
            return None
        await _first(family.before_s, hung_up if family.abandons else asyncio.Event())
        if hung_up.is_set() and family.abandons:
            return None
        if fault.kind == "down":
            self.note("down", n=number)
            return 503, {"message": "down"}
        answer = self._granted(number, family, sent)
        return None if fault.kind == "lose" else answer

    def _granted(self, number: int, family: Family, sent: int) -> tuple[int, dict[str, Any]]:
        if family.revoked:
            return self._refused(number)
        if sent == family.generation or family.kind == "none":
            family.spent_at[family.generation] = time.monotonic()
            family.generation += 1
            self.note("commit", n=number, generation=family.generation)
            return 200, family.tokens()
        spent_at = family.spent_at.get(sent)
        if family.kind == "grace" and spent_at is not None and time.monotonic() - spent_at <= GRACE_S:
            self.note("again", n=number, generation=family.generation)
            return 200, family.tokens()
        family.revoked = family.kind == "family"
        return self._refused(number)

    def _refused(self, number: int) -> tuple[int, dict[str, Any]]:
        self.note("refused", n=number)
        return 400, {"error": "invalid_grant"}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one request."""
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            path, body = await _request(reader)
            answer = await self._route(path, body, reader)
            if answer is not None:
                writer.write(_rendered(*answer))
                await writer.drain()
        writer.close()

    async def _route(self, path: str, body: bytes, reader: asyncio.StreamReader) -> tuple[int, Any] | None:
        if path == "/families":
            return 200, self.found(json.loads(body))
        if path == "/faults":
            return 200, self.fail(json.loads(body))
        hung_up = asyncio.Event()
        watching = asyncio.create_task(_watch(reader, hung_up))
        try:
            return await self.refresh(path.split("/")[1], dict(parse_qsl(body.decode()))["refresh_token"], hung_up)
        finally:
            watching.cancel()


async def _first(seconds: float, hung_up: asyncio.Event) -> None:
    """That long, or until the caller hangs up."""
    with suppress(TimeoutError):
        await asyncio.wait_for(hung_up.wait(), seconds)


async def _watch(reader: asyncio.StreamReader, hung_up: asyncio.Event) -> None:
    """A killed process's kernel closes its sockets: that ends its request, whatever the provider still does."""
    with suppress(ConnectionError):
        await reader.read(1)
    hung_up.set()


async def _request(reader: asyncio.StreamReader) -> tuple[str, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    sizes = [line.partition(":")[2] for line in head if line.lower().startswith("content-length:")]
    return head[0].split(" ")[1], await reader.readexactly(int(sizes[0]) if sizes else 0)


def _rendered(status: int, answer: Any) -> bytes:
    body = json.dumps(answer).encode()
    head = f"HTTP/1.1 {status} Said\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
    return head.encode() + b"connection: close\r\n\r\n" + body


async def main(journal: str, seed: int) -> None:
    """Serve until the process is ended, or whoever started it is gone."""
    provider = Provider(journal, seed)
    first = await asyncio.start_server(provider.serve, HOSTS["none"], 0, backlog=512)
    port = first.sockets[0].getsockname()[1]
    for host in sorted(set(HOSTS.values()) - {HOSTS["none"]}):
        await asyncio.start_server(provider.serve, host, port, backlog=512)
    print(port, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)  # ends with its parent


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
