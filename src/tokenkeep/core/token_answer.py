"""Reading a token answer that may be anything.

Owns: turning a body into a document, and a document into a token set, leniently: once the tokens are out, nothing
else may raise, because the provider has already spent the old refresh token. Does not own: the verdict (`judgement`).

Every reader gives None for what it cannot read. Times count from the request's start, so they err on the early side.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

from tokenkeep.core.model import Account, Provider, TokenSet
from tokenkeep.core.secret import Secret

LONGEST_LIFE_S = 10 * 365 * 86_400
"""Ten years. More is a mistake of the provider's (numbers concatenated as text), and dates must not overflow."""

_CLOCK_TIME_FROM = 10**9
"""A greater `expires_in` is a clock time, not a duration of 30 years (Deliverect until 2022)."""

_MILLISECONDS_FROM = 10**11
"""A greater clock time counts milliseconds: in seconds it would be the year 5138."""

_LONGEST_TOKEN = 16_384
_LONGEST_TEXT = 200
_MOST_SCOPES = 500
_MOST_DIGITS = 24

_VISIBLE = re.compile(r"[\x21-\x7e]+")  # RFC 6750's b64token, and the `|` and `:` some providers put into tokens
_VSCHAR = re.compile(r"[\x20-\x7e]+")  # RFC 6749 appendix A.17
_SCOPE_TOKEN = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,300}")  # RFC 6749 section 3.3
_TOKEN_TYPE = re.compile(r"[A-Za-z0-9:._+/-]{1,64}")
_FORM = re.compile(r"[A-Za-z0-9_.-]+=")

Document = Mapping[str, Any]


def parse(text: str) -> Document | None:
    """The body as an object: JSON, or form-encoded (GitHub unless asked, Facebook, Stack Exchange). None: neither."""
    text = text.lstrip("\ufeff \t\r\n")
    if text.startswith(("{", "[")):
        return _parse_json(text)
    if not _FORM.match(text):
        return None
    try:
        return dict(parse_qsl(text.strip(), keep_blank_values=True, max_num_fields=100))
    except ValueError:
        return None


def looks_like_html(text: str) -> bool:
    """A page, so somebody between us and the provider has answered."""
    return text.lstrip("\ufeff \t\r\n").startswith("<")


def at(document: Any, path: str) -> Any:
    """What stands at a dotted path; numbers count into lists. None: nothing, or null."""
    if isinstance(document, Mapping) and path in document:
        return document[path]
    for part in path.split("."):
        if isinstance(document, Mapping):
            document = document.get(part)
        elif isinstance(document, list) and part.isascii() and part.isdecimal() and len(part) < _MOST_DIGITS:
            document = document[int(part)] if int(part) < len(document) else None
        else:
            return None
    return document


def first(document: Document, paths: Sequence[str]) -> Any:
    """What stands at the first path that leads anywhere. Empty text leads nowhere."""
    return next((found for path in paths if (found := at(document, path)) not in (None, "")), None)


def access_token(document: Document, provider: Provider) -> Secret | None:
    """The access token, if it can be put into a header. None: there is none that could."""
    found = first(user_part(document, provider), provider.response.access_token)
    if isinstance(found, str) and len(found) <= _LONGEST_TOKEN and _VISIBLE.fullmatch(found):
        return Secret(found)
    return None


def user_part(document: Document, provider: Provider) -> Document:
    """The part that holds the token set: Slack keeps the user's beside the bot's, in `authed_user`."""
    if "nested_user_token" in provider.quirks:
        nested = at(document, "authed_user")
        if isinstance(nested, Mapping) and first(nested, provider.response.access_token) is not None:
            return nested
    return document


def token_set(document: Document, provider: Provider, *, token: Secret, since: datetime) -> tuple[TokenSet, list[str]]:
    """The token set around an access token, and notes on what could not be read. Never raises."""
    part, notes = user_part(document, provider), list[str]()
    refresh_token = _refresh_token(part, provider, notes)
    token_type = first(part, provider.response.token_type)
    return TokenSet(
        access_token=token,
        token_type=_token_type(token_type),
        refresh_token=refresh_token,
        scope=_scope(first(part, provider.response.scope), provider, notes),
        expires_at=_expires_at(part, provider, since, notes),
        endless=_endless(part, provider),
        refresh_expires_at=_refresh_expires_at(part, provider, since, renewed=refresh_token is not None),
        grant_expires_at=_told_end(at(part, "authorization_expires_in"), since),
        extra=_extra(document, provider),
    ), notes


def account(document: Document, provider: Provider) -> Account | None:
    """Whom the answer names, where the provider's file says so."""
    named = {part: _text(at(document, path)) for part, path in provider.account_from_token.items()}
    if not any(named.values()):
        return None
    return Account(id=named.get("id", ""), name=named.get("name", ""), workspace=named.get("workspace", ""))


