"""Taking secrets out of what is about to be written to a log.

Owns: what looks like a secret in text that others wrote (libraries, exceptions), and which characters could forge lines.
Does not own: our own facts, which hold no secrets by construction (`journal`); writing (`logs`, `access_log`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tokenkeep.core.secret import STARS

_SECRET_NAMES = (
    "access_?token|refresh_?token|id_?token|client_?secret|client_?assertion|code_?verifier|password|passwd|api_?key"
    "|secret|private_?key"
)
_HEADERS = "(?:set-)?cookie|(?:proxy-)?authorization"
_SECRET_FACT = re.compile(f"(?:{_SECRET_NAMES}|{_HEADERS})", re.IGNORECASE)
_OUR_KEY = re.compile(r"\b(tk_[A-Za-z0-9]+_)[A-Za-z0-9_-]{16,}")
_BEARER = re.compile(r"\b(Bearer|Basic|DPoP)(\s+)[A-Za-z0-9._~+/-]{8,}=*", re.IGNORECASE)
_JWT = re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*){1,3}")
_SEPARATOR = r"(\\?[\"']?\s?[=:]\s?\\?[\"']?)"
_HEADER = re.compile(rf"\b({_HEADERS}){_SEPARATOR}[^\"'\\\r\n]+", re.IGNORECASE)  # to the end: values hold spaces
_QUOTED, _BARE = r"(?<=[\"'])[^\"'\\\r\n]+", r"[^\s\"'\\&,;{}<>]+"
_NAMED = re.compile(rf"({_SECRET_NAMES}){_SEPARATOR}(?:{_QUOTED}|{_BARE})", re.IGNORECASE)
# These are everyday words, so only their form in URLs and form bodies counts.
_PARAMETER = re.compile(r"\b(code|state|token)=[^\s\"'&,;<>]+", re.IGNORECASE)
# Some services take a key in the query under any name, or a token in the path that only its form tells (Telegram).
_QUERY = re.compile(r"(https?://[^\s\"'<>?#]+\?)[^\s\"'<>]+", re.IGNORECASE)
_BOT_TOKEN = re.compile(r"([0-9]{5,}(?::|%3A))[A-Za-z0-9_-]{16,}", re.IGNORECASE)


def redact(text: str) -> str:
    """The text with everything that looks like a secret replaced by stars."""
    text = _OUR_KEY.sub(rf"\g<1>{STARS}", text)
    text = _QUERY.sub(rf"\g<1>{STARS}", text)
    text = _BOT_TOKEN.sub(rf"\g<1>{STARS}", text)
    text = _HEADER.sub(rf"\g<1>\g<2>{STARS}", text)
    text = _BEARER.sub(rf"\g<1>\g<2>{STARS}", text)
    text = _JWT.sub(STARS, text)
    text = _NAMED.sub(rf"\g<1>\g<2>{STARS}", text)
    return _PARAMETER.sub(rf"\g<1>={STARS}", text)


def redact_fact(name: str, fact: Any) -> Any:
    """One fact of a log line: stars where its name says secret, text redacted, containers walked.

    A `Secret` is stars by itself: they are its text.
    """
    if fact is None or isinstance(fact, bool | int | float):
        return fact
    if _SECRET_FACT.fullmatch(name):
        return STARS
    if isinstance(fact, Mapping):
        return {redact(str(key)): redact_fact(str(key), value) for key, value in fact.items()}
    if isinstance(fact, list | tuple | set | frozenset):
        return [redact_fact("", each) for each in fact]
    return redact(str(fact))


def one_line(text: str) -> str:
    """The text with control characters, line separators and text-direction marks escaped (T67)."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
