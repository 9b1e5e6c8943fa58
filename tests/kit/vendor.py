"""A provider exactly as its file describes it: what the file does not declare is refused.

`Vendor` takes a provider noun and serves every endpoint of it, behind one transport. It reads requests in its own way and
never asks our code how one is built, so a file that leaves out what a service wants, and code that ignores what a file says,
both end in a refusal; `misfits` tells which. What a service does beyond its file is not known here.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, unquote_plus, urlencode, urlsplit

import httpx2
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import import_key

from tests.kit.asgi_wire import challenge_of
from tokenkeep.core.injection import expand
from tokenkeep.core.model import ClientAuth, HostFormat, Provider, ResponseMap, Rotation, Variable

HOME = "https://vendor.test"
CLIENT_ID = "client/1 +%2F"
CLIENT_SECRET = "s3cret +/:&=é%20"
USUAL_LIFE_S = 3600
_FORM_TYPE = "application/x-www-form-urlencoded"
_JSON_TYPE = "application/json"
_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_TOKEN_LIFE_PATHS = ResponseMap().refresh_expires_in
_HOLE = "client-id-hole"


class Misfit(Exception):
    """A request that the file does not describe."""

    def __init__(self, reason: str, *, error: str = "invalid_request", status: int = 400) -> None:
        super().__init__(reason)
        self.reason, self.error, self.status = reason, error, status


@dataclass(frozen=True)
class Refusal:
    """How a dead grant is answered, and the cause that is in it."""

    code: str
    status: int
    body: Mapping[str, Any]


@dataclass
class Code:
    """What a code was given for."""

    redirect_uri: str
    challenge: str


@dataclass
class Consent:
    """One consent and its tokens."""

    number: int
    since: datetime
    issued_at: datetime
    generation: int = 0
    access_token: str = ""
    refresh_token: str = ""
    alive: dict[str, datetime | None] = field(default_factory=dict)  # access token -> its end
    spent: dict[str, datetime] = field(default_factory=dict)  # refresh token -> when
    refusal: Refusal | None = None  # not None: dead


def filling(variable: Variable) -> str:
    """What an administrator enters."""
    whole = {HostFormat.HOST: "sample.example", HostFormat.ADDRESS: f"https://sample.example/{variable.name}"}
    return variable.default or whole.get(variable.format, "sample")


def moved(provider: Provider) -> Provider:
    """The file's noun with every endpoint at `HOME`. Each keeps its path and query behind the name of what it is for."""
    variables = {variable.name: filling(variable) for variable in provider.variables} | {"client_id": _HOLE}

    def address(name: str) -> str:
        template = getattr(provider, name)
        if not template:
            return ""
        parts = urlsplit(expand(template, variables))
        there = f"{HOME}/{name}{parts.path}" + (f"?{parts.query}" if parts.query else "")
        return there.replace(_HOLE, "{client_id}")

    return replace(
        provider,
        authorization_endpoint=address("authorization_endpoint"),
        pushed_authorization_endpoint=address("pushed_authorization_endpoint"),
        token_endpoint=address("token_endpoint"),
        refresh_endpoint=address("refresh_endpoint"),
        revocation_endpoint=address("revocation_endpoint"),
        issuer=HOME if provider.issuer else "",
        account=None,
    )


