"""What the value of a setting may be.

Owns: one parser for each type of value. Does not own: which setting has which type (`environment`).

Each raises ValueError with a text that begins with "must" and never quotes the value: it may be a secret that was put
under the wrong name.
"""

from __future__ import annotations

import ipaddress
import re
import ssl
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from tokenkeep.core.secret import Secret

_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_HOST_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})*\.?", re.IGNORECASE)
_DEFAULT_PORTS = {"http": 80, "https": 443}


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach that host."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def public_origin(text: str) -> str:
    """Scheme, host and port of an origin that people's browsers may be sent to."""
    parts = urlsplit(text)
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise ValueError("must be a URL such as https://tokenkeep.example.org")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not hold a user name or password")
    if parts.path not in {"", "/"} or "?" in text or "#" in text:
        raise ValueError("must end after the host and port: no path, query or fragment")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError("must begin with https:// unless it is a loopback address")
    port = parts.port
    shown = f":{port}" if port not in {None, _DEFAULT_PORTS[parts.scheme]} else ""
    return f"{parts.scheme}://{bracketed(address(parts.hostname))}{shown}"


def address(text: str) -> str:
    """An IP address without brackets, or a host name in small letters."""
    bare = text.removeprefix("[").removesuffix("]")
    try:
        return str(ipaddress.ip_address(bare))
    except ValueError:
        if _HOST_NAME.fullmatch(text):
            return text.lower()
    raise ValueError("must be an IP address or a host name")


def bracketed(host: str) -> str:
    """The host as it stands in a URL (RFC 3986 section 3.2.2)."""
    return f"[{host}]" if ":" in host else host


def port_number(text: str) -> int:
    """A port that can be listened on. Not 0: the public URL could not name it."""
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 1 <= int(text) <= 65_535:
        raise ValueError("must be a port from 1 to 65535")
    return int(text)


def file_path(text: str) -> Path:
    """An absolute path; links are left as they are, since the key file must not be one."""
    return Path(text).expanduser().absolute()


def directory(text: str) -> Path:
    """A directory that may still have to be made."""
    found = file_path(text)
    if found.exists() and not found.is_dir():
        raise ValueError("must be a directory")
    return found


def existing_directory(text: str) -> Path:
    """A directory that is there."""
    found = file_path(text)
    if not found.is_dir():
        raise ValueError("must be a directory that exists")
    return found


def certificates(text: str) -> Path:
    """A PEM file of certificates to trust."""
    found = file_path(text)
    try:
        ssl.create_default_context(cafile=found)
    except OSError:
        raise ValueError("must be a file of PEM certificates that can be read") from None
    return found


def database_url(text: str) -> Secret:
    """A database that we have a store for. Not SQLite in memory: two connections would see two databases."""
    parts = urlsplit(text)
    if parts.scheme == "sqlite+aiosqlite":
        if parts.netloc or parts.path in {"", "/"} or ":memory:" in text:
            raise ValueError("must name a file after sqlite+aiosqlite:///")
    elif parts.scheme != "postgresql+asyncpg":
        raise ValueError("must begin with sqlite+aiosqlite:/// or postgresql+asyncpg://")
    elif not parts.path.strip("/"):
        raise ValueError("must name a database after the host")
    return Secret(text)


def smtp_url(text: str) -> Secret:
    """A mail server, and perhaps who we are there."""
    parts = urlsplit(text)
    if parts.scheme not in {"smtp", "smtps"} or not parts.hostname:
        raise ValueError("must be a URL such as smtp://user@mail.example.org:587")
    if parts.path not in {"", "/"} or "?" in text or "#" in text:
        raise ValueError("must end after the host and port")
    if parts.port is not None and not parts.port:
        raise ValueError("must name a port from 1 to 65535")
    return Secret(text)


def mail_address(text: str) -> str:
    """One address, without a name."""
    if not re.fullmatch(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,253}", text):
        raise ValueError("must be a mail address such as alerts@example.org")
    return text


def with_password(url: Secret, password: Secret) -> Secret:
    """That URL with a password of its own."""
    parts = urlsplit(url.reveal())
    user, _, place = parts.netloc.rpartition("@")
    if not user or ":" in user:
        raise ValueError("must go with a URL that names a user and no password")
    if not password:
        raise ValueError("must not be empty")
    return Secret(urlunsplit(parts._replace(netloc=f"{user}:{quote(password.reveal(), safe='')}@{place}")))


def switch(text: str) -> bool:
    """On or off."""
    return one_of("on", "off")(text) == "on"


def one_of(*words: str) -> Callable[[str], str]:
    """A parser of those words."""

    def parse(text: str) -> str:
        if text.lower() not in words:
            raise ValueError(f"must be {', '.join(words[:-1])} or {words[-1]}")
        return text.lower()

    return parse


def tick(text: str) -> float:
    """Seconds between two looks at what is due."""
    if not re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,3})?", text) or not 0.1 <= float(text) <= 3_600:
        raise ValueError("must be a number of seconds from 0.1 to 3600")
    return float(text)


def megabytes(text: str) -> int:
    """Room on a disk."""
    if not re.fullmatch(r"[0-9]{1,7}", text) or not 16 <= int(text) <= 1_000_000:
        raise ValueError("must be a number of megabytes from 16 to 1000000")
    return int(text)


def list_of(parse: Callable[[str], str]) -> Callable[[str], tuple[str, ...]]:
    """A parser of values separated by commas."""

    def parse_all(text: str) -> tuple[str, ...]:
        return tuple(parse(part) for part in (piece.strip() for piece in text.split(",")) if part)

    return parse_all


def network(text: str) -> str:
    """An address or a network in CIDR form."""
    try:
        return str(ipaddress.ip_network(text.strip("[]"), strict=False))
    except ValueError:
        raise ValueError("must be a list of addresses and networks such as 10.0.0.0/8") from None


def host_or_network(text: str) -> str:
    """A host name, an address or a network."""
    try:
        return network(text)
    except ValueError:
        if _HOST_NAME.fullmatch(text) and not re.fullmatch(r"[0-9.]+", text):
            return text.lower().rstrip(".")
    raise ValueError("must be a list of host names, addresses and networks")
