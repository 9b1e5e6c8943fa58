"""A wire between a replica and its database that can be cut.

Owns: forwarding octets, and holding them while the wire is cut. Does not own: what they mean.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from sqlalchemy.engine import make_url


class Wire:
    """Listens on loopback; `cut` holds everything in both directions, and `mend` lets it pass again."""

    def __init__(self, database_url: str) -> None:
        self._url = make_url(database_url)
        self._whole = asyncio.Event()
        self._whole.set()
        self._connections: set[asyncio.Task[None]] = set()

    async def open(self) -> str:
        """The database's URL by way of this wire."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        query = {name: value for name, value in self._url.query.items() if name != "host"}
        return self._url.set(host="127.0.0.1", port=port, query=query).render_as_string(hide_password=False)

    def cut(self) -> None:
        self._whole.clear()

    def mend(self) -> None:
        self._whole.set()

    async def close(self) -> None:
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._joined(reader, writer)
        except asyncio.CancelledError:
            pass  # the wire is closed; asyncio would report a cancelled connection as broken
        finally:
            self._connections.discard(task)

    async def _joined(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = [writer]
        try:
            await self._whole.wait()
            there, back = await self._connect()
            ends.append(back)
            await asyncio.gather(self._pass(reader, back), self._pass(there, writer))
        except ConnectionError:
            pass  # either side is gone, and so is the connection
        finally:
            for end in ends:
                end.transport.abort()
                with suppress(ConnectionError):
                    await end.wait_closed()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        folder = self._url.query.get("host")
        if isinstance(folder, str) and folder.startswith("/"):  # the wheel's server listens on a socket in its folder
            return await asyncio.open_unix_connection(f"{folder}/.s.PGSQL.{self._url.port or 5432}")
        return await asyncio.open_connection(self._url.host, self._url.port or 5432)

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while octets := await source.read(65536):
            await self._whole.wait()
            sink.write(octets)
            await sink.drain()
        sink.close()
