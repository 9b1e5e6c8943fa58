"""What an authorization server says of itself at its well-known addresses (RFC 8414, OpenID Connect Discovery).

Owns: which addresses are asked, and that the answer is the issuer's own. Does not own: connections and their limits
(`outbound`), what a provider file makes of it (`provider_draft`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from tokenkeep.adapters.outbound import Outbound
from tokenkeep.core.errors import InvalidInput
from tokenkeep.core.model import Answer

_PATH = r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)?"
_ISSUER = re.compile(rf"(?P<host>https://[A-Za-z0-9][A-Za-z0-9_.-]{{0,200}}(?::[0-9]{{1,5}})?)(?P<path>{_PATH})")
_LONGEST = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """One server's own words, from the addresses that only it can answer at."""

    issuer: str  # as the server writes it
    source: str  # where they were found
    document: Mapping[str, Any] = field(repr=False)


async def discover(outbound: Outbound, issuer: str) -> Metadata:
    """Ask both well-known addresses. Where both answer, RFC 8414 counts and OpenID Connect fills what it leaves out.

    Raises InvalidInput: no issuer's address, not reached, nothing usable there, or another issuer's words.
    """
    found: dict[str, Mapping[str, Any]] = {}
    oddities = []
    for address in well_known(issuer):
        answer = await outbound.send("GET", address, headers={"accept": "application/json"})
        if answer.status == 0:
            raise _unreached(address, answer.fault)
        document = _document(answer)
        if document is None:
            oddities.append(f"{address} {_oddity(answer)}")
        else:
            _check_issuer(address, document, issuer)
            found[address] = document
    if not found:
        fix = "Check the issuer's address in the provider's documentation, or write the provider file by hand."
        raise InvalidInput(f"Nothing was found: {', and '.join(oddities)}.", fix=fix)
    merged = {name: value for one in reversed(found.values()) for name, value in one.items() if value is not None}
    return Metadata(issuer=merged["issuer"], source=next(iter(found)), document=merged)


def well_known(issuer: str) -> tuple[str, str]:
    """RFC 8414 section 3 puts its name before the path, OpenID Connect Discovery section 4 after it. Raises InvalidInput."""
    parts = _ISSUER.fullmatch(issuer)
    if parts is None or len(issuer) > _LONGEST:
        problem = "must be an address that begins with `https://`, without query and fragment"
        raise InvalidInput("The issuer's address cannot be used.", fields={"issuer": problem})
    host, path = parts["host"], parts["path"].rstrip("/")
    return f"{host}/.well-known/oauth-authorization-server{path}", f"{host}{path}/.well-known/openid-configuration"


def _unreached(address: str, fault: str) -> InvalidInput:
    if fault == "refused":
        fix = "If the host is your own, let it through with TOKENKEEP_OUTBOUND_ALLOW."
        return InvalidInput(f"{address} leads to a private network and is not asked.", fix=fix)
    fix = "Check the address, and that this machine may reach it; a private certificate authority goes into TOKENKEEP_CA_FILE."
    return InvalidInput(f"{address} gave no answer.", fix=fix)


def _document(answer: Answer) -> Mapping[str, Any] | None:
    try:
        document = msgspec.json.decode(answer.body.reveal()) if answer.status == 200 else None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _oddity(answer: Answer) -> str:
    return "answers with something that is no JSON object" if answer.status == 200 else f"answers {answer.status}"


def _check_issuer(address: str, document: Mapping[str, Any], issuer: str) -> None:
    """RFC 8414 section 3.3, against servers that speak for others. A slash at the end may differ: both spellings lead to
    this one address."""
    told = document.get("issuer")
    if isinstance(told, str) and told.rstrip("/") == issuer.rstrip("/") and _ISSUER.fullmatch(told):
        return
    known = isinstance(told, str) and _ISSUER.fullmatch(told) and len(told) <= _LONGEST
    fix = (
        f"It names {told}. If that is the one you mean, discover it instead."
        if known
        else "It names none that is usable."
    )
    raise InvalidInput(f"{address} speaks for another issuer than {issuer}.", fix=fix)
