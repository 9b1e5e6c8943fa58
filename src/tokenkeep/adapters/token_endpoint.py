"""The provider's authorization server, as seen from here.

Owns: authorization URLs with PKCE, pushed authorization, token, revocation and verification requests on the wire. Does
not own: which parameters are asked for (`core/protocol`), what an answer means (`core/judgement`), how a client proves
itself (`client_authentication`), connections (`outbound`).

Authlib builds the requests with its pure parts. Its client is not used: it takes error bodies for tokens and raises
on odd answers after the provider has rotated.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qsl, urlencode

from authlib.common.urls import add_params_to_uri
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri, prepare_token_request
from authlib.oauth2.rfc7009 import prepare_revoke_token_request
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc.errors import JoseError

from tokenkeep.adapters.client_authentication import authenticated, basic, names_client
from tokenkeep.adapters.outbound import Outbound
from tokenkeep.adapters.private_keys import is_private_key
from tokenkeep.core.errors import InvalidInput
from tokenkeep.core.injection import expand
from tokenkeep.core.model import Answer, Call, Provider
from tokenkeep.core.protocol import Form, authorization_parameters, exchange_form, refresh_form
from tokenkeep.core.secret import Secret
from tokenkeep.services.ports import Clock, Registration

_FORM_TYPE = "application/x-www-form-urlencoded"
_JSON_TYPE = "application/json"
_AT_ONCE_S = 2.0
"""A connection that failed this fast may be tried once more: with the longest call it still ends within the lease."""


class TokenEndpointAdapter:
    """Implements the port `TokenEndpoint`. What a request cannot be built from is answered as `misconfigured`."""

    def __init__(self, outbound: Outbound, clock: Clock) -> None:
        self._outbound = outbound
        self._clock = clock

    def authorization_url(
        self, registration: Registration, *, state: str, verifier: str, scopes: Sequence[str], extra: Mapping[str, str]
    ) -> str:
        """RFC 6749 section 4.1.1 with PKCE S256 unless the provider's file switches it off.

        Raises:
            InvalidInput: a variable of the address is missing.
        """
        parameters = _parameters(registration, state=state, verifier=verifier, scopes=scopes, extra=extra)
        client_id, response_type = parameters.pop("client_id"), parameters.pop("response_type")
        endpoint = self._address(registration, registration.provider.authorization_endpoint)
        return str(prepare_grant_uri(endpoint, client_id, response_type, **parameters))

    async def push(
        self, registration: Registration, *, state: str, verifier: str, scopes: Sequence[str], extra: Mapping[str, str]
    ) -> Answer:
        """RFC 9126 section 2: the same parameters, sent ahead of the browser as a token request is."""
        parameters = _parameters(registration, state=state, verifier=verifier, scopes=scopes, extra=extra)
        if names_client(registration):
            del parameters["client_id"]
        return await self._ask(registration, registration.provider.pushed_authorization_endpoint, {**parameters})

    def pushed_url(self, registration: Registration, *, request_uri: str) -> str:
        """RFC 9126 section 4: only the client and the request URI.

        Raises:
            InvalidInput: a variable of the address is missing.
        """
        endpoint = self._address(registration, registration.provider.authorization_endpoint)
        shown = [("client_id", registration.client.client_id), ("request_uri", request_uri)]
        return str(add_params_to_uri(endpoint, shown))

    def signs_with(self, secret: Secret) -> bool:
        """Whether it is a private key."""
        return is_private_key(secret.reveal())

    async def exchange(self, registration: Registration, *, code: str, verifier: str, endpoint: str) -> Answer:
        """RFC 6749 section 4.1.3, at `endpoint`: the one frozen in the authorization request."""
        form = exchange_form(registration.provider, code=code, redirect_uri=registration.redirect_uri)
        if registration.provider.pkce:
            form["code_verifier"] = Secret(verifier)
        return await self._ask(registration, endpoint, form)

    async def refresh(self, registration: Registration, *, refresh_token: Secret, scopes: Sequence[str]) -> Answer:
        """RFC 6749 section 6, on a fresh connection, within 30 s in all."""
        form = refresh_form(
            registration.provider,
            refresh_token=refresh_token,
            scopes=scopes,
            redirect_uri=registration.redirect_uri,
        )
        provider = registration.provider
        return await self._ask(registration, provider.refresh_endpoint or provider.token_endpoint, form)

    async def revoke(self, registration: Registration, *, token: Secret, hint: str) -> Answer:
        """RFC 7009, or the provider's own way. Fault `unsupported` where there is none."""
        provider = registration.provider
        of_github = provider.revocation_style == "github"
        if not provider.revocation_endpoint or (of_github and hint != "access_token"):
            return Answer(status=0, fault="unsupported")
        try:
            url = self._address(registration, provider.revocation_endpoint)
            if of_github:
                return await self._revoke_at_github(registration, url, token)
            if provider.revocation_style == "bearer":
                headers = {"authorization": f"Bearer {token.reveal()}"}
                return await self._outbound.send("POST", url, headers=headers)
            body, _ = prepare_revoke_token_request(token.reveal(), hint)
            url, headers, body = authenticated(registration, url, _headers(provider), body, now=self._clock.now())
        except (InvalidInput, JoseError, ValueError):
            return Answer(status=0, fault="misconfigured")
        return await self._outbound.send("POST", url, headers=headers, content=_encoded(provider, body))

    async def call(
        self, call: Call, *, variables: Mapping[str, str], headers: Mapping[str, str], query: Mapping[str, str]
    ) -> Answer:
        """A verification or account call, already carrying its authorization."""
        try:
            url = expand(call.url, variables)
        except InvalidInput:
            return Answer(status=0, fault="misconfigured")
        if query:
            url = str(add_params_to_uri(url, list(query.items())))
        sent = {"accept": _JSON_TYPE, **({"content-type": _JSON_TYPE} if call.body else {})}
        sent |= {name.lower(): value for source in (call.headers, headers) for name, value in source.items()}
        return await self._outbound.send(call.method, url, headers=sent, content=call.body.encode())

    async def _ask(self, registration: Registration, endpoint: str, form: Form) -> Answer:
        """A token request, or a pushed one. Always on a fresh connection: a code is spent at the first use as well."""
        provider = registration.provider
        try:
            body = _body(form)
            url = self._address(registration, endpoint)
            url, headers, body = authenticated(registration, url, _headers(provider), body, now=self._clock.now())
        except (InvalidInput, JoseError, ValueError):
            return Answer(status=0, fault="misconfigured")
        content = _encoded(provider, body)
        answer = await self._outbound.send("POST", url, headers=headers, content=content, fresh=True)
        if answer.fault == "not_sent" and answer.duration_s < _AT_ONCE_S:
            # The provider has seen nothing, and there is time left of the lease: ask once more, in the same call.
            answer = await self._outbound.send("POST", url, headers=headers, content=content, fresh=True)
        return answer

    async def _revoke_at_github(self, registration: Registration, url: str, token: Secret) -> Answer:
        """GitHub deletes this one token at the application's own address; other tokens of the same user live on."""
        headers = {"accept": _JSON_TYPE, "content-type": _JSON_TYPE}
        url, headers = basic(registration, "DELETE", url, headers)
        content = json.dumps({"access_token": token.reveal()}).encode()
        return await self._outbound.send("DELETE", url, headers=headers, content=content)

    def _address(self, registration: Registration, template: str) -> str:
        """The address with its holes filled: by the registration, else by the file's defaults."""
        if "{" not in template:
            return template
        defaults = {variable.name: variable.default for variable in registration.provider.variables}
        client = registration.client
        return expand(template, {**defaults, **client.variables, "client_id": client.client_id})


