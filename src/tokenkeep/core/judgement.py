"""The verdict on what a token endpoint answered.

Owns: granted or refused, and for a refusal who can repair it: time, the administrator, or the user (reliability 4.6).
Does not own: reading documents (`token_answer`), what a verdict changes (`lifecycle`), when to try again (`policy`).

The body is read before the status: refusals arrive with 200, proxies answer in a provider's place, and a 500 may say
`invalid_grant` on a bad day. What cannot be read is transient, so that nobody's consent dies of a misunderstanding.
Nothing of a body is ever repeated: codes are known words, details are ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from tokenkeep.core import token_answer
from tokenkeep.core.model import Account, Answer, FailureKind, Provider, TokenSet
from tokenkeep.core.token_answer import Document

LONGEST_RETRY_AFTER_S = 3600
"""A provider may not silence us for longer; the next try tells whether it still means it."""

_SUCCESS = range(200, 300)
_CLIENT_TROUBLE = range(400, 500)
_BUSY = frozenset({408, 409, 423, 425, 429})
_GATEWAY_TROUBLE = frozenset({502, 504})
"""Somebody in between lost the answer, so the provider may have spent the refresh token."""

_TRANSIENT = frozenset({"temporarily_unavailable", "server_error", "slow_down"})
_CLIENT = frozenset(
    {
        "invalid_client",
        "unauthorized_client",
        "invalid_request",
        "unsupported_grant_type",
        "invalid_scope",
        "invalid_target",
        "incorrect_client_credentials",  # GitHub
        "redirect_uri_mismatch",  # GitHub, Google
        "invalid_client_id",  # Slack
        "bad_client_secret",  # Slack
    }
)
_GRANT = frozenset(
    {
        "invalid_grant",
        "interaction_required",  # OpenID Connect Core 3.1.2.6: a person is needed
        "login_required",
        "consent_required",
        "account_selection_required",
    }
)
_KINDS: Mapping[str, FailureKind] = {
    **dict.fromkeys(_TRANSIENT, FailureKind.TRANSIENT),
    **dict.fromkeys(_CLIENT, FailureKind.CLIENT),
    **dict.fromkeys(_GRANT, FailureKind.GRANT),
}
_GRANT_SUBTYPES = frozenset({"invalid_rapt"})  # Google: the organisation's session policy wants a new sign-in

_AADSTS: Mapping[int, FailureKind] = {
    **dict.fromkeys(
        (
            50076,  # multi-factor sign-in wanted
            50078,
            50079,  # multi-factor enrolment wanted
            50034,  # the user is gone
            50057,  # the user is disabled
            50158,  # a further challenge wanted
            50173,  # grant revoked, password changed
            53003,  # blocked by conditional access
            54005,  # code already used
            65001,  # consent missing or withdrawn
            70000,  # grant invalid
            70008,  # grant expired
            70043,  # sign-in frequency policy
            700082,  # refresh token idle for 90 days
            700084,  # single-page app: 24 hours are over
        ),
        FailureKind.GRANT,
    ),
    **dict.fromkeys(
        (
            50011,  # redirect address not registered
            70001,  # application unknown in the tenant
            70011,  # scope invalid, or of several resources
            90002,  # tenant unknown
            700016,  # application unknown
            700027,  # client assertion invalid
            7000215,  # client secret wrong
            7000222,  # client secret expired
        ),
        FailureKind.CLIENT,
    ),
    **dict.fromkeys((90033, 90036, 50196), FailureKind.TRANSIENT),  # service trouble, request loop
}

_DETAILS: Mapping[FailureKind, str] = {
    FailureKind.TRANSIENT: "The provider could not answer just now.",
    FailureKind.CLIENT: "The provider does not accept this client or its configuration.",
    FailureKind.GRANT: "The provider no longer accepts this grant.",
}
_UNREADABLE = "The provider's answer could not be understood."
_LOST = "The request was sent, but its answer was lost."
_NOT_SENT = "The provider could not be reached."
_OURS: Mapping[str, tuple[str, str]] = {
    "refused": ("outbound_refused", "The provider's address is not allowed."),
    "uninstalled": ("signer_missing", "What signs this request is not installed: it comes with an extra."),
    "misconfigured": ("client_misconfigured", "The client's key or a part of the provider's address is unusable."),
}
"""Faults of our side: no request was made, and the administrator can mend it."""

UNRECOGNIZED = "unrecognized_error"
"""The code of a refusal in words we do not know and therefore do not repeat."""

_WORD = re.compile(r"[a-z]{2,20}(?:_[a-z]{2,20}){0,3}|[A-Z]{2,20}(?:_[A-Z]{2,20}){0,3}")
_LONGEST_WORD = 40
_AADSTS_NUMBER = re.compile(r"AADSTS([0-9]{4,8})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """A usable token set. `notes` are our words for what was odd. Nothing of the body shows in `repr`."""

    token_set: TokenSet = field(repr=False)
    account: Account | None = field(repr=False)  # None: the answer does not say whose grant it is
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """No token set. `uncertain`: the provider may all the same have spent the refresh token."""

    kind: FailureKind
    code: str
    detail: str
    retry_after: int | None = None  # seconds; None: the provider did not say
    uncertain: bool = False


def judge(answer: Answer, provider: Provider, *, now: datetime, requested: datetime | None = None) -> Granted | Refused:
    """What the answer means. Never raises, whatever came back. Lives count from `requested`, else from `now`."""
    if answer.status == 0:
        return _no_answer(answer.fault)
    document = token_answer.parse(answer.body.reveal())
    retry_after = asked_to_wait(answer, now=now)
    words = tuple(_words(document)) if document is not None else ()
    if answer.status in _BUSY or not (answer.status in _SUCCESS or answer.status in _CLIENT_TROUBLE):
        uncertain = _holds_token(document, provider) or (answer.status in _GATEWAY_TROUBLE and not words)
        return _transient(f"http_{answer.status}", retry_after=retry_after, uncertain=uncertain)
    if answer.status in _SUCCESS and document is not None and document.get("ok") is not False:
        granted = _granted(document, provider, requested or now, refused=bool(words))
        if granted is not None:
            return granted
    if document is not None and (words or document.get("ok") is False):
        return _refused(answer.status, document, provider, words=words, retry_after=retry_after)
    return _wordless(answer, document, provider, retry_after=retry_after)


def _no_answer(fault: str) -> Refused:
    if fault in _OURS:
        return Refused(kind=FailureKind.CLIENT, code=_OURS[fault][0], detail=_OURS[fault][1])
    if fault == "not_sent":
        return Refused(kind=FailureKind.TRANSIENT, code="not_sent", detail=_NOT_SENT)
    return Refused(kind=FailureKind.TRANSIENT, code="answer_lost", detail=_LOST, uncertain=True)


def _granted(document: Document, provider: Provider, since: datetime, *, refused: bool) -> Granted | None:
    """None: there is no usable access token, so this is no token answer, whatever its status."""
    token = token_answer.access_token(document, provider)
    if token is None:
        return None
    token_set, notes = token_answer.token_set(document, provider, token=token, since=since)
    # A token beside an error: dropping it could lose a rotated refresh token, keeping it costs one rejected call.
    noted = ("error_beside_token",) if refused else ()
    return Granted(token_set=token_set, account=token_answer.account(document, provider), notes=(*noted, *notes))


def _refused(
    status: int, document: Document, provider: Provider, *, words: tuple[str, ...], retry_after: int | None
) -> Refused:
    """A refusal in words: the first word that is known decides."""
    terminal = next((word for word in words if word in provider.terminal_errors), "")
    if terminal:
        return _verdict(FailureKind.GRANT, terminal, retry_after)
    if "error_codes_array_aadsts" in provider.quirks:
        for number in _aadsts(document):
            if number in _AADSTS:
                return _verdict(_AADSTS[number], f"aadsts{number}", retry_after)
    subtype = next((word for word in words if word in _GRANT_SUBTYPES), "")
    if subtype and "invalid_grant" in words:
        return _verdict(FailureKind.GRANT, subtype, retry_after)
    code = next((word for word in words if word in _KINDS), "") or _speakable(words, status)
    if status == 403 and "refresh_error_403" in provider.quirks and code in _CLIENT | _GRANT:
        return _verdict(FailureKind.GRANT, code, retry_after)
    kind = _KINDS.get(code, FailureKind.CLIENT if status == 401 else FailureKind.TRANSIENT)
    return _verdict(kind, code, retry_after)


def _wordless(answer: Answer, document: Document | None, provider: Provider, *, retry_after: int | None) -> Refused:
    """Neither a token nor an OAuth error: a page, a proxy, a truncated body, a gateway's own words."""
    page = document is None and token_answer.looks_like_html(answer.body.reveal())
    if answer.status == 401 and not page:
        return _verdict(FailureKind.CLIENT, "http_401", retry_after)
    if answer.status in _SUCCESS:
        return _transient("unreadable_answer", detail=_UNREADABLE, retry_after=retry_after, uncertain=True)
    uncertain = _holds_token(document, provider)
    return _transient(f"http_{answer.status}", detail=_UNREADABLE, retry_after=retry_after, uncertain=uncertain)


