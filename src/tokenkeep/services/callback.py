"""What is checked when a browser comes back, before the code is used.

Owns: that browser, person, client and issuer are those of the request, and what a provider's error means in our words.
Does not own: the state, which is taken first (`connect`).
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Final

from tokenkeep.core.errors import BrowserMismatch, ConsentDenied, IssuerMismatch, ProviderRefused
from tokenkeep.core.judgement import Granted
from tokenkeep.core.model import AuthorizationRequest, Provider, UserSession

_LONGEST_KEPT: Final = 1000
_DENIALS: Final = frozenset({"access_denied", "user_cancelled_login", "user_cancelled_authorize", "consent_required"})


def check_browser(request: AuthorizationRequest, *, nonce: str, user: UserSession | None) -> None:
    """The browser that began, and the person who began (T20, T21). Raises BrowserMismatch."""
    if not hmac.compare_digest(request.browser_digest, sha256(nonce.encode(errors="surrogatepass")).hexdigest()):
        raise BrowserMismatch(fix="Open the link in one browser and finish there.")
    if not request.user_id:
        return
    same = user is not None and (user.user_id, user.workspace_id) == (request.user_id, request.workspace_id)
    if not same:
        raise BrowserMismatch("You are signed in as somebody else than when you began.", fix="Begin again.")


def check_server(request: AuthorizationRequest, client_handle: str, *, issuer: str) -> None:
    """The client's own callback path, and the issuer where one is promised (T23). Raises IssuerMismatch.

    A promised `iss` must be there and right on error answers too (RFC 9207 section 2.4).
    """
    if request.client != client_handle or (request.issuer and issuer != request.issuer):
        raise IssuerMismatch


def check_consent(error: str, provider: Provider) -> None:
    """RFC 6749 section 4.1.2.1, in our words: what the provider wrote is never shown (T27).

    Raises ConsentDenied, ProviderRefused.
    """
    if error in _DENIALS:
        raise ConsentDenied(f"Access to {provider.name} was not granted.", fix="Connect again when you are ready.")
    if error:
        fix = _ERRORS.get(error, "Try again; if it happens again, ask an administrator.")
        raise ProviderRefused(f"{provider.name} stopped the connection.", fix=fix)


_ERRORS: Final[Mapping[str, str]] = {
    "invalid_scope": "An administrator checks the scopes: the provider does not offer one of them.",
    "invalid_request": "An administrator checks the redirect address and parameters registered at the provider.",
    "unauthorized_client": "An administrator checks that the client may use this flow.",
    "unsupported_response_type": "An administrator checks that the client may use the authorization code flow.",
    "server_error": "The provider has trouble; try again in a few minutes.",
    "temporarily_unavailable": "The provider is busy; try again in a few minutes.",
    "redirect_uri_mismatch": "An administrator pastes the redirect address shown under Settings at the provider.",
}


def kept(granted: Granted, query: Mapping[str, str], provider: Provider) -> Granted:
    """With what the provider told the browser and nodes need, as its file says (QuickBooks: which company)."""
    told = {name: query[name] for name in provider.callback_keep if 0 < len(query.get(name, "")) <= _LONGEST_KEPT}
    extra = {**granted.token_set.extra, **told}
    return replace(granted, token_set=replace(granted.token_set, extra=extra)) if told else granted
