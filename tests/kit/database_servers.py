"""Database servers that can do one thing: let somebody in, or not. Each is written from its protocol's documentation.

PostgreSQL itself is not among them: there is a real one (`databases`).
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import bson

USER, PASSWORD = "ada", "pass word:/@"

Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter


@dataclass
class Server:
    """`tls`: from the first octet on, unless the protocol begins without. `sent`: what clients said after that."""

    tls: ssl.SSLContext | None = None
    user: str = USER
    password: str = PASSWORD
    refuses: Any = None  # the protocol's own word for a refusal after the password was taken
    connections: int = 0
    sent: list[Any] = field(default_factory=list)
    names: list[str] = field(default_factory=list)  # asked for in TLS
    port: int = 0
    _talking: list[asyncio.Task[None]] = field(default_factory=list)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Server]:
        if self.tls is not None:
            self.tls.sni_callback = lambda _, name, __: self.names.append(name)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setblocking(False)
            self.port = listener.getsockname()[1]
            accepting = asyncio.create_task(self._accept(listener))
            yield self
            accepting.cancel()
            async with asyncio.timeout(5):  # whoever was here must have hung up
                await asyncio.gather(*self._talking)

    async def _accept(self, listener: socket.socket) -> None:
        while True:
            client, _ = await asyncio.get_running_loop().sock_accept(listener)
            self.connections += 1
            self._talking.append(asyncio.create_task(self._serve(client)))

    async def _serve(self, client: socket.socket) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            tls, begun = await self.begin(client)
            reader, writer = await _streams(client, self.tls if tls else None, begun)
            try:
                await self.talk(reader, writer)
            finally:
                writer.close()
                await writer.wait_closed()
        client.close()

    async def begin(self, client: socket.socket) -> tuple[bool, bytes]:
        """Whether TLS comes now, and what of the conversation was read already."""
        return self.tls is not None, b""

    async def talk(self, reader: Reader, writer: Writer) -> None:
        """One connection."""


async def _streams(client: socket.socket, tls: ssl.SSLContext | None, begun: bytes) -> tuple[Reader, Writer]:
    loop, reader = asyncio.get_running_loop(), Reader()
    reader.feed_data(begun)
    protocol = asyncio.StreamReaderProtocol(reader)
    transport, _ = await loop.connect_accepted_socket(lambda: protocol, client, ssl=tls)
    return reader, Writer(transport, protocol, reader, loop)


async def _exactly(client: socket.socket, count: int) -> bytes:
    """No octet more is read: what follows may be TLS."""
    whole = b""
    while len(whole) < count and (part := await asyncio.get_running_loop().sock_recv(client, count - len(whole))):
        whole += part
    return whole


_SSL_REQUEST = b"\0\0\0\x08\x04\xd2\x16\x2f"


@dataclass
class PostgresqlFront(Server):
    """Before a real PostgreSQL: a port of this machine for it, and TLS. `sent`: what came through, as it came."""

    dial: Callable[[], Awaitable[tuple[Reader, Writer]]] | None = None

    async def begin(self, client: socket.socket) -> tuple[bool, bytes]:
        asked = await _exactly(client, 8)
        if asked != _SSL_REQUEST:
            return False, asked
        await asyncio.get_running_loop().sock_sendall(client, b"S" if self.tls else b"N")
        return self.tls is not None, b""

    async def talk(self, reader: Reader, writer: Writer) -> None:
        first = await reader.read(1)
        if not first or self.dial is None:
            return
        inner, through = await self.dial()
        through.write(first)
        back = asyncio.create_task(self._carry(inner, writer))
        await self._carry(reader, through, self.sent)
        await back

    async def _carry(self, reader: Reader, writer: Writer, seen: list[Any] | None = None) -> None:
        with suppress(ConnectionError):
            while part := await reader.read(65536):
                if seen is not None:
                    seen.append(part)
                writer.write(part)
        writer.close()


@dataclass
class Redis(Server):
    """RESP2. `refuses` maps a command to its error. Without a password everybody is let in."""

    databases: int = 16

    async def talk(self, reader: Reader, writer: Writer) -> None:
        inside = not self.password
        while True:
            words = [await self._bulk(reader) for _ in range(int((await reader.readuntil(b"\r\n"))[1:]))]
            self.sent.append(words)
            name = words[0].upper()
            if name == "AUTH":
                inside = words[1:] in ([self.user, self.password], [self.password])
                told = "+OK" if inside else "-WRONGPASS invalid username-password pair or user is disabled."
            elif not inside:
                told = "-NOAUTH Authentication required."
            elif name in (self.refuses or {}):
                told = f"-{self.refuses[name]}"
            else:
                lost = name == "SELECT" and int(words[1]) >= self.databases
                told = "-ERR DB index is out of range" if lost else "+OK"
            writer.write(f"{told}\r\n".encode())

    async def _bulk(self, reader: Reader) -> str:
        size = int((await reader.readuntil(b"\r\n"))[1:])
        return (await reader.readexactly(size + 2))[:-2].decode()


_SALT = b"12345678901234567890"
_SSL, _CONNECT_WITH_DB = 0x800, 0x8


@dataclass
class MySql(Server):
    """Protocol 10 with mysql_native_password. `refuses`: an error number instead of the welcome."""

    databases: tuple[str, ...] = ("shop",)

    async def begin(self, client: socket.socket) -> tuple[bool, bytes]:
        abilities = 0x80000 | 0x8000 | 0x200 | _CONNECT_WITH_DB | 0x1 | (_SSL if self.tls else 0)
        greeting = (
            b"\x0a8.4.0\0" + struct.pack("<I", 1) + _SALT[:8] + b"\0" + struct.pack("<H", abilities & 0xFFFF)
            + b"\x2d" + struct.pack("<HH", 2, abilities >> 16) + b"\x15" + bytes(10) + _SALT[8:] + b"\0"
            + b"mysql_native_password\0"
        )  # fmt: skip
        await asyncio.get_running_loop().sock_sendall(client, struct.pack("<I", len(greeting)) + greeting)
        asked = await _exactly(client, 36)
        only_tls = asked[:3] == b"\x20\0\0"
        return only_tls, b"" if only_tls else asked

    async def talk(self, reader: Reader, writer: Writer) -> None:
        number, answer = await self._packet(reader)
        self.sent.append(answer)
        error = self._error(answer)
        told = b"\0\0\0\2\0\0\0"
        if error:
            told = b"\xff" + struct.pack("<H", error) + b"#HY000" + f"no, {self.password}".encode()
        writer.write(struct.pack("<I", len(told) | (number + 1) << 24) + told)
        await reader.read()

    async def _packet(self, reader: Reader) -> tuple[int, bytes]:
        (head,) = struct.unpack("<I", await reader.readexactly(4))
        return head >> 24, await reader.readexactly(head & 0xFFFFFF)

    def _error(self, answer: bytes) -> int:
        user, _, rest = answer[32:].partition(b"\0")
        proof, rest = rest[1 : 1 + rest[0]], rest[1 + rest[0] :]
        once = hashlib.sha1(self.password.encode()).digest()
        mask = hashlib.sha1(_SALT + hashlib.sha1(once).digest()).digest()
        if user.decode() != self.user or proof != bytes(a ^ b for a, b in zip(once, mask, strict=True)):
            return 1045
        wanted = rest.partition(b"\0")[0].decode() if struct.unpack("<I", answer[:4])[0] & _CONNECT_WITH_DB else ""
        if wanted and wanted not in self.databases:
            return 1049
        return self.refuses or 0


_ROUNDS = 4096


@dataclass
class Mongo(Server):
    """OP_MSG and SCRAM-SHA-256 (RFC 7677). `refuses`: the code of `listCollections` for somebody who is in."""

    async def talk(self, reader: Reader, writer: Writer) -> None:
        state: dict[str, Any] = {"in": False}
        while True:
            size, request, _, kind = struct.unpack("<iiii", await reader.readexactly(16))
            body = await reader.readexactly(size - 16)
            legacy = kind == 2004
            document = bson.decode(body[body.index(b"\0", 4) + 9 :] if legacy else body[5:])
            self.sent.append(document)
            told = bson.encode(self._answer(next(iter(document)), document, state))
            head = struct.pack("<iqii", 8, 0, 0, 1) if legacy else struct.pack("<ib", 0, 0)
            size = 16 + len(head) + len(told)
            writer.write(struct.pack("<iiii", size, 1, request, 1 if legacy else 2013) + head + told)

    def _answer(self, command: str, document: dict[str, Any], state: dict[str, Any]) -> dict[str, Any]:
        if command.lower() in {"hello", "ismaster"}:
            mechanisms = {"saslSupportedMechs": ["SCRAM-SHA-256"]} if "saslSupportedMechs" in document else {}
            others = {"setName": "rs", "hosts": ["elsewhere.test:27017"], "me": "elsewhere.test:27017"}
            return {
                "ok": 1, "isWritablePrimary": True, "minWireVersion": 0, "maxWireVersion": 25, "helloOk": True,
                "maxBsonObjectSize": 16777216, "maxMessageSizeBytes": 48000000, "maxWriteBatchSize": 1000,
            } | mechanisms | others  # fmt: skip
        if command == "saslStart":
            return self._challenge(document, state)
        if command == "saslContinue":
            return self._proved(document, state)
        if command == "listCollections" and not state["in"]:
            return {"ok": 0, "code": 13, "errmsg": "Command listCollections requires authentication"}
        if command == "listCollections" and self.refuses:
            return {"ok": 0, "code": self.refuses, "errmsg": f"not for {self.password}"}
        return {"ok": 1, "cursor": {"id": 0, "ns": "test.$cmd.listCollections", "firstBatch": []}}

    def _challenge(self, document: dict[str, Any], state: dict[str, Any]) -> dict[str, Any]:
        bare = document["payload"].decode().removeprefix("n,,")
        parts = dict(part.split("=", 1) for part in bare.split(","))
        first = f"r={parts['r']}server,s={base64.b64encode(_SALT).decode()},i={_ROUNDS}"
        state |= {"user": parts["n"], "begun": f"{bare},{first}"}
        return {"ok": 1, "conversationId": 1, "done": False, "payload": first.encode()}

    def _proved(self, document: dict[str, Any], state: dict[str, Any]) -> dict[str, Any]:
        without, _, proof = document["payload"].decode().partition(",p=")
        salted = hashlib.pbkdf2_hmac("sha256", self.password.encode(), _SALT, _ROUNDS)
        key = hmac.digest(salted, b"Client Key", "sha256")
        said = f"{state['begun']},{without}".encode()
        signature = hmac.digest(hashlib.sha256(key).digest(), said, "sha256")
        wanted = bytes(a ^ b for a, b in zip(key, signature, strict=True))
        if state["user"] != self.user or base64.b64decode(proof) != wanted:
            return {"ok": 0, "code": 18, "errmsg": "Authentication failed."}
        state["in"] = True
        own = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), said, "sha256")
        payload = b"v=" + base64.b64encode(own)
        return {"ok": 1, "conversationId": 1, "done": True, "payload": payload}


_LOGON = 0x6A


@dataclass
class Neo4j(Server):
    """Bolt 5.4. `refuses`: the code of a failure instead of the welcome."""

    async def talk(self, reader: Reader, writer: Writer) -> None:
        await reader.readexactly(20)
        writer.write(b"\0\0\4\5")
        while True:
            message = await self._message(reader)
            self.sent.append(message)
            code = self._code(message) if message[1] == _LOGON else ""
            told = b"\xb1\x70" + _packed({"server": "Neo4j/5.26.0", "connection_id": "bolt-1"})
            if code:
                told = b"\xb1\x7f" + _packed({"code": code, "message": f"no, {self.password}"})
            writer.write(struct.pack(">H", len(told)) + told + b"\0\0")

    async def _message(self, reader: Reader) -> bytes:
        whole = b""
        while size := struct.unpack(">H", await reader.readexactly(2))[0]:
            whole += await reader.readexactly(size)
        return whole

    def _code(self, message: bytes) -> str:
        known = _text(self.user) in message and _text(self.password) in message
        return (self.refuses or "") if known else "Neo.ClientError.Security.Unauthorized"


def _text(text: str) -> bytes:
    octets = text.encode()
    return (bytes([0x80 + len(octets)]) if len(octets) < 16 else b"\xd0" + bytes([len(octets)])) + octets


def _packed(members: dict[str, str]) -> bytes:
    return bytes([0xA0 + len(members)]) + b"".join(_text(name) + _text(value) for name, value in members.items())