def _parameters(
    registration: Registration, *, state: str, verifier: str, scopes: Sequence[str], extra: Mapping[str, str]
) -> dict[str, str]:
    """Of the authorization request, however it travels."""
    provider = registration.provider
    parameters = authorization_parameters(
        provider,
        client_id=registration.client.client_id,
        redirect_uri=registration.redirect_uri,
        state=state,
        scopes=scopes,
        extra=extra,
    )
    if provider.pkce:
        parameters["code_challenge"] = create_s256_code_challenge(verifier)  # type: ignore[no-untyped-call]
        parameters["code_challenge_method"] = "S256"
    return parameters


def _body(form: Form) -> str:
    opened = {name: value.reveal() if isinstance(value, Secret) else value for name, value in form.items()}
    if "grant_type" not in opened:  # an authorization request
        return urlencode(opened)
    return str(prepare_token_request(opened.pop("grant_type"), **opened))


def _headers(provider: Provider) -> dict[str, str]:
    """Accept JSON alone only where it is needed: elsewhere a server that cannot must still be able to say why."""
    accept = _JSON_TYPE if "send_accept_json" in provider.quirks else f"{_JSON_TYPE}, */*;q=0.1"
    content_type = _JSON_TYPE if provider.body_format == "json" else _FORM_TYPE
    further = {name.lower(): value for name, value in provider.token_headers.items()}
    return {"accept": accept, **further, "content-type": content_type}


def _encoded(provider: Provider, body: str) -> bytes:
    if provider.body_format == "json":
        return json.dumps(dict(parse_qsl(body, keep_blank_values=True))).encode()
    return body.encode()