def _verdict(kind: FailureKind, code: str, retry_after: int | None) -> Refused:
    return Refused(kind=kind, code=code, detail=_DETAILS[kind], retry_after=retry_after)


def _transient(
    code: str, *, retry_after: int | None, uncertain: bool, detail: str = _DETAILS[FailureKind.TRANSIENT]
) -> Refused:
    return Refused(kind=FailureKind.TRANSIENT, code=code, detail=detail, retry_after=retry_after, uncertain=uncertain)


def _holds_token(document: Document | None, provider: Provider) -> bool:
    return document is not None and token_answer.access_token(document, provider) is not None


def _words(document: Document) -> Iterator[str]:
    """Every word of the document that may name an error, the RFC's own place first.

    `error` may be a word, an object (Facebook, HubSpot) or null, which is no error. Zoom writes `reason`, others
    `errors`, `error_code` or `code`.
    """
    yield from _named(document.get("error"))
    errors = document.get("errors")
    for entry in errors[:5] if isinstance(errors, list) else ():
        yield from _named(entry)
    for name in ("error_subtype", "suberror", "error_code", "errorCode", "reason"):
        if isinstance(document.get(name), str):
            yield from _named(document[name])
    if "access_token" not in document:  # beside a token these are somebody's data
        yield from _named(document.get("status") if document.get("status") not in _HARMLESS else None)
        yield from _named(document.get("code") if document.get("code") not in _HARMLESS else None)


