"""The guard of the suite itself: no connection beyond this machine."""

from __future__ import annotations

import asyncio
import socket

import pytest

OUTSIDE = ("192.0.2.1", 9)  # RFC 5737: documentation addresses, nobody is there


def test_sockets_beyond_loopback_are_refused(reached_out):
    with socket.socket() as sock, pytest.raises(RuntimeError, match="tried to connect"):
        sock.connect(OUTSIDE)
    with socket.socket() as sock, pytest.raises(RuntimeError, match="tried to connect"):
        sock.connect_ex(OUTSIDE)
    assert reached_out == [OUTSIDE, OUTSIDE]
    reached_out.clear()


async def test_asyncio_is_guarded_too(reached_out):
    with pytest.raises(RuntimeError, match="tried to connect"):
        await asyncio.open_connection(*OUTSIDE)
    assert reached_out == [OUTSIDE]
    reached_out.clear()


async def test_loopback_is_open(reached_out):
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
        writer.close()
    assert reached_out == []
