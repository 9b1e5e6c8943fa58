"""Where a credential's values lead: only to one host, and with nothing that a connection string smuggles in."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenkeep.core.model import Driver, Probe
from tokenkeep.core.probing import NoTarget, Probed, Target, Tls, target
from tokenkeep.core.secret import Secret

PARTS = Probe(
    driver=Driver.POSTGRESQL,
    host="{host}",
    port="{port}",
    user="{user}",
    password="{password}",
    database="{database}",
    tls="{tls}",
)
USUAL = {"host": "db.example.com", "user": "ada", "password": Secret("s3cret")}


def of_url(driver: Driver, url: str, **values: Any) -> Target:
    probe = Probe(driver=driver, url="{url}", user="{user}", password="{password}")
    return target(probe, {"url": url, **values})


def told(found: Target) -> tuple[Any, ...]:
    return found.host, found.port, found.user, found.password.reveal(), found.database, found.tls


def test_parts_lead_to_a_database():
    assert told(target(PARTS, USUAL)) == ("db.example.com", 5432, "ada", "s3cret", "", Tls.PREFER)


@pytest.mark.parametrize(
    ("values", "part", "wanted"),
    [
        ({"port": 6000}, "port", 6000),
        ({"port": 6000.0}, "port", 6000),
        ({"port": "6000"}, "port", 6000),
        ({"port": None}, "port", 5432),
        ({"port": ""}, "port", 5432),
        ({"host": "DB.Example.com"}, "host", "db.example.com"),
        ({"host": "10.0.0.1"}, "host", "10.0.0.1"),
        ({"host": "[2606:4700::1]"}, "host", "2606:4700::1"),
        ({"database": "shop"}, "database", "shop"),
        ({"tls": True}, "tls", Tls.VERIFY),
        ({"tls": False}, "tls", Tls.OFF),
        ({"tls": "require"}, "tls", Tls.REQUIRE),
        ({"tls": ""}, "tls", Tls.PREFER),
        ({"user": "{password}"}, "user", "{password}"),
    ],
)
def test_what_a_field_says_counts(values, part, wanted):
    assert getattr(target(PARTS, USUAL | values), part) == wanted


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"host": ""}, Probed.INCOMPLETE),
        ({"host": None}, Probed.INCOMPLETE),
        ({"user": ""}, Probed.INCOMPLETE),
        ({"host": "/var/run/postgresql"}, Probed.UNSUPPORTED),
        ({"host": "@abstract"}, Probed.UNSUPPORTED),
        ({"host": "a.example,b.example"}, Probed.UNSUPPORTED),
        ({"host": "a.example:5432"}, Probed.UNSUPPORTED),
        ({"host": "a.example/x"}, Probed.UNSUPPORTED),
        ({"host": "①②⑦.0.0.1"}, Probed.UNSUPPORTED),
        ({"host": "a b"}, Probed.UNSUPPORTED),
        ({"host": "a.example\n"}, Probed.UNSUPPORTED),
        ({"host": "x" * 254}, Probed.UNSUPPORTED),
        ({"port": 0}, Probed.UNSUPPORTED),
        ({"port": 65536}, Probed.UNSUPPORTED),
        ({"port": "54x2"}, Probed.UNSUPPORTED),
        ({"port": -1}, Probed.UNSUPPORTED),
        ({"tls": "perhaps"}, Probed.UNSUPPORTED),
        ({"user": "ada\0database\0other"}, Probed.UNSUPPORTED),
        ({"password": Secret("a\0b")}, Probed.UNSUPPORTED),
        ({"database": "a\0b"}, Probed.UNSUPPORTED),
    ],
)
def test_what_leads_nowhere(values, why):
    with pytest.raises(NoTarget) as none:
        target(PARTS, USUAL | values)
    assert none.value.why is why


@pytest.mark.parametrize(
    ("driver", "url", "wanted"),
    [
        (
            Driver.POSTGRESQL,
            "postgresql://ada:p%40ss@db.example.com:6000/shop",
            ("db.example.com", 6000, "ada", "p@ss", "shop", Tls.PREFER),
        ),
        (Driver.POSTGRESQL, "postgres://ada@h/shop?sslmode=require", ("h", 5432, "ada", "", "shop", Tls.REQUIRE)),
        (Driver.POSTGRESQL, "postgres://ada@h/?sslmode=verify-full", ("h", 5432, "ada", "", "", Tls.VERIFY)),
        (Driver.POSTGRESQL, "postgres://ada@h/?sslmode=disable", ("h", 5432, "ada", "", "", Tls.OFF)),
        (Driver.POSTGRESQL, "postgres://ada@h/?sslcert=/etc/passwd&options=-c", ("h", 5432, "ada", "", "", Tls.PREFER)),
        (Driver.POSTGRESQL, "postgres://ada:a,b@h/", ("h", 5432, "ada", "a,b", "", Tls.PREFER)),
        (Driver.MYSQL, "mysql://ada@h/shop?ssl-mode=VERIFY_IDENTITY", ("h", 3306, "ada", "", "shop", Tls.VERIFY)),
        (Driver.MYSQL, "mysql://ada@h/shop?ssl-mode=REQUIRED", ("h", 3306, "ada", "", "shop", Tls.REQUIRE)),
        (Driver.REDIS, "redis://h", ("h", 6379, "", "", "", Tls.OFF)),
        (Driver.REDIS, "rediss://:pw@h:1/3", ("h", 1, "", "pw", "3", Tls.VERIFY)),
        (Driver.REDIS, "redis://[::1]/", ("::1", 6379, "", "", "", Tls.OFF)),
        (Driver.MONGODB, "mongodb://ada:pw@h/shop?replicaSet=rs", ("h", 27017, "ada", "pw", "shop", Tls.OFF)),
        (Driver.MONGODB, "mongodb://h/?tls=true", ("h", 27017, "", "", "", Tls.VERIFY)),
        (Driver.MONGODB, "mongodb://h/?ssl=true&tlsInsecure=true", ("h", 27017, "", "", "", Tls.REQUIRE)),
        (Driver.MONGODB, "mongodb+srv://c.example.net/", ("c.example.net", 27017, "", "", "", Tls.VERIFY)),
        (Driver.MONGODB, "mongodb+srv://c.example.net/?tls=false", ("c.example.net", 27017, "", "", "", Tls.OFF)),
        (Driver.NEO4J, "neo4j://ada:pw@h", ("h", 7687, "ada", "pw", "", Tls.OFF)),
    ],
)
def test_a_connection_string_is_taken_apart(driver, url, wanted):
    assert told(of_url(driver, url)) == wanted


@pytest.mark.parametrize(
    ("scheme", "tls"),
    [("bolt+s", Tls.VERIFY), ("neo4j+s", Tls.VERIFY), ("bolt+ssc", Tls.REQUIRE), ("bolt", Tls.OFF)],
)
def test_fields_fill_what_the_connection_string_leaves_open(scheme, tls):
    found = of_url(Driver.NEO4J, f"{scheme}://h", user="ada", password=Secret("pw"))
    assert told(found) == ("h", 7687, "ada", "pw", "", tls)


def test_what_mongodb_says_beside_the_host():
    found = of_url(
        Driver.MONGODB, "mongodb+srv://ada:pw@c.example.net/shop?authSource=people&authMechanism=SCRAM-SHA-1"
    )
    assert (found.listed, found.auth_database) == (True, "people")
    assert not of_url(Driver.MONGODB, "mongodb://h/").listed


@pytest.mark.parametrize(
    ("driver", "url", "why"),
    [
        (Driver.POSTGRESQL, "", Probed.INCOMPLETE),
        (Driver.POSTGRESQL, "postgresql:///shop", Probed.INCOMPLETE),
        (Driver.POSTGRESQL, "postgresql://h/shop", Probed.INCOMPLETE),
        (Driver.POSTGRESQL, "postgresql://ada@%2Fvar%2Frun/shop", Probed.UNSUPPORTED),
        (Driver.POSTGRESQL, "postgresql://ada@a.example,b.example/shop", Probed.UNSUPPORTED),
        (Driver.POSTGRESQL, "postgresql://ada@a.example/shop?host=/var/run", Probed.UNSUPPORTED),
        (Driver.POSTGRESQL, "postgresql://ada@a.example/shop?hostaddr=127.0.0.1", Probed.UNSUPPORTED),
        (Driver.POSTGRESQL, "postgresql://ada@a.example/shop?service=own", Probed.UNSUPPORTED),
        (Driver.POSTGRESQL, "postgresql://ada@a.example:port/shop", Probed.UNSUPPORTED),
        (Driver.POSTGRESQL, "postgresql://ada@[::1/shop", Probed.UNSUPPORTED),
        (Driver.POSTGRESQL, "mysql://ada@h", Probed.UNSUPPORTED),
        (Driver.POSTGRESQL, "host=h user=ada", Probed.UNSUPPORTED),
        (Driver.MYSQL, "mysql://ada@h/?unix_socket=/tmp/s", Probed.UNSUPPORTED),
        (Driver.REDIS, "unix:///tmp/redis.sock", Probed.UNSUPPORTED),
        (Driver.REDIS, "redis://h/shop", Probed.UNSUPPORTED),
        (Driver.MONGODB, "mongodb://a.example:1,b.example:2/", Probed.UNSUPPORTED),
        (Driver.MONGODB, "mongodb://%2Ftmp%2Fmongodb.sock/", Probed.UNSUPPORTED),
        (Driver.MONGODB, "mongodb://h/?authMechanism=MONGODB-AWS", Probed.UNSUPPORTED),
        (Driver.MONGODB, "mongodb://h/?authMechanism=PLAIN", Probed.UNSUPPORTED),
        (Driver.NEO4J, "http://h", Probed.UNSUPPORTED),
    ],
)
def test_a_connection_string_that_leads_elsewhere_is_not_followed(driver, url, why):
    with pytest.raises(NoTarget) as none:
        of_url(driver, url)
    assert none.value.why is why


PIECES = st.sampled_from(
    ["postgresql://", "mongodb+srv://", "redis://", "ada", ":", "@", "h.example", "/", "?", "host=", "%2F", "%00", ",",
     "[", "]", "::1", "5432", "\0", "\\", "#", "&", "localhost", "é", "\n", " "]
)  # fmt: skip


@given(driver=st.sampled_from(Driver), pieces=st.lists(PIECES, max_size=14))
def test_whatever_is_written_leads_to_one_plain_host_or_nowhere(driver, pieces):
    try:
        found = of_url(driver, "".join(pieces), user="ada")
    except NoTarget:
        return
    assert re.fullmatch(r"[a-z0-9_][a-z0-9._-]*|[0-9a-f:.]+", found.host)
    assert 0 < found.port < 65536
    assert "\0" not in found.user + found.password.reveal() + found.database + found.auth_database


def test_no_password_is_shown():
    assert "s3cret" not in repr(target(PARTS, USUAL))
