"""The table of settings.

Owns: name, type, default and meaning of every `TOKENKEEP_…` variable, as documented. Does not own: reading them
(`environment`) or what a value may be (`values`).
"""

from __future__ import annotations

from dataclasses import dataclass

PREFIX = "TOKENKEEP_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One row of the reference table."""

    name: str
    type: str
    default: str  # as told to people; empty: there is none
    meaning: str


SETTINGS: tuple[Setting, ...] = tuple(
    Setting(name=PREFIX + name, type=kind, default=default, meaning=meaning)
    for name, kind, default, meaning in (
        ("HOST", "address", "127.0.0.1", "Address that the service listens on."),
        ("PORT", "port", "8420", "Port that the service listens on."),
        (
            "PUBLIC_URL",
            "origin",
            "http://HOST:PORT",
            "Where browsers and providers reach the service: https, or http on a loopback address; no path.",
        ),
        (
            "DATA_DIR",
            "directory",
            "$XDG_DATA_HOME/tokenkeep or ~/.local/share/tokenkeep",
            "Directory of the SQLite file and other state of this instance.",
        ),
        (
            "DATABASE_URL",
            "database URL",
            "sqlite+aiosqlite:///DATA_DIR/tokenkeep.sqlite3",
            "Database: sqlite+aiosqlite:///… or postgresql+asyncpg://….",
        ),
        (
            "DATABASE_PASSWORD_FILE",
            "file",
            "",
            "File that holds the PostgreSQL password, for a database URL that names a user and no password.",
        ),
        ("ROOT_KEY", "secret", "", "Root key as base64 of 32 random octets; ROOT_KEY_FILE is the safer way."),
        (
            "ROOT_KEY_FILE",
            "file",
            "$XDG_CONFIG_HOME/tokenkeep/keys/root.json or ~/.config/tokenkeep/keys/root.json",
            "File of root keys, readable by the service's user only; made at the first start if it is not there.",
        ),
        ("PROVIDERS_DIR", "directory", "", "Directory of further provider files, read beside the shipped ones."),
        (
            "DEMO",
            "on or off",
            "on for a loopback HOST without PUBLIC_URL, else off",
            "Whether the built-in demo provider can be connected to; refused where others can reach the service.",
        ),
        (
            "OUTBOUND_ALLOW",
            "list of hosts and networks",
            "",
            "Private hosts and networks that outgoing calls may reach; loopback ones among them by plain http.",
        ),
        ("CA_FILE", "file", "", "Certificates to trust beside the public ones, for servers of your own; a PEM file."),
        (
            "RETURN_ORIGINS",
            "list of origins",
            "",
            "Origins that a browser may be sent back to after connecting, and that pop-ups may report to.",
        ),
        (
            "TRUSTED_PROXIES",
            "list of addresses and networks",
            "",
            "Reverse proxies whose X-Forwarded-For and X-Forwarded-Proto headers are believed.",
        ),
        (
            "REFRESH_TICK_S",
            "seconds",
            "5",
            "How often to look for tokens that are due, from 0.1 to 3600; it does not set when a token is due.",
        ),
        (
            "LEAST_FREE_MB",
            "megabytes",
            "64",
            "How much room the disk needs for refreshes to start, from 16 to 1000000.",
        ),
        (
            "SPILL",
            "fault or always",
            "fault",
            "When the answer of a refresh goes to the spill shelf: where the database does not take it, or before it always.",
        ),
        (
            "SMTP_URL",
            "SMTP URL",
            "",
            "Mail server for what a person must act on: smtp://user@host:587 with STARTTLS, or smtps://user@host:465.",
        ),
        ("SMTP_PASSWORD_FILE", "file", "", "File that holds the password, for an SMTP URL that names a user only."),
        ("MAIL_FROM", "mail address", "", "Address that mail comes from."),
        ("MAIL_TO", "list of mail addresses", "", "Addresses that mail goes to."),
        ("LOG_FORMAT", "text or json", "text", "Form of the log lines on standard error."),
        ("LOG_LEVEL", "debug, info, warning or error", "info", "Least severity that is logged."),
    )
)
