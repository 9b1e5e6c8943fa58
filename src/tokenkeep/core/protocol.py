"""What the client asks for in the OAuth 2.0 protocol, as plain parameters.

Owns: authorization parameters, token request forms, the closed list of quirks, fingerprints, and how a new token set
follows an old one. Does not own: judging answers (`judgement`), wire encoding, PKCE challenges and client
authentication (`adapters/token_endpoint`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from tokenkeep.core.model import Provider, TokenSet
from tokenkeep.core.secret import Secret

QUIRKS: Mapping[str, str] = MappingProxyType(
    {
        "error_in_200": "Refusals arrive with status 200 and an `error` member (GitHub).",
        "ok_false_in_200": "Refusals arrive with status 200 and `ok: false` (Slack).",
        "send_accept_json": "Answers are form-encoded unless JSON alone is accepted (GitHub).",
        "returned_scope_comma_separated": "Granted scopes are separated by commas (LinkedIn, GitHub).",
        "scope_list_in_response": "Granted scopes are a JSON list (Twitch).",
        "nested_user_token": "The user's token set sits inside `authed_user` (Slack).",
        "user_scope_param": "Scopes are asked for in `user_scope` instead of `scope` (Slack user tokens).",
        "redirect_uri_on_refresh": "A refresh must repeat the redirect address (GitLab).",
        "scope_on_refresh": "A refresh must name its scopes; elsewhere that can cost the grant (Whoop).",
        "expires_in_zero_means_never": "`expires_in: 0` means that the access token does not end (Mailchimp).",
        "expires_in_missing": "The answer never tells how long the access token lives (Notion, Salesforce).",
        "expires_in_milliseconds": "`expires_in` counts milliseconds.",
        "epoch_in_expires_in": "`expires_in` is a clock time in seconds since 1970, not a duration.",
        "error_codes_array_aadsts": "The cause of a refusal is an AADSTS number in `error_codes` (Microsoft).",
        "refresh_error_403": "A dead refresh token is answered with 403 and an OAuth error (Atlassian).",
        "invalid_grant_spurious": "`invalid_grant` also appears when nothing is wrong: believe it the second time.",
        "never_refresh_blindly": "A refresh before the end is refused or does harm: only to keep a grant alive (Stripe).",
        "secret_in_basic_unencoded": "Client id and secret go into Basic without the form-encoding of RFC 6749 2.3.1.",
        "no_scopes": "There are no scopes; the parameter must be left out (Notion).",
        "scopes_of_client": "Which scopes there are is for the administrator to name; without any, the provider's own.",
        "reauth_invalidates_older_grant": "A second consent by the same user or shop ends the first (Notion, Shopify).",
    }
)
"""Every quirk a provider file may name, and what it says about the provider."""

_RESERVED = frozenset({"response_type", "client_id", "redirect_uri", "state", "scope", "user_scope"})
_PKCE = frozenset({"code_challenge", "code_challenge_method"})
_FINGERPRINT_HEX = 16

Form = dict[str, str | Secret]
"""Parameters of a token request. Secrets are opened by whoever puts them on the wire."""


def fingerprint(token: Secret) -> str:
    """Names a token without telling it: the first 16 hex digits of its SHA-256."""
    return hashlib.sha256(token.reveal().encode(errors="surrogatepass")).hexdigest()[:_FINGERPRINT_HEX]


def authorization_parameters(
    provider: Provider,
    *,
    client_id: str,
    redirect_uri: str,
    state: str,
    scopes: Sequence[str],
    extra: Mapping[str, str],
) -> dict[str, str]:
    """RFC 6749 section 4.1.1, without the PKCE challenge. `extra` wins over the file's, never over the protocol's."""
    parameters = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": redirect_uri,
        "state": state,
        **_scope(provider, scopes),
    }
    for source in (provider.authorize_params, extra):
        parameters.update((name, value) for name, value in source.items() if name not in _RESERVED | _PKCE)
    return parameters


def exchange_form(provider: Provider, *, code: str, redirect_uri: str) -> Form:
    """RFC 6749 section 4.1.3, without client authentication and PKCE verifier."""
    return {
        **provider.token_params,
        "grant_type": "authorization_code",
        "code": Secret(code),
        "redirect_uri": redirect_uri,
    }


def refresh_form(provider: Provider, *, refresh_token: Secret, scopes: Sequence[str], redirect_uri: str) -> Form:
    """RFC 6749 section 6. Nothing that was not proven to work: a server may spend the token and then refuse the rest."""
    form: Form = {**provider.refresh_params, "grant_type": "refresh_token", "refresh_token": refresh_token}
    if "redirect_uri_on_refresh" in provider.quirks:
        form["redirect_uri"] = redirect_uri
    if "scope_on_refresh" in provider.quirks and scopes:
        form["scope"] = provider.scope_separator.join(scopes)
    return form


def merge(old: TokenSet, new: TokenSet) -> TokenSet:
    """The token set after a refresh: what `new` tells, and what of `old` still holds.

    An answer without a refresh token means: keep yours (RFC 6749 section 6); without a scope: as before.
    """
    kept = new.refresh_token is None
    return TokenSet(
        access_token=new.access_token,
        token_type=new.token_type,
        refresh_token=old.refresh_token if kept else new.refresh_token,
        scope=old.scope if new.scope is None else new.scope,
        expires_at=new.expires_at,
        endless=new.endless,
        refresh_expires_at=(new.refresh_expires_at or old.refresh_expires_at) if kept else new.refresh_expires_at,
        grant_expires_at=new.grant_expires_at or old.grant_expires_at,
        extra={**old.extra, **new.extra},
    )


def _scope(provider: Provider, scopes: Sequence[str]) -> dict[str, str]:
    if not scopes or "no_scopes" in provider.quirks:
        return {}
    name = "user_scope" if "user_scope_param" in provider.quirks else "scope"
    return {name: provider.scope_separator.join(scopes)}
