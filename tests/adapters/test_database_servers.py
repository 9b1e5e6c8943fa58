"""Signing in at databases other than PostgreSQL: what each refusal means, and that TLS proves the name."""

from __future__ import annotations

import asyncio
import logging
import struct
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from tests.kit.certificates import self_signed
from tests.kit.database_servers import PASSWORD, USER, Mongo, MySql, Neo4j, Redis, Server
from tokenkeep.adapters.probes.database_probe import DatabaseProbeAdapter
from tokenkeep.core.model import Driver
from tokenkeep.core.probing import Probed, Target, Tls
from tokenkeep.core.secret import Secret

HOST = "db.test"
LOOPBACK = ("127.0.0.0/8",)
KINDS: dict[Driver, type[Server]] = {
    Driver.MYSQL: MySql,
    Driver.REDIS: Redis,
    Driver.MONGODB: Mongo,
    Driver.NEO4J: Neo4j,
}
DRIVERS = pytest.mark.parametrize("driver", KINDS)


async def here(host: str, port: int) -> list[str]:
    return ["127.0.0.1"]


async def found(server: Server, driver: Driver, *, ca_file: Any = None, **changes: Any) -> Probed:
    """What signing in finds, as somebody the server knows unless `changes` say otherwise."""
    whole = Target(driver=driver, host=HOST, port=0, user=USER, password=Secret(PASSWORD))
    async with server.listening():
        adapter = DatabaseProbeAdapter(allow=LOOPBACK, ca_file=ca_file, resolve=here)
        return await adapter.probe(replace(whole, port=server.port, **changes))


@DRIVERS
async def test_who_is_known_is_let_in(driver):
    assert await found(KINDS[driver](), driver) is Probed.OK


@DRIVERS
@pytest.mark.parametrize("changes", [{"password": Secret("wrong")}, {"user": "eve"}, {"password": Secret("")}])
async def test_who_is_not_is_told_so_after_one_attempt(driver, changes):
    server = KINDS[driver]()
    nothing = driver is Driver.MONGODB and not changes.get("password", True)
    assert await found(server, driver, **changes) is (Probed.INCOMPLETE if nothing else Probed.WRONG_CREDENTIAL)
    proofs = {
        Driver.MONGODB: lambda one: "saslContinue" in one or "listCollections" in one,
        Driver.NEO4J: lambda one: one[1] == 0x6A,
        Driver.REDIS: lambda one: one[0] in {"AUTH", "PING"},
        Driver.MYSQL: lambda one: True,
    }[driver]
    assert len([one for one in server.sent if proofs(one)]) <= 1


@DRIVERS
async def test_who_hangs_up_was_not_reached(driver):
    class Gone(KINDS[driver]):  # type: ignore[misc]
        async def talk(self, reader, writer):
            return

    assert await found(Gone(), driver) is Probed.UNREACHABLE


@DRIVERS
async def test_who_talks_nonsense_was_not_reached(driver):
    class Other(KINDS[driver]):  # type: ignore[misc]
        async def talk(self, reader, writer):
            writer.write(b"SSH-2.0-OpenSSH_9.2\r\n" * 20)
            await reader.read(1)

    assert await found(Other(), driver) is Probed.UNREACHABLE


@pytest.mark.parametrize(
    ("driver", "refusal", "changes", "told"),
    [
        (Driver.MYSQL, None, {"database": "shop"}, Probed.OK),
        (Driver.MYSQL, None, {"database": "shpo"}, Probed.MISSING_DATABASE),
        (Driver.MYSQL, 1044, {"database": "shop"}, Probed.MISSING_PERMISSION),
        (Driver.MYSQL, 1130, {}, Probed.MISSING_PERMISSION),
        (Driver.MYSQL, 3118, {}, Probed.MISSING_PERMISSION),
        (Driver.MYSQL, 1862, {}, Probed.WRONG_CREDENTIAL),
        (Driver.MYSQL, 1040, {}, Probed.RATE_LIMITED),
        (Driver.MYSQL, 3159, {}, Probed.NO_TLS),
        (Driver.MYSQL, 1251, {}, Probed.UNSUPPORTED),
        (Driver.MYSQL, 1105, {}, Probed.UNREACHABLE),
        (Driver.REDIS, None, {"database": "3"}, Probed.OK),
        (Driver.REDIS, None, {"database": "99"}, Probed.MISSING_DATABASE),
        (Driver.REDIS, None, {"user": ""}, Probed.OK),
        (Driver.REDIS, {"SELECT": "NOPERM no"}, {"database": "3"}, Probed.MISSING_PERMISSION),
        (Driver.REDIS, {"PING": "NOPERM no"}, {}, Probed.OK),
        (Driver.REDIS, {"PING": "ERR max number of clients reached"}, {}, Probed.RATE_LIMITED),
        (Driver.REDIS, {"PING": "LOADING no"}, {}, Probed.UNREACHABLE),
        (Driver.REDIS, {"PING": "ERR something else"}, {}, Probed.UNREACHABLE),
        (Driver.MONGODB, 13, {"database": "shop"}, Probed.MISSING_PERMISSION),
        (Driver.MONGODB, 8000, {}, Probed.WRONG_CREDENTIAL),
        (Driver.MONGODB, 1, {}, Probed.UNREACHABLE),
        (Driver.NEO4J, "Neo.ClientError.Security.Forbidden", {}, Probed.MISSING_PERMISSION),
        (Driver.NEO4J, "Neo.ClientError.Security.AuthenticationRateLimit", {}, Probed.RATE_LIMITED),
        (Driver.NEO4J, "Neo.ClientError.Request.Invalid", {}, Probed.UNREACHABLE),
        (Driver.NEO4J, "Neo.TransientError.General.DatabaseUnavailable", {}, Probed.UNREACHABLE),
    ],
)
async def test_what_a_refusal_means(driver, refusal, changes, told):
    assert await found(KINDS[driver](refuses=refusal), driver, **changes) is told