class Vendor(httpx2.AsyncBaseTransport):
    """The service behind `HOME`, and behind every other host that the file names."""

    def __init__(
        self,
        provider: Provider,
        *,
        scopes: Sequence[str] = (),
        authorize_params: Mapping[str, str] | None = None,
        secret: str = CLIENT_SECRET,
        refresh_tokens: bool = True,
    ) -> None:
        """`authorize_params`: of the type, over the file's. `secret`: the client's, or its private key."""
        self.noun = moved(provider)
        self.scopes = () if "no_scopes" in provider.quirks else tuple(scopes)
        self.authorize_params = {**provider.authorize_params, **(authorize_params or {})}
        self.secret = secret
        self.refresh_tokens = refresh_tokens
        self.now: Callable[[], datetime] = lambda: datetime.now(UTC)
        self.misfits: list[str] = []
        self.revoked: list[str] = []  # tokens, as they were named
        self.loses = 0  # so many of the next token answers never arrive
        self.consents: list[Consent] = []
        self._codes: dict[str, Code] = {}
        self.pushed: dict[str, dict[str, str]] = {}  # request URI -> parameters that no browser came with yet
        self._numbers = count(1)

    # --- what the house asks of a server -------------------------------------------------------------------------

    def provider(self, **_: Any) -> Provider:
        return self.noun

    def transport(self) -> httpx2.AsyncBaseTransport:
        return self

    # --- what tests ask ------------------------------------------------------------------------------------------

    @property
    def newest(self) -> Consent:
        return self.consents[-1]

    @property
    def life_s(self) -> int | None:
        """Of an access token; None: it does not end, as far as anybody is told. Never the file's number where it is told."""
        noun = self.noun
        if noun.access_expires is False or "expires_in_zero_means_never" in noun.quirks:
            return None
        if "expires_in_missing" in noun.quirks:
            return noun.access_ttl_s
        return (noun.access_ttl_s or USUAL_LIFE_S) + 7

    @property
    def refresh_life_s(self) -> int | None:
        return self.noun.refresh_ttl_s or self.noun.refresh_idle_ttl_s

    def is_alive(self, access_token: str) -> bool:
        """Whether the API accepts it."""
        return any(
            access_token in consent.alive
            and ((end := consent.alive[access_token]) is None or end > self.now())
            and consent.refusal is None
            for consent in self.consents
        )

    def end_access_tokens(self) -> None:
        """Those that do not tell their end stop working."""
        self.newest.alive.clear()

    def kept(self) -> dict[str, Any]:
        """What the file wants stored of the newest consent: from its token answer and its callback."""
        told = {path: self._value(path) for path in self.noun.response.keep}
        return told | {name: self._value(name) for name in self.noun.callback_keep}

    def account(self) -> tuple[str, str, str]:
        """(id, name, workspace) as the token answer names them."""
        paths = self.noun.account_from_token
        id_, name, workspace = (self._value(paths[part]) if part in paths else "" for part in _ACCOUNT)
        return id_, name, workspace

    def refusals(self) -> list[Refusal]:
        """Every way in which the file says that a dead grant is answered."""
        quirks = self.noun.quirks
        if "error_codes_array_aadsts" in quirks:
            return [
                Refusal("aadsts700082", 400, {"error": "invalid_grant", "error_codes": [700082]}),
                Refusal("aadsts53003", 400, {"error": "access_denied", "error_codes": [53003]}),
                Refusal("aadsts50173", 400, {"error": "invalid_grant", "error_description": "AADSTS50173: Revoked."}),
            ]
        status, beside = 400, {}
        if "ok_false_in_200" in quirks:
            status, beside = 200, {"ok": False}
        elif "error_in_200" in quirks:
            status = 200
        elif "refresh_error_403" in quirks:
            status = 403
        codes = [
            "invalid_grant",
            *(["unauthorized_client"] if status == 403 else []),
            *sorted(self.noun.terminal_errors),
        ]
        return [Refusal(code, status, {**beside, "status" if code.isupper() else "error": code}) for code in codes]

    # --- the wire ------------------------------------------------------------------------------------------------

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        body, url = await request.aread(), str(request.url)
        try:
            if _bare(url) == _bare(self.noun.authorization_endpoint):
                return self._authorize(url)
            if url == self.noun.pushed_authorization_endpoint:
                return self._push(request, body)
            if self._revokes(url):
                return self._revoke(request, body)
            if url in {self.noun.token_endpoint, self.noun.refresh_endpoint}:
                return self._token(request, body)
            return self._api(request)
        except Misfit as misfit:
            self.misfits.append(misfit.reason)
            return self._answer(request, misfit.status, {"error": misfit.error})

    def _answer(self, request: httpx2.Request, status: int, document: Mapping[str, Any]) -> httpx2.Response:
        """Form-encoded, where JSON must be asked for, and nothing else with it."""
        if "send_accept_json" in self.noun.quirks and request.headers.get("accept") != _JSON_TYPE:
            self.misfits.append("JSON was not asked for")
            return httpx2.Response(status, headers={"content-type": _FORM_TYPE}, content=urlencode(document).encode())
        return httpx2.Response(status, headers={"content-type": _JSON_TYPE}, content=json.dumps(document).encode())

    def _api(self, request: httpx2.Request) -> httpx2.Response:
        """The service itself: a live access token must come with each call."""
        carried = [*request.headers.values(), *(value for _, value in parse_qsl(request.url.query.decode()))]
        if not any(self.is_alive(value.rpartition(" ")[2]) for value in carried):
            raise Misfit("a call without a live token", error="invalid_token", status=401)
        return httpx2.Response(200, json={})

    # --- authorization ---------------------------------------------------------------------------------------------

    def _authorize(self, url: str) -> httpx2.Response:
        carried = _single(urlsplit(url).query)
        pushed = self.pushed.pop(carried.get("request_uri", ""), None)  # once
        asked = carried if pushed is None else pushed
        back = {"state": asked.get("state", "")} | ({"iss": HOME} if self.noun.issuer else {})
        try:
            self._check_authorization(carried, pushed)
        except Misfit as misfit:
            self.misfits.append(misfit.reason)
            back["error"] = misfit.error
        else:
            number = next(self._numbers)
            self.consents.append(Consent(number=number, since=self.now(), issued_at=self.now()))
            back["code"] = f"code-{number}"
            self._codes[back["code"]] = Code(asked["redirect_uri"], asked.get("code_challenge", ""))
            back |= {name: self._value(name) for name in self.noun.callback_keep}
        return httpx2.Response(302, headers={"location": f"{asked['redirect_uri']}?{urlencode(back)}"})

    def _push(self, request: httpx2.Request, body: bytes) -> httpx2.Response:
        """RFC 9126 section 2: judged as it comes in, and taken for one browser."""
        form = self._form(request, body)
        if self.noun.client_auth is ClientAuth.BASIC and form.pop("client_id", "") != CLIENT_ID:
            raise Misfit("pushed: client_id")
        pushed = {"client_id": CLIENT_ID, **self._without_client(request, form)}
        self._check_parameters(pushed, {})
        request_uri = f"urn:ietf:params:oauth:request_uri:{next(self._numbers)}"
        self.pushed[request_uri] = pushed
        return self._answer(request, 201, {"request_uri": request_uri, "expires_in": 60})

    def _check_authorization(self, carried: Mapping[str, str], pushed: Mapping[str, str] | None) -> None:
        query = _single(urlsplit(self.noun.authorization_endpoint).query)
        if not self.noun.pushed_authorization_endpoint:
            self._check_parameters(carried, query)
        elif pushed is None:
            raise Misfit("authorization: not pushed")
        else:
            _check(carried, {"client_id": CLIENT_ID, **query}, free={"request_uri"}, when="authorization")

    def _check_parameters(self, asked: Mapping[str, str], query: Mapping[str, str]) -> None:
        wanted = {**query, **self.authorize_params}
        wanted |= {"response_type": "code", "client_id": CLIENT_ID}
        if self.scopes:
            name = "user_scope" if "user_scope_param" in self.noun.quirks else "scope"
            wanted[name] = self.noun.scope_separator.join(self.scopes)
        if self.noun.pkce:
            wanted["code_challenge_method"] = "S256"
        free = {"redirect_uri", "state", *(["code_challenge"] if self.noun.pkce else [])}
        _check(asked, wanted, free=free, when="authorization")

    # --- tokens ----------------------------------------------------------------------------------------------------

    def _token(self, request: httpx2.Request, body: bytes) -> httpx2.Response:
        form = self._form(request, body)
        refreshes = form.get("grant_type") == "refresh_token"
        expected = self.noun.refresh_endpoint if refreshes else ""
        if str(request.url) != (expected or self.noun.token_endpoint):
            raise Misfit("the address of a token request")
        form = self._without_client(request, form)
        consent = self._refreshed(form) if refreshes else self._exchanged(form)
        if isinstance(consent, Refusal):
            return self._answer(request, consent.status, consent.body)
        if self.loses:
            self.loses -= 1
            raise httpx2.ReadError("the answer is lost", request=request)
        return self._answer(request, 200, self._document(consent))

    def _form(self, request: httpx2.Request, body: bytes) -> dict[str, str]:
        """The request's parameters, in the one format that is understood, with the further headers that are wanted."""
        for name, value in self.noun.token_headers.items():
            if request.headers.get(name) != value:
                raise Misfit(f"token header: {name}")
        wanted = _JSON_TYPE if self.noun.body_format == "json" else _FORM_TYPE
        if request.headers.get("content-type") != wanted:
            raise Misfit("the format of a body")
        if wanted == _FORM_TYPE:
            return _single(body.decode())
        document = json.loads(body)
        if not all(isinstance(value, str) for value in document.values()):
            raise Misfit("the format of a body")
        return dict(document)

    def _without_client(self, request: httpx2.Request, form: Mapping[str, str]) -> dict[str, str]:
        """The parameters besides the client's proof of itself, which must be the declared one and no other."""
        rest, method = dict(form), self.noun.client_auth
        header = request.headers.get("authorization")
        if method is ClientAuth.BASIC:
            proven = self._basic(header or "") == (CLIENT_ID, self.secret)
        else:
            proven = header is None and rest.pop("client_id", "") == CLIENT_ID
        if method is ClientAuth.POST:
            proven = rest.pop("client_secret", "") == self.secret and proven
        if method is ClientAuth.PRIVATE_KEY_JWT:
            proven = self._signed(rest, str(request.url)) and proven
        if not proven or rest.keys() & {"client_id", "client_secret", "client_assertion", "client_assertion_type"}:
            raise Misfit("the client's authentication", error="invalid_client", status=401)
        return rest

    def _basic(self, header: str, *, encoded: bool | None = None) -> tuple[str, str]:
        scheme, _, text = header.partition(" ")
        try:
            user, _, password = base64.b64decode(text, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return "", ""
        plain = "secret_in_basic_unencoded" in self.noun.quirks if encoded is None else not encoded
        pair = (user, password) if plain else (unquote_plus(user), unquote_plus(password))
        return pair if scheme.lower() == "basic" else ("", "")

    def _signed(self, rest: dict[str, str], url: str) -> bool:
        """RFC 7523: signed by the client's key, for this server."""
        kind, assertion = rest.pop("client_assertion_type", ""), rest.pop("client_assertion", "")
        try:
            claims = jwt.decode(assertion, import_key(self.secret, "EC"), algorithms=["ES256"]).claims
        except (JoseError, ValueError):
            return False
        fits = (claims.get("iss"), claims.get("sub")) == (CLIENT_ID, CLIENT_ID)
        return (
            kind == _ASSERTION_TYPE
            and fits
            and claims.get("aud") in (self.noun.issuer or url, [self.noun.issuer or url])
        )

    def _exchanged(self, form: Mapping[str, str]) -> Consent:
        noun, code = self.noun, self._codes.pop(form.get("code", ""), None)
        if code is None:
            raise Misfit("the code", error="invalid_grant")
        wanted = {**noun.token_params, "grant_type": "authorization_code", "redirect_uri": code.redirect_uri}
        _check(form, wanted, free={"code", *(["code_verifier"] if noun.pkce else [])}, when="exchange")
        if noun.pkce and challenge_of(form["code_verifier"]) != code.challenge:
            raise Misfit("exchange: code_verifier", error="invalid_grant")
        self.redirect_uri = code.redirect_uri
        consent = next(one for one in self.consents if one.number == int(form["code"].removeprefix("code-")))
        if "reauth_invalidates_older_grant" in noun.quirks:
            for older in self.consents[: self.consents.index(consent)]:
                self.end(older)
        return self._renewed(consent)

    def _refreshed(self, form: Mapping[str, str]) -> Consent | Refusal:
        noun = self.noun
        wanted = {**noun.refresh_params, "grant_type": "refresh_token"}
        if "redirect_uri_on_refresh" in noun.quirks:
            wanted["redirect_uri"] = self.redirect_uri
        if "scope_on_refresh" in noun.quirks:
            wanted["scope"] = noun.scope_separator.join(self.scopes)
        _check(form, wanted, free={"refresh_token"}, when="refresh")
        token = form["refresh_token"]
        consent = next((one for one in self.consents if token == one.refresh_token or token in one.spent), None)
        if consent is None:
            raise Misfit("a refresh token of nobody", error="invalid_grant")
        if consent.refusal is not None:
            return consent.refusal
        if (
            noun.rotation is Rotation.GRACE
            and token in consent.spent
            and self._ago(consent.spent[token]) <= noun.grace_s
        ):
            return consent  # the same answer again
        if token in consent.spent:
            if noun.rotation is Rotation.FAMILY:
                self.end(consent)
            raise Misfit("a spent refresh token", error="invalid_grant")
        self._check_time(consent)
        return self._renewed(consent)

    def _check_time(self, consent: Consent) -> None:
        life_s, grant_life_s = self.refresh_life_s, self.noun.grant_ttl_s
        if life_s is not None and self._ago(consent.issued_at) > life_s:
            raise Misfit("a refresh token that has ended", error="invalid_grant")
        if grant_life_s is not None and self._ago(consent.since) > grant_life_s:
            raise Misfit("a grant that has ended", error="invalid_grant")
        end = consent.alive.get(consent.access_token)
        if "never_refresh_blindly" in self.noun.quirks and end is not None and end > self.now():
            raise Misfit("a refresh before the end")

    def _ago(self, moment: datetime) -> float:
        return (self.now() - moment).total_seconds()

    def end(self, consent: Consent, refusal: Refusal | None = None) -> None:
        """The user withdraws it, or we do."""
        consent.refusal = refusal or self.refusals()[0]

    def _renewed(self, consent: Consent) -> Consent:
        """The next generation: committed, whether or not its answer arrives."""
        now, noun = self.now(), self.noun
        consent.generation += 1
        if noun.kills_old_access_token:
            consent.alive.clear()
        consent.access_token = f"at-{consent.number}-{consent.generation}"
        consent.alive[consent.access_token] = None if self.life_s is None else now + timedelta(seconds=self.life_s)
        if self.refresh_tokens and (not consent.refresh_token or noun.rotation is not Rotation.NONE):
            if consent.refresh_token:
                consent.spent[consent.refresh_token] = now
            consent.refresh_token = f"rt-{consent.number}-{consent.generation}"
            consent.issued_at = now
        elif noun.refresh_ttl_s is None:
            consent.issued_at = now  # an idle life begins anew
        return consent

    # --- the answer --------------------------------------------------------------------------------------------------

    def _document(self, consent: Consent) -> dict[str, Any]:
        """Each part at the first place that the file names. What is kept is told once, at the consent."""
        noun, paths, part = self.noun, self.noun.response, dict[str, Any]()
        first = consent.generation == 1
        _put(part, paths.access_token, consent.access_token)
        _put(part, paths.token_type, "bearer")
        if consent.refresh_token and not (noun.rotation is Rotation.NONE and consent.generation == 2):
            _put(part, paths.refresh_token, consent.refresh_token)
        if self.scopes:
            _put(part, paths.scope, self._scope())
        self._put_lives(part)
        document = {"ok": True} if "ok_false_in_200" in noun.quirks else {}
        if "nested_user_token" in noun.quirks and consent.generation % 2:
            document |= {"access_token": "of-the-bot", "scope": "of:the:bot", "authed_user": part}
        else:
            document |= part
        for path in [*paths.keep, *noun.account_from_token.values()] if first else ():
            _put(document, (path,), self._value(path))
        return document

    def _scope(self) -> str | list[str]:
        if "scope_list_in_response" in self.noun.quirks:
            return list(self.scopes)
        return ("," if "returned_scope_comma_separated" in self.noun.quirks else self.noun.scope_separator).join(
            self.scopes
        )

    def _put_lives(self, part: dict[str, Any]) -> None:
        noun, paths, life_s = self.noun, self.noun.response, self.life_s
        if "expires_in_zero_means_never" in noun.quirks:
            _put(part, paths.expires_in, 0)
        elif life_s is not None and "expires_in_missing" not in noun.quirks:
            end = int(self.now().timestamp()) + life_s
            if paths.expires_at != ResponseMap().expires_at:
                _put(part, paths.expires_at, end)
            elif "epoch_in_expires_in" in noun.quirks:
                _put(part, paths.expires_in, end)
            else:
                _put(part, paths.expires_in, life_s * 1000 if "expires_in_milliseconds" in noun.quirks else life_s)
        if paths.refresh_expires_in != _TOKEN_LIFE_PATHS and self.refresh_life_s is not None:
            _put(part, paths.refresh_expires_in, self.refresh_life_s)

    def _value(self, path: str) -> Any:
        """What stands at a further place of the newest consent's answer: as many seconds, or text like no other."""
        if path in self.noun.response.refresh_expires_in and self.refresh_life_s is not None:
            return self.refresh_life_s
        return f"{path} of consent {self.newest.number}"

    # --- revocation --------------------------------------------------------------------------------------------------

    def _revokes(self, url: str) -> bool:
        template = self.noun.revocation_endpoint
        return bool(template) and url == template.replace("{client_id}", quote(CLIENT_ID, safe=""))

    def _revoke(self, request: httpx2.Request, body: bytes) -> httpx2.Response:
        style, verb = self.noun.revocation_style, request.method
        if verb != ("DELETE" if style == "github" else "POST"):
            raise Misfit("the method of a revocation", status=405)
        header = request.headers.get("authorization", "")
        if style == "bearer":
            token = header.removeprefix("Bearer ")
        elif style == "github":
            if self._basic(header, encoded=True) != (CLIENT_ID, self.secret):
                raise Misfit("the client's authentication", error="invalid_client", status=401)
            token = str(json.loads(body)["access_token"])
        else:
            form = self._without_client(request, self._form(request, body))
            _check(form, {}, free={"token", "token_type_hint"}, when="revocation")
            token = form["token"]
        self.revoked.append(token)
        for consent in self.consents:
            if token in {consent.access_token, consent.refresh_token, *consent.alive} and consent.refusal is None:
                self.end(consent)
        return self._answer(request, 200, {"ok": True} if "ok_false_in_200" in self.noun.quirks else {})


_ACCOUNT = ("id", "name", "workspace")


def _bare(url: str) -> str:
    return unquote(url.partition("?")[0])


def _single(encoded: str) -> dict[str, str]:
    """Parameters, each of which may come once (RFC 6749 section 3.1)."""
    pairs = parse_qsl(encoded, keep_blank_values=True)
    if len(dict(pairs)) < len(pairs):
        raise Misfit("a parameter that comes twice")
    return dict(pairs)


def _check(given: Mapping[str, str], wanted: Mapping[str, str], *, free: set[str], when: str) -> None:
    """Just these parameters: with these values, or with any where they are free."""
    for name in sorted(given.keys() | wanted.keys() | free):
        if not given.get(name) or (name not in free and given[name] != wanted.get(name)):
            raise Misfit(f"{when}: {name}")


def _put(document: dict[str, Any], paths: Sequence[str], value: Any) -> None:
    """At the first of these dotted places."""
    *steps, last = paths[0].split(".")
    for step in steps:
        document = document.setdefault(step, {})
    document[last] = value