def end_of_life(value: Any, since: datetime) -> datetime | None:
    """When a life ends that is told as seconds, as a clock time in (milli)seconds, or as ISO 8601. None: unreadable.

    Never before `since`, never more than ten years after it.
    """
    seconds = _number(value)
    if seconds is not None:
        return _after(since, seconds if seconds < _CLOCK_TIME_FROM else _epoch_s(seconds) - int(since.timestamp()))
    moment = _iso(value)
    if moment is None:
        return None
    return min(max(moment, since), since + timedelta(seconds=LONGEST_LIFE_S))


def _parse_json(text: str) -> Document | None:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _refresh_token(part: Document, provider: Provider, notes: list[str]) -> Secret | None:
    found = first(part, provider.response.refresh_token)
    if isinstance(found, int) and not isinstance(found, bool):
        found = str(found) if abs(found) < 10**_MOST_DIGITS else None
    if found is None or (isinstance(found, str) and not found.strip()):
        return None
    if isinstance(found, str) and len(found) <= _LONGEST_TOKEN and _VSCHAR.fullmatch(found):
        return Secret(found)
    notes.append("refresh_token_unusable")
    return None


def _token_type(found: Any) -> str:
    if not isinstance(found, str) or not _TOKEN_TYPE.fullmatch(found):
        return "Bearer"
    return "Bearer" if found.casefold() == "bearer" else found


def _scope(found: Any, provider: Provider, notes: list[str]) -> tuple[str, ...] | None:
    """None: the provider did not say, so as asked (RFC 6749 section 5.1)."""
    if isinstance(found, str):
        by_comma = provider.scope_separator == "," or "returned_scope_comma_separated" in provider.quirks
        parts = (found.replace(",", " ") if by_comma or not re.search(r"\s", found.strip()) else found).split()
    elif isinstance(found, list):
        parts = [part for part in found if isinstance(part, str)]
    else:
        return None
    usable = tuple(dict.fromkeys(part for part in parts if _SCOPE_TOKEN.fullmatch(part)))[:_MOST_SCOPES]
    if len(usable) < len(set(parts)):
        notes.append("scope_partly_unreadable")
    return usable or None


def _expires_at(part: Document, provider: Provider, since: datetime, notes: list[str]) -> datetime | None:
    told = first(part, provider.response.expires_in)
    number = _number(told)
    if number == 0 and "expires_in_zero_means_never" in provider.quirks:
        return None
    if number is not None and "expires_in_milliseconds" in provider.quirks:
        told = number // 1000
    end = end_of_life(told, since) or end_of_life(first(part, provider.response.expires_at), since)
    if end is not None:
        return end
    if told is not None:
        notes.append("expires_in_unreadable")
    elif "expires_in_missing" not in provider.quirks:
        notes.append("expires_in_missing")
    return None if provider.access_ttl_s is None else _after(since, provider.access_ttl_s)


def _endless(part: Document, provider: Provider) -> bool:
    """The provider's word, in the answer or in its file, that the access token does not end."""
    told = first(part, provider.response.expires_in)
    if told is None:
        return provider.access_expires is False
    return _number(told) == 0 and "expires_in_zero_means_never" in provider.quirks


def _refresh_expires_at(part: Document, provider: Provider, since: datetime, *, renewed: bool) -> datetime | None:
    """The end the answer tells, else what the file knows: an end that refreshing cannot put off is not the idle one."""
    told = _told_end(first(part, provider.response.refresh_expires_in), since)
    if told is not None:
        return told
    idle_s = None if provider.refresh_end_fixed else provider.refresh_idle_ttl_s
    lives = (provider.refresh_ttl_s if renewed else None, idle_s)
    return min((_after(since, life) for life in lives if life is not None), default=None)


def _told_end(value: Any, since: datetime) -> datetime | None:
    """0 means no end (Keycloak's offline tokens)."""
    end = end_of_life(value, since)
    return end if end is not None and end > since else None


def _extra(document: Document, provider: Provider) -> dict[str, Any]:
    """The further values the file keeps. Only plain ones: a structure of unknown depth is not carried along."""
    found = {path: at(document, path) for path in provider.response.keep}
    return {path: value for path, value in found.items() if _plain(value)}


def _plain(value: Any) -> bool:
    """A value that every JSON writer can take: no NaN, no integer beyond 64 bits, no empty text."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, int):
        return abs(value) < 2**63
    return isinstance(value, str) and value != ""


def _number(value: Any) -> int | None:
    """A JSON number or a string of digits; nothing more generous, since `3600abc` says that something is broken."""
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        return math.floor(value) if math.isfinite(value) else None
    if isinstance(value, str):
        value = value.strip()
        return int(value) if re.fullmatch(rf"-?[0-9]{{1,{_MOST_DIGITS}}}", value) else None
    return value if isinstance(value, int) else None


def _epoch_s(number: int) -> int:
    return number // 1000 if number >= _MILLISECONDS_FROM else number


def _after(since: datetime, seconds: int) -> datetime:
    return since + timedelta(seconds=min(max(seconds, 0), LONGEST_LIFE_S))


def _iso(value: Any) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value.strip())
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _text(value: Any) -> str:
    """Text for people: printable, short. Empty: not a plain value."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    try:
        return "".join(char for char in str(value) if char.isprintable())[:_LONGEST_TEXT].strip()
    except ValueError:  # an integer too long to print
        return ""