@DRIVERS
async def test_nothing_of_it_is_logged(driver, caplog):
    caplog.set_level(logging.WARNING)  # below that, no library is heard
    refusal = {Driver.MYSQL: 1105, Driver.MONGODB: 1, Driver.NEO4J: "Neo.ClientError.Request.Invalid"}.get(driver)
    for changes in ({}, {"password": Secret("canary-of-somebody")}):
        await found(KINDS[driver](refuses=refusal), driver, **changes)
    assert PASSWORD not in caplog.text
    assert "canary" not in caplog.text


async def test_a_redis_without_passwords_lets_everybody_in():
    assert await found(Redis(password=""), Driver.REDIS, user="", password=Secret("")) is Probed.OK


async def test_the_user_of_a_mongodb_may_be_kept_in_another_database():
    server = Mongo()
    assert await found(server, Driver.MONGODB, database="shop", auth_database="people") is Probed.OK
    (start,) = [one for one in server.sent if "saslStart" in one]
    (listing,) = [one for one in server.sent if "listCollections" in one]
    assert (start["$db"], listing["$db"]) == ("people", "shop")


# --- TLS --------------------------------------------------------------------------------------------------------------


@DRIVERS
async def test_the_certificate_is_asked_for_by_the_hosts_name_although_an_address_is_dialled(driver, tmp_path):
    tls, trusted = self_signed(HOST, tmp_path)
    server = KINDS[driver](tls=tls)
    assert await found(server, driver, tls=Tls.VERIFY, ca_file=trusted) is Probed.OK
    assert set(server.names) == {HOST}


@DRIVERS
@pytest.mark.parametrize(("name", "known"), [("other.test", True), (HOST, False)])
async def test_a_certificate_that_proves_nothing_gets_no_password(driver, name, known, tmp_path):
    tls, trusted = self_signed(name, tmp_path)
    server = KINDS[driver](tls=tls)
    told = await found(server, driver, tls=Tls.VERIFY, ca_file=trusted if known else None)
    assert told is Probed.UNTRUSTED_CERTIFICATE
    assert server.sent == []


@DRIVERS
async def test_tls_alone_may_be_asked_for(driver, tmp_path):
    tls, _ = self_signed("other.test", tmp_path)
    server = KINDS[driver](tls=tls)
    assert await found(server, driver, tls=Tls.REQUIRE) is Probed.OK
    assert server.names


async def test_first_words_without_end_are_left():
    class Endless(MySql):
        async def begin(self, client):
            part, loop = b"\xff\xff\xff\0" + b"x" * 65532, asyncio.get_running_loop()
            with suppress(ConnectionError):
                while len(self.sent) < 240:  # 15 MB, all of which the first four octets announce
                    await loop.sock_sendall(client, part)
                    self.sent.append(len(part))
            raise ConnectionError

    server = Endless()
    assert await found(server, Driver.MYSQL) is Probed.UNREACHABLE
    assert sum(server.sent) < 12_000_000


@DRIVERS
async def test_an_answer_without_end_is_left(driver, tmp_path):
    tls, trusted = self_signed(HOST, tmp_path)
    said = 0

    class Endless(KINDS[driver]):  # type: ignore[misc]
        async def talk(self, reader, writer):
            nonlocal said
            endless = {
                Driver.REDIS: b"$2000000000\r\n",
                Driver.MYSQL: b"\xff\xff\xff\3",
                Driver.NEO4J: b"\0\0\4\5\xff\xff",
            }
            writer.write(endless.get(driver, struct.pack("<iiiib", 40_000_000, 1, 1, 2013, 0)))
            for _ in range(1000):
                writer.write(b"x" * 65536)
                await writer.drain()
                said += 65536

    assert await found(Endless(tls=tls), driver, tls=Tls.VERIFY, ca_file=trusted) is Probed.UNREACHABLE
    assert said < 16_000_000


@pytest.mark.parametrize(("tls", "told"), [(Tls.PREFER, Probed.OK), (Tls.REQUIRE, Probed.NO_TLS)])
async def test_a_mysql_without_tls_gets_a_password_only_where_tls_was_a_wish(tls, told):
    server = MySql()
    assert await found(server, Driver.MYSQL, tls=tls) is told
    assert bool(server.sent) is (told is Probed.OK)
