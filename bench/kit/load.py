"""A load generator: prebuilt requests over kept-alive connections, in a process of its own.

Owns: sending as fast as the answers come, or at a fixed rate, and counting complete answers by their content-length.
Does not own: what is measured at the server (`bench.kit.processes`).

Run as `python -m bench.kit.load` with a JSON order on standard input; the figures come out as JSON. At a fixed rate the
latency of an answer counts from the moment its request was due, so a stall of the server is not hidden by requests that
were never sent.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections import deque
from typing import Any

import uvloop

END_OF_HEAD = b"\r\n\r\n"


class Connection(asyncio.Protocol):
    """One request at a time, the next as soon as `ready` is told that the answer is complete."""

    def __init__(self, ready: Any) -> None:
        self._ready = ready
        self._received = b""
        self._sent_for = 0.0
        self.lost = False

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def connection_lost(self, _: Exception | None) -> None:
        self.lost = True

    def ask(self, request: bytes, due: float) -> None:
        self._sent_for = due
        self._transport.write(request)

    def data_received(self, octets: bytes) -> None:
        received = self._received + octets if self._received else octets
        head_end = received.find(END_OF_HEAD)
        if head_end < 0:
            self._received = received
            return
        head = received[:head_end].lower()
        at = head.index(b"content-length:") + 15
        length = int(head[at : (head.find(b"\r", at) + len(head) + 1) % (len(head) + 1)])
        if len(received) < head_end + 4 + length:
            self._received = received
            return
        self._received = b""
        self._ready(self, time.perf_counter() - self._sent_for, good=received.startswith(b"HTTP/1.1 200"))


class Run:
    """One order carried out: `seconds` of load after a warm-up."""

    def __init__(self, order: dict[str, Any]) -> None:
        self._requests = [request.encode() for request in order["requests"]]
        self._next = 0
        self._rate = float(order.get("rate", 0))
        self._seconds, self._warm_s = float(order["seconds"]), float(order.get("warm_s", 0.3))
        self._connections = int(order["connections"])
        self._address = (order.get("host", "127.0.0.1"), int(order["port"]))
        self._idle: deque[Connection] = deque()
        self._backlog: deque[float] = deque()
        self._counting = self._over = False
        self.answers = self.refused = 0
        self.latencies: list[float] = []

    def _request(self) -> bytes:
        request = self._requests[self._next]
        self._next = (self._next + 1) % len(self._requests)
        return request

    def _ready(self, connection: Connection, latency: float, *, good: bool) -> None:
        if self._counting:
            self.answers += 1
            self.refused += not good
            self.latencies.append(latency)
        if self._over:
            return
        if not self._rate:
            connection.ask(self._request(), time.perf_counter())
        elif self._backlog:
            connection.ask(self._request(), self._backlog.popleft())
        else:
            self._idle.append(connection)

    async def _paced(self) -> None:
        """Requests due since the last look are sent, or wait for a free connection."""
        due = time.perf_counter()
        while not self._over:
            now = time.perf_counter()
            while due <= now:
                if self._idle:
                    self._idle.popleft().ask(self._request(), due)
                else:
                    self._backlog.append(due)
                due += 1 / self._rate
            await asyncio.sleep(min(0.001, max(due - time.perf_counter(), 0)))

    async def carry_out(self) -> dict[str, float]:
        loop = asyncio.get_running_loop()
        connections = [
            (await loop.create_connection(lambda: Connection(self._ready), *self._address))[1]
            for _ in range(self._connections)
        ]
        if self._rate:
            self._idle.extend(connections)
            pacing = asyncio.create_task(self._paced())
        else:
            for connection in connections:
                connection.ask(self._request(), time.perf_counter())
        await asyncio.sleep(self._warm_s)
        print("counting", flush=True)
        self._counting, began = True, time.perf_counter()
        await asyncio.sleep(self._seconds)
        self._counting, took = False, time.perf_counter() - began
        print("counted", flush=True)
        self._over = True
        if self._rate:
            await pacing
        ordered = sorted(self.latencies) or [0.0]
        return {
            "answers": self.answers,
            "refused": self.refused,
            "lost_connections": sum(connection.lost for connection in connections),
            "per_second": self.answers / took,
            "p50_ms": ordered[len(ordered) // 2] * 1000,
            "p99_ms": ordered[int(len(ordered) * 0.99)] * 1000,
        }


def main() -> None:
    """Carry out the order on standard input."""
    order = json.loads(sys.stdin.readline())
    if order.get("core") is not None:
        os.sched_setaffinity(0, {order["core"]})
    print(json.dumps(uvloop.run(Run(order).carry_out())), flush=True)


if __name__ == "__main__":
    main()
