"""The verdict on what a provider answered to an authorization request that was pushed ahead (RFC 9126).

Owns: accepted or refused. Does not own: who can repair a refusal and how one is read (`judgement`), pushing (`services/pushing`).
"""

from __future__ import annotations

import re
from datetime import datetime

from tokenkeep.core import token_answer
from tokenkeep.core.judgement import Granted, Refused, judge
from tokenkeep.core.model import Answer, FailureKind, Provider

_SUCCESS = range(200, 300)
_REQUEST_URI = re.compile(r"[!-~]{1,1000}")
"""It travels in the browser's address bar."""


def judge_pushed(answer: Answer, provider: Provider, *, now: datetime) -> str | Refused:
    """The request URI, or why there is none. Never raises, whatever came back.

    Any success that holds one will do: RFC 9126 says 201, not every server does. How long it lives is not asked, since the
    browser is sent there at once.
    """
    document = token_answer.parse(answer.body.reveal()) if answer.status in _SUCCESS else None
    request_uri = (document or {}).get("request_uri")
    if isinstance(request_uri, str) and _REQUEST_URI.fullmatch(request_uri):
        return request_uri
    judged = judge(answer, provider, now=now)
    if isinstance(judged, Granted):  # a token, from an endpoint that has none to give
        return Refused(kind=FailureKind.TRANSIENT, code="unreadable_answer", detail="The answer holds no request URI.")
    return judged
