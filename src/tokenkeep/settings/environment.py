"""The environment, read and checked once.

Owns: which variables there are to read and how they fit together; it is the only reader of the environment.
Does not own: what a single value may be (`values`), what a setting makes the service do (`main`), or whether the root
key is any good (`adapters/keys`).

All problems are told at once, each by the name of its variable and never by its value. An empty variable counts as not
set, since compose files hand those on.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote, urlsplit

from tokenkeep.core.errors import Misconfigured
from tokenkeep.core.secret import Secret
from tokenkeep.settings import values
from tokenkeep.settings.table import PREFIX, SETTINGS

NOT_OURS = "TOKENKEEP_TEST_"
"""Names under this prefix belong to the test suite and are passed over."""

T = TypeVar("T")
_NAMES = frozenset(setting.name for setting in SETTINGS)
_SECRETS = (PREFIX + "ROOT_KEY", PREFIX + "DATABASE_URL", PREFIX + "SMTP_URL")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the environment said, checked. Every part has a value; what is optional is None or empty."""

    host: str
    port: int
    public_url: str  # scheme, host and port; no slash at the end
    data_dir: Path
    database_url: Secret  # whole, with the password from wherever it came
    root_key: Secret | None  # None: the keys are in `root_key_file`
    root_key_file: Path
    providers_dir: Path | None
    demo: bool
    outbound_allow: tuple[str, ...]
    ca_file: Path | None
    return_origins: tuple[str, ...]
    trusted_proxies: tuple[str, ...]
    refresh_tick_s: float
    least_free_mb: int
    spill: str
    smtp_url: Secret | None  # whole, with the password; None: no mail
    mail_from: str
    mail_to: tuple[str, ...]
    log_format: str
    log_level: str

    @property
    def embedded(self) -> bool:
        """Whether the database is SQLite, so that this machine is the only one."""
        return self.database_url.reveal().startswith("sqlite")

    @property
    def database_file(self) -> Path | None:
        """The file of the embedded database. None: it is a server's."""
        return Path(unquote(urlsplit(self.database_url.reveal()).path[1:])) if self.embedded else None


def from_environment() -> Settings:
    """Read the process's environment, and take the secrets out of it.

    Raises Misconfigured with every problem there is.
    """
    settings = read(os.environ)
    pop_secrets(os.environ)
    return settings


def pop_secrets(environ: MutableMapping[str, str]) -> None:
    """Keep child processes and crash reports from seeing secrets. The kernel's copy in /proc stays."""
    for name in _SECRETS:
        environ.pop(name, None)


def read(environ: Mapping[str, str]) -> Settings:
    """The settings in that mapping. Raises Misconfigured with every problem there is."""
    reader = _Reader(environ)
    reader.refuse_unknown()
    reader.refuse_both("ROOT_KEY", "ROOT_KEY_FILE")
    host = reader.get("HOST", values.address, "127.0.0.1")
    port = reader.get("PORT", values.port_number, 8420)
    given_url = reader.get("PUBLIC_URL", values.public_origin, None)
    public_url = given_url or reader.default_public_url(host, port)
    data_dir = reader.get("DATA_DIR", values.directory, reader.home("XDG_DATA_HOME", ".local/share") / "tokenkeep")
    settings = Settings(
        host=host,
        port=port,
        public_url=public_url,
        data_dir=data_dir,
        database_url=reader.database_url(data_dir),
        root_key=reader.get("ROOT_KEY", Secret, None),
        root_key_file=reader.get(
            "ROOT_KEY_FILE",
            values.file_path,
            reader.home("XDG_CONFIG_HOME", ".config") / "tokenkeep" / "keys" / "root.json",
        ),
        providers_dir=reader.get("PROVIDERS_DIR", values.existing_directory, None),
        demo=reader.demo(host, given_url),
        outbound_allow=reader.get("OUTBOUND_ALLOW", values.list_of(values.host_or_network), ()),
        ca_file=reader.get("CA_FILE", values.certificates, None),
        return_origins=reader.get("RETURN_ORIGINS", values.list_of(values.public_origin), ()),
        trusted_proxies=reader.get("TRUSTED_PROXIES", values.list_of(values.network), ()),
        refresh_tick_s=reader.get("REFRESH_TICK_S", values.tick, 5.0),
        least_free_mb=reader.get("LEAST_FREE_MB", values.megabytes, 64),
        spill=reader.get("SPILL", values.one_of("fault", "always"), "fault"),
        smtp_url=reader.smtp_url(),
        mail_from=reader.get("MAIL_FROM", values.mail_address, ""),
        mail_to=reader.get("MAIL_TO", values.list_of(values.mail_address), ()),
        log_format=reader.get("LOG_FORMAT", values.one_of("text", "json"), "text"),
        log_level=reader.get("LOG_LEVEL", values.one_of("debug", "info", "warning", "error"), "info"),
    )
    reader.finish()
    return settings


