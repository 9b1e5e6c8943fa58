"""Builders of provider files for tests."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

GOOD = """\
id = "acme"
name = "Acme"
hosts = ["api.acme.com", "{team}.acme.com"]

[oauth]
authorization_endpoint = "https://{team}.acme.com/authorize"
token_endpoint = "https://{team}.acme.com/token"
quirks = ["error_in_200"]

[tokens]
rotation = "strict"
source = "https://acme.com/docs"
checked = 2026-11-24

[[variables]]
name = "team"
label = "Team"
format = "label"

[account]
url = "https://api.acme.com/me"
account_id = ["id"]

[[types]]
name = "acmeOAuth2"
label = "Acme"
oauth = true
scopes = ["read"]

[[types]]
name = "acmeApi"
label = "Acme key"
aliases = ["acmeKey"]
popularity = 5

[[types.fields]]
name = "key"
label = "Key"
kind = "secret"

[[types.fields]]
name = "region"
label = "Region"
kind = "choice"
options = ["eu", "us"]
default = "eu"

[types.injection]
headers = { Authorization = "Bearer {key}" }

[types.test]
url = "https://api.acme.com/ping"
"""
"""A file that uses most of the format and has nothing wrong with it."""


def changed(*replacements: tuple[str, str]) -> str:
    """The good file with each first text replaced by the second, once."""
    text = GOOD
    for old, new in replacements:
        assert old in text, old
        text = text.replace(old, new, 1)
    return text


def written(folder: Path, text: str = GOOD, *, name: str = "acme.toml") -> Path:
    """The text as a file in the folder."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def plain(value: Any) -> Any:
    """TOML values as JSON ones."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return value.isoformat() if isinstance(value, date) else value
