"""Which database a credential leads to.

Owns: what the templates of a probe and a connection string amount to, and the words for what signing in there found.
Does not own: signing in (`adapters/probes`), how much TLS a network needs (`adapters/probes/line`).

A connection string can ask its driver for more than a connection: to read files, to speak to a socket of this machine,
to follow a second host. So no driver ever sees one: it is taken apart here, and only the known parts go on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from tokenkeep.core.injection import holes
from tokenkeep.core.model import Driver, Probe
from tokenkeep.core.secret import Secret


class Probed(StrEnum):
    """What signing in found; all but `OK` are problems of a verdict."""

    OK = ""
    WRONG_CREDENTIAL = "wrong_credential"
    MISSING_PERMISSION = "missing_permission"
    MISSING_DATABASE = "missing_database"
    RATE_LIMITED = "rate_limited"
    UNREACHABLE = "unreachable"
    OUTBOUND_REFUSED = "outbound_refused"
    NO_TLS = "no_tls"
    UNTRUSTED_CERTIFICATE = "untrusted_certificate"
    INCOMPLETE = "incomplete"
    UNSUPPORTED = "unsupported"
    DRIVER_MISSING = "driver_missing"


class Tls(StrEnum):
    """What a credential says about TLS."""

    OFF = "off"
    PREFER = "prefer"  # if the server offers it
    REQUIRE = "require"  # whoever the server is
    VERIFY = "verify"  # and its certificate proves that it is the host


class NoTarget(Exception):
    """These values lead to no database that can be tried; `why` is what to answer."""

    def __init__(self, why: Probed) -> None:
        super().__init__(why.value)
        self.why = why


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A database, and who signs in there."""

    driver: Driver
    host: str
    port: int
    user: str = ""
    password: Secret = field(default=Secret(""))
    database: str = ""
    tls: Tls = Tls.OFF
    listed: bool = False  # the host is only a name under which DNS lists the servers (MongoDB's `+srv`)
    auth_database: str = ""  # MongoDB: where the user is kept, when it is not the database itself


_PORTS = {
    Driver.POSTGRESQL: 5432,
    Driver.MYSQL: 3306,
    Driver.MONGODB: 27017,
    Driver.REDIS: 6379,
    Driver.NEO4J: 7687,
}
_UNSAID = {Driver.POSTGRESQL: Tls.PREFER, Driver.MYSQL: Tls.PREFER}
"""What these drivers do by themselves; the others speak plainly."""

_NAMED = frozenset({Driver.POSTGRESQL, Driver.MYSQL, Driver.NEO4J})
"""They let nobody in without a name."""

_SCHEMES: Mapping[Driver, Mapping[str, Tls | None]] = {
    Driver.POSTGRESQL: {"postgres": None, "postgresql": None},
    Driver.MYSQL: {"mysql": None},
    Driver.MONGODB: {"mongodb": None, "mongodb+srv": Tls.VERIFY},
    Driver.REDIS: {"redis": None, "rediss": Tls.VERIFY},
    Driver.NEO4J: {
        f"{scheme}{ending}": tls
        for scheme in ("bolt", "neo4j")
        for ending, tls in {"": None, "+s": Tls.VERIFY, "+ssc": Tls.REQUIRE}.items()
    },
}
TLS_WORDS = {
    "true": Tls.VERIFY,
    "false": Tls.OFF,
    "disable": Tls.OFF,
    "allow": Tls.PREFER,
    "disabled": Tls.OFF,
    "preferred": Tls.PREFER,
    "required": Tls.REQUIRE,
    "verify-ca": Tls.VERIFY,
    "verify-full": Tls.VERIFY,
    "verify-identity": Tls.VERIFY,
} | {tls.value: tls for tls in Tls}
"""What files, fields and connection strings call them."""

_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,252})|[0-9A-Fa-f:.]{2,45}")
_ELSEWHERE = frozenset({"dbname", "host", "hostaddr", "password", "port", "service", "socket", "unix_socket", "user"})
"""Parameters that move a connection away from what stands before the question mark."""
_CHALLENGES = frozenset({"", "DEFAULT", "SCRAM-SHA-1", "SCRAM-SHA-256"})
_UNVERIFIED = ("tlsInsecure", "tlsAllowInvalidCertificates", "tlsAllowInvalidHostnames")
_LAST_PORT = 65535


