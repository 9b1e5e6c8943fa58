"""A client and its user, as the tests of the demo provider need them.

Owns: walking through the pages in process, and the calls a client makes.
Does not own: what is expected; the tests say it.
"""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx2
from starlette.applications import Starlette
from starlette.routing import Mount

from tokenkeep.core.secret import Secret
from tokenkeep.demo.provider import DemoProvider

ORIGIN = "http://127.0.0.1:8420"
ISSUER = f"{ORIGIN}/demo"
CALLBACK = f"{ORIGIN}/oauth/callback/c1"
VERIFIER = "verifier-" + "v" * 40
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
CLIENT_ID = "tokenkeep-client"
CLIENT_SECRET = "canary-client-secret"
TEMPLATES = Path(__file__).parents[2] / "templates"


class SetClock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.time = datetime(2026, 11, 24, 12, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time

    def pass_seconds(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


class CountedEntropy:
    """Never the same twice, always the same in each run."""

    def __init__(self, start: int = 0) -> None:
        self.count = start

    def token(self, octets: int = 32) -> str:
        self.count += 1
        return f"chance{self.count:0{octets}d}"


class Visitor:
    """One provider, one registered client, one browser."""

    def __init__(self, directory: Path, clock: SetClock | None = None, entropy: CountedEntropy | None = None) -> None:
        self.clock = clock or SetClock()
        self.entropy = entropy or CountedEntropy()
        self.provider = DemoProvider(
            issuer=ISSUER, directory=directory, templates=TEMPLATES, clock=self.clock, entropy=self.entropy
        )
        self.provider.ensure_client(CLIENT_ID, Secret(CLIENT_SECRET), redirect_uri=CALLBACK)
        self.app = Starlette(routes=[Mount("/demo", app=self.provider.app)])
        self.browser = self.client()

    def client(self) -> httpx2.AsyncClient:
        """A fresh browser, or a program."""
        return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=self.app), base_url=ORIGIN)

    async def authorize(self, **changes: str | None) -> httpx2.Response:
        """Arrive at the authorization endpoint. A change of None leaves the parameter out."""
        parameters = {
            "response_type": "code",
            "client_id": CLIENT_ID,
            "redirect_uri": CALLBACK,
            "scope": "profile notes.read notes.write",
            "state": "state-1",
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
        } | changes
        return await self.browser.get(
            "/demo/authorize", params={name: value for name, value in parameters.items() if value is not None}
        )

    async def sign_in(self, begun: httpx2.Response, **fields: str) -> httpx2.Response:
        """Choose who one is, and see the consent page."""
        fields = fields or {"person": "ada"}
        answer = await self.browser.post("/demo/login", data={"request": request_id(begun), **fields})
        return await self.browser.get(answer.headers["location"]) if answer.status_code == 303 else answer

    async def decide(self, begun: httpx2.Response, decision: str, *scopes: str) -> httpx2.Response:
        """Press a button on the consent page."""
        fields = {"request": request_id(begun), "decision": decision} | ({"scope": scopes} if scopes else {})
        return await self.browser.post("/demo/consent", data=fields)

    async def consent(self, *scopes: str, **changes: str | None) -> dict[str, str]:
        """The whole way; answers what the client gets back."""
        begun = await self.authorize(**changes)
        await self.sign_in(begun)
        return returned(await self.decide(begun, "allow", *(scopes or ("notes.read", "notes.write"))))

    async def token(self, *, basic: bool = True, secret: str = CLIENT_SECRET, **form: str | None) -> httpx2.Response:
        """POST /demo/token as the client."""
        fields = {name: value for name, value in form.items() if value is not None}
        if basic:
            return await self.browser.post("/demo/token", data=fields, auth=(CLIENT_ID, secret))
        return await self.browser.post("/demo/token", data={**fields, "client_id": CLIENT_ID, "client_secret": secret})

    async def exchange(self, code: str, **changes: str | None) -> httpx2.Response:
        """Turn a code into tokens."""
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK, "code_verifier": VERIFIER}
        return await self.token(**form | changes)

    async def refresh(self, refresh_token: str, **changes: str) -> httpx2.Response:
        """Turn a refresh token into tokens."""
        return await self.token(grant_type="refresh_token", refresh_token=refresh_token, **changes)

    async def connected(self, *scopes: str) -> dict[str, str]:
        """A token answer from a fresh consent."""
        return (await self.exchange((await self.consent(*scopes))["code"])).json()

    async def me(self, access_token: str) -> httpx2.Response:
        """GET /demo/me with a token."""
        return await self.browser.get("/demo/me", headers={"authorization": f"Bearer {access_token}"})


def request_id(begun: httpx2.Response) -> str:
    """The one-time id in the address of the login page."""
    return parse_qs(urlsplit(begun.headers["location"]).query)["request"][0]


def returned(answer: httpx2.Response) -> dict[str, str]:
    """The parameters that a redirect brings to the client; fails when it does not lead there."""
    assert answer.status_code == 303, answer.text
    location = urlsplit(answer.headers["location"])
    assert location._replace(query="").geturl() == CALLBACK
    return {name: values[0] for name, values in parse_qs(location.query).items()}


def hidden(page: str, name: str) -> str:
    """The value of a hidden field."""
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    assert found, page
    return found.group(1)
