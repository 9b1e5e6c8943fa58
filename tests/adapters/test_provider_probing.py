"""`[types.probe]`: mistakes are found, and the shipped types lead to their databases."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from tests.adapters.provider_files import GOOD, written
from tests.adapters.test_provider_reader import VALIDATOR, plain
from tokenkeep.adapters.catalog import Catalog
from tokenkeep.adapters.data_files import data_directory
from tokenkeep.adapters.provider_nouns import types
from tokenkeep.adapters.provider_reader import read
from tokenkeep.core.model import Driver
from tokenkeep.core.probing import Tls, target

PROBE = """
[[types]]
name = "acmeDatabase"
label = "Acme database"

[[types.fields]]
name = "host"
label = "Host"

[[types.fields]]
name = "password"
label = "Password"
kind = "secret"

[types.probe]
driver = "redis"
host = "{host}"
password = "{password}"
"""


def with_probe(old: str = "", new: str = "") -> str:
    assert old in PROBE
    return GOOD + PROBE.replace(old, new, 1) if old else GOOD + PROBE


def test_a_type_may_be_proved_by_signing_in(tmp_path: Path) -> None:
    file, problems = read(written(tmp_path, with_probe()))
    assert problems == []
    assert file is not None
    *_, database = types(file)
    assert database.probe is not None
    assert (database.probe.driver, database.probe.host, database.test) == (Driver.REDIS, "{host}", None)


SHAPE_MISTAKES = [
    ('"redis"', '"oracle"', "driver = ", '"oracle"', "postgresql"),
    ('driver = "redis"\n', "", "[types.probe]", "`driver` is missing", ""),
    ('host = "{host}"', 'host = "{host}.example.com"', "host = ", "host", ""),
    ('host = "{host}"', 'hots = "{host}"', "hots = ", "`hots` is no key", "`host`?"),
]
RULE_MISTAKES = [
    ('host = "{host}"', 'host = "{hots}"', "host = ", "`{hots}`", "`{host}`?"),
    ('host = "{host}"', 'host = "{host}"\nurl = "{host}"', "host = ", "one way", "connection string"),
    ('host = "{host}"\n', "", "driver = ", "one way", "connection string"),
    ('password = "{password}"', 'password = "secret"', "password = ", "no secrets", "Name the field"),
    ('host = "{host}"', 'host = "{host}"\ntls = "yes"', "tls = ", "no word for TLS", "`verify`"),
    (
        "[types.probe]",
        '[types.test]\nurl = "https://api.acme.com/ping"\n\n[types.probe]',
        "",
        "another way",
        "[types.probe]",
    ),
]


@pytest.mark.parametrize(("old", "new", "line", "message", "hint"), SHAPE_MISTAKES + RULE_MISTAKES)
def test_a_mistake_is_found_with_a_hint(tmp_path: Path, old: str, new: str, line: str, message: str, hint: str) -> None:
    text = with_probe(old, new)
    _, found = read(written(tmp_path, text))
    told = [one for one in found if message in one.message]
    assert told, [str(one) for one in found]
    assert hint in told[0].hint
    assert line in text.splitlines()[told[0].line - 1]


@pytest.mark.parametrize(("old", "new"), [mistake[:2] for mistake in SHAPE_MISTAKES])
def test_the_published_schema_refuses_it_too(old: str, new: str) -> None:
    assert VALIDATOR.is_valid(plain(tomllib.loads(with_probe())))
    assert not VALIDATOR.is_valid(plain(tomllib.loads(with_probe(old, new))))


SHIPPED = {
    "PostgresApi": (
        {"host": "h", "port": 5433, "user": "u", "password": "p"},
        (Driver.POSTGRESQL, 5433, "u", Tls.PREFER),
    ),
    "PostgresUrl": ({"postgresUrl": "postgres://u:p@h/d"}, (Driver.POSTGRESQL, 5432, "u", Tls.PREFER)),
    "MySQLApi": ({"host": "h", "user": "u", "password": "p"}, (Driver.MYSQL, 3306, "u", Tls.PREFER)),
    "singleStoreApi": ({"host": "h", "user": "u", "password": "p"}, (Driver.MYSQL, 3306, "u", Tls.PREFER)),
    "mongoDBUrlApi": ({"mongoDBConnectUrl": "mongodb+srv://u:p@h/"}, (Driver.MONGODB, 27017, "u", Tls.VERIFY)),
    "redisCacheApi": (
        {"redisCacheHost": "h", "redisCachePort": 6379, "redisCachePwd": "p", "redisCacheSslEnabled": True},
        (Driver.REDIS, 6379, "", Tls.VERIFY),
    ),
    "redisCacheUrlApi": ({"redisUrl": "redis://u:p@h"}, (Driver.REDIS, 6379, "u", Tls.OFF)),
    "neo4jApi": ({"url": "neo4j+s://h", "username": "u", "password": "p"}, (Driver.NEO4J, 7687, "u", Tls.VERIFY)),
}
CATALOG = Catalog.load([data_directory("providers")], demo_public_url="https://keep.example.com")
PROBED = {type_.name for type_ in CATALOG.types() if type_.probe is not None}


def test_every_shipped_probe_is_tried_here() -> None:
    assert set(SHIPPED) == PROBED


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_type_leads_to_its_database(name: str) -> None:
    values, wanted = SHIPPED[name]
    probe = CATALOG.type(name).probe
    assert probe is not None
    found = target(probe, values)
    assert (found.driver, found.port, found.user, found.tls) == wanted
    assert (found.host, found.password.reveal()) == ("h", "p")
