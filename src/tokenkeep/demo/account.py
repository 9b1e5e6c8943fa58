"""The person's own page: what was granted, and taking it back.

Owns: GET / and the *Revoke* button, which does what a user does in the settings of a real provider.
Does not own: revocation by the client (`endpoints`).
"""

from __future__ import annotations

import hmac

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from tokenkeep.demo.forms import Browsers, posted, query
from tokenkeep.demo.pages import Pages
from tokenkeep.demo.server import DemoAuthorizationServer, Parameters

FOREIGN_FORM = "This form did not come from this browser. Open the page again and repeat."


class AccountPage:
    """All people's grants on one page: nobody here is real, so nobody has anything to hide."""

    def __init__(self, server: DemoAuthorizationServer, pages: Pages, browsers: Browsers) -> None:
        self._server = server
        self._pages = pages
        self._browsers = browsers

    def routes(self) -> list[Route]:
        """The page, and its one action."""
        return [
            Route("/", self.show, methods=["GET"]),
            Route("/grants/revoke", posted(self.revoke), methods=["POST"]),
        ]

    def show(self, request: Request) -> Response:
        """GET /: live grants, newest first."""
        browser = self._browsers.recognise(request)
        with self._server.store.transaction() as store:
            grants = store.live_grants()
        page = self._pages.show(
            "account", grants=grants, seal=self._browsers.seal(browser), revoked="revoked" in query(request).data
        )
        return self._browsers.remember(page, browser)

    def revoke(self, request: Request, form: Parameters) -> Response:
        """POST /grants/revoke: the client learns of it at its next refresh, as in life."""
        given, browser = form.data, self._browsers.known(request)
        if not browser or not hmac.compare_digest(self._browsers.seal(browser), given.get("seal", "")):
            return self._pages.trouble(FOREIGN_FORM, status=403)
        with self._server.store.transaction() as store:
            store.revoke_grant(given.get("grant", ""), now=self._server.now())
        return RedirectResponse(f"{self._pages.base}/?revoked=1", status_code=303)
