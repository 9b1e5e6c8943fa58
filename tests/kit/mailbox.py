"""A mailbox that remembers, and a small real mail server on loopback."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class Mailbox:
    """`ports.Mail`. `problem` is what it answers."""

    problem: str = ""
    mails: list[tuple[str, str]] = field(default_factory=list)

    async def send(self, *, subject: str, text: str, message_id: str) -> str:
        if not self.problem:
            self.mails.append((subject, text))
        return self.problem


@dataclass
class MailServer:
    """Speaks as much of SMTP as a client that means well needs."""

    tls: ssl.SSLContext | None = None  # offers STARTTLS with it
    refuse: str = ""  # a command that is answered 550
    said: list[str] = field(default_factory=list)  # every command, in order
    messages: list[bytes] = field(default_factory=list)
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._reply(writer, "220 mail.test ready")
            while line := (await reader.readline()).decode().rstrip("\r\n"):
                self.said.append(line)
                await self._answer(line.upper(), reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        finally:
            writer.close()

    async def _answer(self, line: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuse and line.startswith(self.refuse):
            await self._reply(writer, "550 no")
        elif line.startswith("EHLO"):
            offers = ["250-mail.test", *(["250-STARTTLS"] if self.tls else []), "250-AUTH PLAIN", "250 8BITMIME"]
            await self._reply(writer, "\r\n".join(offers))
        elif line == "STARTTLS" and self.tls:
            await self._reply(writer, "220 go ahead")
            await writer.start_tls(self.tls)
        elif line == "DATA":
            await self._reply(writer, "354 go on")
            whole = await reader.readuntil(b"\r\n.\r\n")
            self.messages.append(whole[:-3].replace(b"\r\n..", b"\r\n."))
            await self._reply(writer, "250 taken")
        elif line.startswith("AUTH"):
            await self._reply(writer, "235 welcome")
        elif line == "QUIT":
            await self._reply(writer, "221 bye")
        else:
            await self._reply(writer, "250 fine")

    async def _reply(self, writer: asyncio.StreamWriter, line: str) -> None:
        writer.write(line.encode() + b"\r\n")
        await writer.drain()


@asynccontextmanager
async def serving(server: MailServer) -> AsyncIterator[MailServer]:
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        await asyncio.sleep(0)