class _Reader:
    """Reads one variable after the other and collects what is wrong."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._problems: list[str] = []

    def text(self, name: str) -> str:
        return self._environ.get(PREFIX + name, "").strip()

    def complain(self, name: str, problem: str) -> None:
        self._problems.append(f"{PREFIX}{name} {problem}" + ("" if problem.endswith("?") else "."))

    def finish(self) -> None:
        if self._problems:
            raise Misconfigured("\n".join(self._problems), fix="See docs/reference/settings.md.")

    def get(self, name: str, parse: Callable[[str], T], default: T) -> T:
        text = self.text(name)
        if not text:
            return default
        try:
            return parse(text)
        except ValueError as error:
            # Only our own parsers' words: those of the standard library quote the value.
            told = str(error)
            self.complain(name, told if told.startswith("must ") else "cannot be understood")
            return default

    def home(self, name: str, fallback: str) -> Path:
        """A base directory of the XDG specification, which says to pass over relative ones."""
        given = Path(self._environ.get(name, ""))
        return given if given.is_absolute() else Path(self._environ.get("HOME") or "~").expanduser() / fallback

    def refuse_unknown(self) -> None:
        for name in sorted(self._environ):
            if name.startswith(PREFIX) and not name.startswith(NOT_OURS) and name not in _NAMES:
                bare = name.removeprefix(PREFIX)
                near = difflib.get_close_matches(bare, (known.removeprefix(PREFIX) for known in sorted(_NAMES)), n=1)
                self.complain(bare, "is not a setting" + (f"; did you mean {PREFIX}{near[0]}?" if near else ""))

    def refuse_both(self, one: str, other: str) -> None:
        if self.text(one) and self.text(other):
            self.complain(one, f"and {PREFIX}{other} are both set: keep one")

    def default_public_url(self, host: str, port: int) -> str:
        if host in {"0.0.0.0", "::"}:  # noqa: S104 - listening everywhere includes the loopback address
            return f"http://127.0.0.1:{port}"
        if not values.is_loopback(host):
            self.complain("PUBLIC_URL", "must be set when the service listens on an address that others can reach")
        return f"http://{values.bracketed(host)}:{port}"

    def demo(self, host: str, given_url: str | None) -> bool:
        wanted = self.get("DEMO", values.switch, values.is_loopback(host) and given_url is None)
        public = given_url is not None and not values.is_loopback(urlsplit(given_url).hostname or "")
        if wanted and (public or not values.is_loopback(host)):
            self.complain("DEMO", "must be off where others can reach the service: anybody can sign in at the demo")
        return wanted

    def database_url(self, data_dir: Path) -> Secret:
        default = Secret(f"sqlite+aiosqlite:///{data_dir / 'tokenkeep.sqlite3'}")
        url = self.get("DATABASE_URL", values.database_url, default)
        return self.with_password(url, "DATABASE_PASSWORD_FILE")

    def smtp_url(self) -> Secret | None:
        """The mail server, which makes sense only with somebody to write from and to."""
        url = self.get("SMTP_URL", values.smtp_url, None)
        given = [name for name in ("SMTP_URL", "MAIL_FROM", "MAIL_TO") if self.text(name)]
        for name in ("SMTP_URL", "MAIL_FROM", "MAIL_TO"):
            if given and name not in given:
                self.complain(name, f"must be set, as {PREFIX}{given[0]} is")
        if url is None:
            if self.text("SMTP_PASSWORD_FILE"):
                self.complain("SMTP_PASSWORD_FILE", f"must go with {PREFIX}SMTP_URL")
            return None
        return self.with_password(url, "SMTP_PASSWORD_FILE")

    def with_password(self, url: Secret, name: str) -> Secret:
        """The URL with the password from the file that setting `name` points to, if it does."""
        file = self.get(name, values.file_path, None)
        if file is None:
            return url
        try:
            return values.with_password(url, Secret(file.read_text(encoding="utf-8").rstrip("\r\n")))
        except (OSError, UnicodeDecodeError):
            self.complain(name, "cannot be read")
        except ValueError as error:
            self.complain(name, str(error))
        return url
