"""One attempt to sign in: guarded, bounded, and never an exception or a word of what a driver says."""

from __future__ import annotations

import asyncio
import sys
from types import SimpleNamespace
from typing import Any

import dns.asyncresolver
import dns.name
import pytest

from tokenkeep.adapters.egress import Egress
from tokenkeep.adapters.probes.database_probe import CONCURRENCY, DatabaseProbeAdapter
from tokenkeep.adapters.probes.line import Lines, needed
from tokenkeep.adapters.probes.mongodb import server_under
from tokenkeep.core.model import Driver
from tokenkeep.core.probing import NoTarget, Probed, Target, Tls
from tokenkeep.core.secret import Secret

CANARY = "canary-password"
PUBLIC = "8.8.8.8"


def aim(**changes: Any) -> Target:
    whole = {"host": "db.example", "port": 5432, "user": "ada", "password": Secret(CANARY), "tls": Tls.PREFER}
    return Target(**{"driver": Driver.POSTGRESQL} | whole | changes)


def resolving(*addresses: str):
    async def resolve(host, port):
        if not addresses:
            raise OSError("no such name")
        return list(addresses)

    return resolve


class FakeDriver:
    """A driver's file: it remembers the lines it was given."""

    def __init__(self, found: Any = Probed.OK) -> None:
        self.found, self.lines = found, []
        self.running = self.most = 0
        self.release = asyncio.Event()
        self.release.set()

    async def attempt(self, line, target):
        self.lines.append(line)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.release.wait()
        finally:
            self.running -= 1
        if isinstance(self.found, BaseException):
            raise self.found
        return self.found

    async def listed(self, name):
        return f"shard-0.{name}", 27099


def adapter(driver: Any, *addresses: str, allow: Any = (), **parts: Any) -> DatabaseProbeAdapter:
    return DatabaseProbeAdapter(allow=allow, resolve=resolving(*addresses), load=lambda _: driver, **parts)


# --- which addresses ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("addresses", "allow", "told"),
    [
        ([PUBLIC], [], Probed.OK),
        (["127.0.0.1"], [], Probed.OUTBOUND_REFUSED),
        (["169.254.169.254"], ["db.example"], Probed.OUTBOUND_REFUSED),
        (["10.1.2.3"], [], Probed.OUTBOUND_REFUSED),
        (["10.1.2.3"], ["10.0.0.0/8"], Probed.OK),
        (["10.1.2.3"], ["db.example"], Probed.OK),
        ([PUBLIC, "10.1.2.3"], [], Probed.OUTBOUND_REFUSED),
        (["::ffff:10.1.2.3"], [], Probed.OUTBOUND_REFUSED),
        ([], [], Probed.UNREACHABLE),
    ],
)
async def test_a_host_is_vetted_like_any_other(addresses, allow, told):
    driver = FakeDriver()
    assert await adapter(driver, *addresses, allow=allow).probe(aim()) is told
    assert bool(driver.lines) is (told is Probed.OK)
    assert all(line.address in addresses for line in driver.lines), "a driver gets an address, never a name"


async def test_a_literal_address_is_vetted_as_well():
    driver = FakeDriver()
    assert await adapter(driver, PUBLIC).probe(aim(host="127.0.0.1")) is Probed.OUTBOUND_REFUSED
    assert driver.lines == []


async def test_a_listed_server_is_vetted_and_not_the_name_it_is_listed_under():
    driver = FakeDriver()
    target = aim(driver=Driver.MONGODB, host="c.example.net", tls=Tls.VERIFY, listed=True)
    assert await adapter(driver, PUBLIC).probe(target) is Probed.OK
    (line,) = driver.lines
    assert (line.port, line.tls.name) == (27099, "shard-0.c.example.net")
    assert await adapter(driver, "10.0.0.1").probe(target) is Probed.OUTBOUND_REFUSED


async def test_of_several_addresses_the_one_that_answers_is_called():
    async with await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.2", 0) as server:
        port = server.sockets[0].getsockname()[1]
        lines = Lines(egress=Egress(["127.0.0.0/8"]), resolve=resolving("127.0.0.1", "127.0.0.2", "127.0.0.3"))
        assert (await lines.to("db.example", port, Tls.OFF)).address == "127.0.0.2"
    assert (await lines.to("db.example", port, Tls.OFF)).address == "127.0.0.3"


@pytest.mark.parametrize("asked", Tls)
def test_how_much_tls_there_has_to_be(asked):
    assert needed(asked, near=True) is asked
    if asked is Tls.OFF:
        with pytest.raises(NoTarget) as none:
            needed(asked, near=False)
        assert none.value.why is Probed.NO_TLS
    else:
        assert needed(asked, near=False) is Tls.VERIFY


async def test_no_password_goes_over_the_internet_without_tls():
    driver = FakeDriver()
    assert await adapter(driver, PUBLIC).probe(aim(tls=Tls.OFF)) is Probed.NO_TLS
    assert driver.lines == []
    assert await adapter(driver, PUBLIC).probe(aim(tls=Tls.PREFER)) is Probed.OK
    (line,) = driver.lines
    assert line.demanded
    assert line.tls.check_hostname


