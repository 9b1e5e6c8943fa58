"""A token endpoint that answers every refresh with a new pair after a set time.

Owns: just enough HTTP for that. Does not own: what is measured (`bench/refresh.py`). Run as
`python -m bench.kit.endpoint PORT MILLISECONDS`.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import json
import sys
from typing import Any

import uvloop

_numbers = itertools.count(1)


class Endpoint(asyncio.Protocol):
    """One connection."""

    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s
        self._received = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, octets: bytes) -> None:
        self._received += octets
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end or len(body) < _length(head.lower()):
            return
        self._received = b""
        asyncio.get_running_loop().call_later(
            self._delay_s, functools.partial(self._answer, last=b"connection: close" in head.lower())
        )

    def _answer(self, *, last: bool) -> None:
        if self._transport.is_closing():
            return
        number = next(_numbers)
        pair = {
            "access_token": f"access-{number}".ljust(200, "a"),
            "refresh_token": f"refresh-{number}".ljust(200, "r"),
        }
        body = json.dumps(pair | {"token_type": "Bearer", "expires_in": 3600}).encode()
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        self._transport.write(head.encode() + body)
        if last:
            self._transport.close()


def _length(head: bytes) -> int:
    at = head.find(b"content-length:")
    return int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0


async def serve(port: int, delay_s: float) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: Endpoint(delay_s), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), int(sys.argv[2]) / 1000))
