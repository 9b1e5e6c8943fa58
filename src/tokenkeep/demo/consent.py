"""From the authorization request to the decision: the authorization endpoint with its login and consent pages.

Owns: the steps authorize → login → consent → back to the client, each tied to one browser.
Does not own: what makes an authorization request valid (`server`, `grants`), rendering (`pages`).
"""

from __future__ import annotations

from collections.abc import Callable

from authlib.oauth2.rfc6749 import OAuth2Error
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from tokenkeep.demo.forms import Browsers, posted, query
from tokenkeep.demo.machine import Entropy
from tokenkeep.demo.pages import Pages
from tokenkeep.demo.people import LONGEST_NAME, PEOPLE, Person, newcomer, person
from tokenkeep.demo.records import ALWAYS_GRANTED, Pending, digest
from tokenkeep.demo.server import Answer, DemoAuthorizationServer, Parameters, ProtocolRequest

PENDING_LIFETIME_S = 600
ENDED = "This request has ended. Go back to the application and start again."
NAMELESS = "Choose a person, or type a name."
NOTHING_TICKED = "Tick at least one permission, or choose Deny."


class ConsentPages:
    """The pages a person sees on the way. The request itself stays here; the page carries only its one-time id."""

    def __init__(self, server: DemoAuthorizationServer, pages: Pages, browsers: Browsers, *, entropy: Entropy) -> None:
        self._server = server
        self._pages = pages
        self._browsers = browsers
        self._entropy = entropy

    def routes(self) -> list[Route]:
        """GET to look, POST to act."""
        return [
            Route("/authorize", self.authorize, methods=["GET"]),
            Route("/login", self.login_page, methods=["GET"]),
            Route("/login", posted(self.login), methods=["POST"]),
            Route("/consent", self.consent_page, methods=["GET"]),
            Route("/consent", posted(self.decide), methods=["POST"]),
        ]

    def authorize(self, request: Request) -> Response:
        """RFC 6749 section 4.1.1: check the request, keep it, and show the login page under a clean URL."""
        unverified = ProtocolRequest("GET", query(request))
        with self._server.store.transaction():
            try:
                self._server.consider(unverified)
            except OAuth2Error as refusal:
                return self._refuse(unverified, refusal)
            return self._keep(request, unverified.payload)

    def login_page(self, request: Request) -> Response:
        """GET /login?request=…: who are you?"""
        return self._step(request, query(request), self._show_login)

    def login(self, request: Request, form: Parameters) -> Response:
        """POST /login: one of the standing people, or any name. No password: nobody here is real."""
        given = form.data

        def sign_in(pending: Pending, id_: str) -> Response:
            who = person(given.get("person", "")) or newcomer(given.get("name", ""))
            if who is None:
                return self._show_login(pending, id_, problem=NAMELESS)
            self._server.store.sign_in(pending.id_digest, who)
            return self._redirect(f"/consent?request={id_}")

        return self._step(request, form, sign_in)

    def consent_page(self, request: Request) -> Response:
        """GET /consent?request=…: may they?"""
        return self._step(request, query(request), self._show_consent)

    def decide(self, request: Request, form: Parameters) -> Response:
        """POST /consent: end the request and send the browser back with a code, or with access_denied."""

        def answer(pending: Pending, id_: str) -> Response:
            asked, ticked = self._asked(pending), form.datalist["scope"]
            chosen = [name for name in asked if name in ticked or name in ALWAYS_GRANTED]
            allowed = form.data.get("decision") == "allow"
            if pending.person is None or (allowed and not chosen):
                return self._show_consent(pending, id_, problem=NOTHING_TICKED)
            self._server.store.end_pending(pending.id_digest)
            return self._finish(pending, scope=" ".join(chosen or asked), grantee=pending.person if allowed else None)

        return self._step(request, form, answer)

    def _step(self, request: Request, given: Parameters, act: Callable[[Pending, str], Response]) -> Response:
        """Find the request this browser is in the middle of, then act on it."""
        id_, browser = given.data.get("request", ""), self._browsers.known(request)
        with self._server.store.transaction() as store:
            pending = store.pending(digest(id_), browser_digest=digest(browser), now=self._server.now())
            return act(pending, id_) if pending else self._pages.trouble(ENDED, status=410)

    def _keep(self, request: Request, parameters: Parameters) -> Response:
        id_, browser = self._entropy.token(32), self._browsers.recognise(request)
        self._server.store.add_pending(
            Pending(id_digest=digest(id_), parameters=parameters.pairs, person=None),
            browser_digest=digest(browser),
            expires_at=self._server.now() + PENDING_LIFETIME_S,
        )
        return self._browsers.remember(self._redirect(f"/login?request={id_}"), browser)

    def _refuse(self, request: ProtocolRequest, refusal: OAuth2Error) -> Response:
        """Back to the client when its redirect URI is certain, otherwise to the person (RFC 6749 section 4.1.2.1)."""
        if refusal.redirect_uri:
            return respond(self._server.refuse(request, refusal))
        return self._pages.trouble(refusal.description, code=refusal.error or "")

    def _finish(self, pending: Pending, *, scope: str, grantee: Person | None) -> Response:
        """Let Authlib answer the kept request, narrowed to `scope`. `grantee` None: denied."""
        kept = [(name, value) for name, value in pending.parameters if name != "scope"]
        request = ProtocolRequest("POST", Parameters([*kept, ("scope", scope)]))
        try:
            grant = self._server.consider(request, grantee)
        except OAuth2Error as refusal:  # the client was registered anew meanwhile
            return self._refuse(request, refusal)
        return respond(self._server.conclude(request, grantee, grant))

    def _show_login(self, pending: Pending, id_: str, problem: str = "") -> Response:
        return self._pages.show(
            "login", status=400 if problem else 200, request=id_, client=self._client_name(pending), people=PEOPLE,
            longest_name=LONGEST_NAME, problem=problem,
        )  # fmt: skip

    def _show_consent(self, pending: Pending, id_: str, problem: str = "") -> Response:
        if pending.person is None:
            return self._redirect(f"/login?request={id_}")
        return self._pages.show(
            "consent", status=400 if problem else 200, leaving=True, request=id_, person=pending.person,
            client=self._client_name(pending), scopes=self._asked(pending), problem=problem,
        )  # fmt: skip

    def _client_name(self, pending: Pending) -> str:
        client = self._server.query_client(Parameters(pending.parameters).client_id)
        return client.name if client else ""

    def _asked(self, pending: Pending) -> list[str]:
        parameters = Parameters(pending.parameters)
        client = self._server.query_client(parameters.client_id)
        return client.get_allowed_scope(parameters.scope).split() if client else []

    def _redirect(self, path: str) -> Response:
        return RedirectResponse(f"{self._pages.base}{path}", status_code=303)


def respond(answer: Answer) -> Response:
    """A redirect as Authlib worded it."""
    return Response(status_code=answer.status, headers=dict(answer.headers))