@pytest.mark.parametrize(("allow", "address"), [("10.0.0.0/8", "10.1.2.3"), ("db.example", PUBLIC)])
async def test_where_an_administrator_lets_a_host_through_the_credential_decides_on_tls(allow, address):
    driver = FakeDriver()
    probes = adapter(driver, address, allow=[allow])
    assert [await probes.probe(aim(tls=tls)) for tls in Tls] == [Probed.OK] * len(Tls)
    assert [line.tls and line.tls.check_hostname for line in driver.lines] == [None, False, False, True]
    assert [line.demanded for line in driver.lines if line.tls] == [False, True, True]


@pytest.mark.parametrize(
    ("name", "server", "good"),
    [
        ("c0.abc.example.net", "c0-shard-00.abc.example.net", True),
        ("c0.abc.example.net", "C0-SHARD.ABC.example.net", True),
        ("c0.abc.example.net", "evil.example.org", False),
        ("c0.abc.example.net", "evilabc.example.net", False),
        ("example.net", "db.example.net", True),
        ("example.net", "db.other.net", False),
    ],
)
def test_dns_may_list_servers_of_the_same_owner_only(name, server, good):
    if good:
        assert server_under(name, server) == server.lower()
    else:
        with pytest.raises(NoTarget):
            server_under(name, server)


@pytest.mark.parametrize(("server", "told"), [("s1.example.net", Probed.OK), ("s1.evil.org", Probed.OUTBOUND_REFUSED)])
async def test_the_first_server_that_dns_lists_is_asked(server, told, monkeypatch):
    from tokenkeep.adapters.probes import mongodb

    async def resolve(name, kind, **_):
        assert (name, kind) == ("_mongodb._tcp.c0.example.net", "SRV")
        known = {"s2.example.net": 2, server: 1}
        return [
            SimpleNamespace(priority=rank, target=dns.name.from_text(one), port=27018) for one, rank in known.items()
        ]

    monkeypatch.setattr(dns.asyncresolver, "resolve", resolve)
    driver = FakeDriver()
    driver.listed = mongodb.listed
    target = aim(driver=Driver.MONGODB, host="c0.example.net", listed=True)
    assert await adapter(driver, PUBLIC).probe(target) is told
    assert [line.port for line in driver.lines] == [27018] * (told is Probed.OK)


# --- limits, and silence ---------------------------------------------------------------------------------------------------


async def test_an_attempt_ends_in_time():
    driver = FakeDriver()
    driver.release.clear()
    assert await adapter(driver, PUBLIC, total_s=0.05).probe(aim()) is Probed.UNREACHABLE
    assert driver.running == 0


async def test_few_attempts_run_at_a_time():
    driver = FakeDriver()
    driver.release.clear()
    probes = adapter(driver, PUBLIC)
    asked = [asyncio.create_task(probes.probe(aim())) for _ in range(CONCURRENCY + 3)]
    while driver.running < CONCURRENCY:
        await asyncio.sleep(0)
    driver.release.set()
    assert set(await asyncio.gather(*asked)) == {Probed.OK}
    assert driver.most == CONCURRENCY


@pytest.mark.parametrize("error", [ValueError(CANARY), OSError(CANARY), KeyError(CANARY), AssertionError(CANARY)])
async def test_what_a_driver_raises_goes_no_further(error, caplog):
    assert await adapter(FakeDriver(error), PUBLIC).probe(aim()) is Probed.UNREACHABLE
    assert CANARY not in caplog.text


async def test_a_driver_may_say_that_there_is_no_tls():
    assert await adapter(FakeDriver(NoTarget(Probed.NO_TLS)), PUBLIC).probe(aim()) is Probed.NO_TLS


@pytest.mark.parametrize("driver", Driver)
async def test_each_driver_has_its_file(driver):
    asked = []

    def load(name):
        asked.append(name)
        return FakeDriver()

    probes = DatabaseProbeAdapter(resolve=resolving(PUBLIC), load=load)
    assert await probes.probe(aim(driver=driver)) is Probed.OK
    assert asked == [f"tokenkeep.adapters.probes.{driver}"]


@pytest.mark.parametrize(
    ("driver", "library"),
    [
        (Driver.POSTGRESQL, "asyncpg"),
        (Driver.MYSQL, "aiomysql"),
        (Driver.MONGODB, "pymongo"),
        (Driver.REDIS, "redis.asyncio.connection"),
        (Driver.NEO4J, "neo4j"),
    ],
)
async def test_a_driver_that_is_not_installed_is_an_answer(driver, library, monkeypatch):
    monkeypatch.delitem(sys.modules, f"tokenkeep.adapters.probes.{driver}", raising=False)
    monkeypatch.setitem(sys.modules, library, None)  # as if it were not there
    probes = DatabaseProbeAdapter(resolve=resolving(PUBLIC))
    assert await probes.probe(aim(driver=driver)) is Probed.DRIVER_MISSING


def test_nothing_is_loaded_before_it_is_needed():
    import subprocess

    code = (
        "import sys, tokenkeep.main; "
        "print([one for one in ('aiomysql', 'pymongo', 'redis', 'neo4j', 'dns') if one in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