_HARMLESS = (0, 200, 201, "0", "200", "0000", "ok", "OK", "success", "error", "failure", "failed")
"""`status` and `code` values that name no error: they say that there is one, or that there is none."""


def _named(found: Any) -> Iterator[str]:
    if isinstance(found, str) and found.strip():
        yield found.strip()
    elif isinstance(found, int) and not isinstance(found, bool) and 0 < abs(found) < 10**9:
        yield str(found)
    elif isinstance(found, Mapping):
        for name in ("code", "error", "type", "status", "error_code", "reason", "error_subcode"):
            if isinstance(found.get(name), str | int):
                yield from _named(found[name])


def _speakable(words: tuple[str, ...], status: int) -> str:
    """The first word that can be repeated: plain words joined by underscores. A token never looks like that."""
    fallback = UNRECOGNIZED if status in _SUCCESS else f"http_{status}"
    return next((word for word in words if len(word) <= _LONGEST_WORD and _WORD.fullmatch(word)), fallback)


def _aadsts(document: Document) -> Iterator[int]:
    numbers = document.get("error_codes")
    for number in numbers[:10] if isinstance(numbers, list) else ():
        if isinstance(number, int):
            yield number
    description = document.get("error_description")
    if isinstance(description, str):
        yield from (int(number) for number in _AADSTS_NUMBER.findall(description[:200]))


def asked_to_wait(answer: Answer, *, now: datetime) -> int | None:
    """Seconds that the answer asks for. None: it does not."""
    return _retry_after(answer.headers.get("retry-after", ""), now)


def _retry_after(text: str, now: datetime) -> int | None:
    """RFC 9110 section 10.2.3: seconds or a date. Never more than an hour."""
    text = text.strip()
    if re.fullmatch(r"[0-9]{1,9}", text):
        return min(int(text), LONGEST_RETRY_AFTER_S)
    try:
        moment = parsedate_to_datetime(text)
        wait = (moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds()
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
    return min(max(int(wait), 0), LONGEST_RETRY_AFTER_S)