def target(probe: Probe, values: Mapping[str, Any]) -> Target:
    """Where `values` lead.

    Raises:
        NoTarget: nowhere, or in a way that is not gone here.
    """
    said = {name: _said(getattr(probe, name), values) for name in _PARTS}
    begun = _of_url(probe.driver, said["url"]) if probe.url else _nowhere(probe.driver)
    tls = said["tls"].lower()
    if tls and tls not in TLS_WORDS:
        raise NoTarget(Probed.UNSUPPORTED)
    whole = replace(
        begun,
        host=begun.host or _host(said["host"]),
        port=begun.port or _port(said["port"]) or _PORTS[probe.driver],
        user=begun.user or said["user"],
        password=begun.password or Secret(said["password"]),
        database=begun.database or said["database"],
        tls=TLS_WORDS[tls] if tls else begun.tls,
    )
    return _checked(whole)


_PARTS = ("url", "host", "port", "user", "password", "database", "tls")


def _said(template: str, values: Mapping[str, Any]) -> str:
    """A template is one hole, or none: what a value holds can never become a part of something else."""
    names = holes(template)
    value = values.get(names[0]) if names else template
    if isinstance(value, Secret):
        return value.reveal()
    return "" if value is None else str(value)


def _nowhere(driver: Driver) -> Target:
    return Target(driver=driver, host="", port=0, tls=_UNSAID.get(driver, Tls.OFF))


def _checked(whole: Target) -> Target:
    if not whole.host or (whole.driver in _NAMED and not whole.user):
        raise NoTarget(Probed.INCOMPLETE)
    if whole.driver is Driver.REDIS and not re.fullmatch("[0-9]{0,9}", whole.database):
        raise NoTarget(Probed.UNSUPPORTED)
    texts = (whole.user, whole.password.reveal(), whole.database, whole.auth_database)
    if any("\0" in text for text in texts):  # it ends a text on the wire: what follows would be read as something else
        raise NoTarget(Probed.UNSUPPORTED)
    return whole


def _of_url(driver: Driver, url: str) -> Target:
    if not url:
        raise NoTarget(Probed.INCOMPLETE)
    try:
        parts = urlsplit(url)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        port = parts.port or 0
    except ValueError as error:
        raise NoTarget(Probed.UNSUPPORTED) from error
    schemes = _SCHEMES[driver]
    many = "," in parts.netloc.rpartition("@")[2]
    if parts.scheme not in schemes or many or not _ELSEWHERE.isdisjoint(name.lower() for name in query):
        raise NoTarget(Probed.UNSUPPORTED)
    begun = Target(
        driver=driver,
        host=_host(parts.hostname or ""),
        port=port,
        user=unquote(parts.username or ""),
        password=Secret(unquote(parts.password or "")),
        database=unquote(parts.path.removeprefix("/")),
        tls=schemes[parts.scheme] or _UNSAID.get(driver, Tls.OFF),
    )
    return _asked(begun, parts, query)


def _asked(begun: Target, parts: SplitResult, query: Mapping[str, str]) -> Target:
    """The few parameters that count. All others are left out, the names of files among them."""
    if begun.driver in _UNSAID:
        word = (query.get("sslmode") or query.get("ssl-mode") or "").lower().replace("_", "-")
        return replace(begun, tls=TLS_WORDS.get(word, begun.tls))
    if begun.driver is not Driver.MONGODB:
        return begun
    if query.get("authMechanism", "").upper() not in _CHALLENGES:
        raise NoTarget(Probed.UNSUPPORTED)
    word = query.get("tls", query.get("ssl", "")).lower()
    tls = TLS_WORDS.get(word, begun.tls)
    if tls is Tls.VERIFY and any(query.get(name) == "true" for name in _UNVERIFIED):
        tls = Tls.REQUIRE
    listed = parts.scheme.endswith("+srv")
    return replace(begun, tls=tls, listed=listed, auth_database=query.get("authSource", ""))


def _host(text: str) -> str:
    """Names and addresses only: a path in its place would be a socket of this machine."""
    host = text.strip("[]")
    if host and not _HOST.fullmatch(host):
        raise NoTarget(Probed.UNSUPPORTED)
    return host.lower()


def _port(text: str) -> int:
    number = text.removesuffix(".0")
    if not number:
        return 0
    if not re.fullmatch("[0-9]{1,5}", number) or not 0 < int(number) <= _LAST_PORT:
        raise NoTarget(Probed.UNSUPPORTED)
    return int(number)
