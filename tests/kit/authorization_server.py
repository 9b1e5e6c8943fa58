"""A provider's authorization server in memory, with a switch for each bad habit.

In process it is an ASGI application for `Outbound(transport=…)`; `serve` runs it on loopback in a thread, and
`python -m tests.kit.authorization_server` in a process of its own, printing its port. Every token request is
journalled with the fingerprint of the refresh token it carried, so a test can check what was really sent.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import httpx2
import uvicorn

from tests.kit.asgi_wire import challenge_of, client_of, form_of, hang_up, read, respond
from tests.kit.consents import Consents, Entry, Family, Refusal, Switches
from tokenkeep.core.model import Call, ClientAuth, Provider, Rotation
from tokenkeep.core.protocol import fingerprint
from tokenkeep.core.secret import Secret

ISSUER = "https://provider.test"
CLIENT_ID = "client-1"
CLIENT_SECRET = "client-secret-1"


@dataclass
class Code:
    """A code waiting to be exchanged."""

    redirect_uri: str
    scope: str
    challenge: str


class AuthorizationServer:
    """The application. `clock` counts seconds; it is asked for the grace only."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, url: str = ISSUER, **switches: Any) -> None:
        self.switches = Switches(**switches)
        self.consents = Consents(self.switches, clock)
        self.url = url
        self.clients = {CLIENT_ID: CLIENT_SECRET}
        self.journal: list[Entry] = []
        self.gate = asyncio.Event()  # clear it to hold every token request after the rotation, before the answer
        self.gate.set()
        self.entered = asyncio.Event()  # set when a token request has arrived
        self.pushed: list[dict[str, str]] = []  # the parameters of every request that was taken ahead of a browser
        self._waiting: dict[str, dict[str, str]] = {}  # request URI -> parameters
        self._codes: dict[str, Code] = {}
        self._numbers = itertools.count(1)

    # --- what tests ask -----------------------------------------------------------------------------------

    def transport(self) -> httpx2.AsyncBaseTransport:
        """For `Outbound(transport=…)`."""
        return httpx2.ASGITransport(app=self)

    def provider(self, **overrides: Any) -> Provider:
        """The provider file that fits the switches."""
        parts: dict[str, Any] = {
            "id": "fake",
            "name": "Fake provider",
            "authorization_endpoint": f"{self.url}/authorize",
            "pushed_authorization_endpoint": f"{self.url}/par" if self.switches.requires_par else "",
            "token_endpoint": f"{self.url}/token",
            "revocation_endpoint": f"{self.url}/revoke",
            "issuer": self.url if self.switches.sends_iss else "",
            "client_auth": ClientAuth.BASIC,
            "rotation": self.switches.rotation,
            "grace_s": int(self.switches.grace_s) if self.switches.rotation is Rotation.GRACE else 0,
            "kills_old_access_token": self.switches.kills_old_access_token,
            "account": Call(url=f"{self.url}/userinfo", account_id=("id",), account_name=("name",)),
            "hosts": frozenset({"provider.test"}),
        }
        return Provider(**{**parts, **overrides})

    def issue(self, scope: str = "read write") -> dict[str, Any]:
        """A new consent without a browser: its first token answer."""
        return self.consents.answer(self.consents.renewed(self.consents.new_family(scope)))

    def authorize(
        self, *, redirect_uri: str = "https://keep.test/callback", scope: str = "read", challenge: str = ""
    ) -> str:
        """A code, as if the user had agreed. Without `challenge` no PKCE verifier is wanted."""
        code = f"code-{next(self._numbers)}"
        self._codes[code] = Code(redirect_uri=redirect_uri, scope=scope, challenge=challenge)
        return code

    def accepts(self, refresh_token: str) -> bool:
        """Whether a refresh with this token would be granted now. Changes nothing."""
        return self.consents.accepts(refresh_token)

    def is_alive(self, access_token: str) -> bool:
        """Whether the API would accept this access token."""
        return self.consents.is_alive(access_token)

    def revoke_all(self) -> None:
        """The user withdraws every consent."""
        for family in self.consents:
            self.consents.end(family)

    def refreshes(self) -> list[Entry]:
        """The refresh requests among the journal."""
        return [entry for entry in self.journal if entry.grant_type == "refresh_token"]

    # --- ASGI -----------------------------------------------------------------------------------------------

    async def __call__(self, scope: Mapping[str, Any], receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
        if scope["type"] != "http":  # the lifespan of a real server: there is nothing to start
            return
        body = await read(receive)
        query = dict(parse_qsl(scope["query_string"].decode()))
        headers = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
        form = form_of(body, headers.get("content-type", ""))
        routes: dict[tuple[str, str], Callable[[], Any]] = {
            ("GET", "/authorize"): lambda: self._authorize(query),
            ("POST", "/revoke"): lambda: self._revoke(form, headers),
            ("POST", "/par"): lambda: self._push(form, headers),
            ("GET", "/.well-known/oauth-authorization-server"): self._metadata,
            ("GET", "/.well-known/openid-configuration"): self._metadata,
            ("GET", "/userinfo"): lambda: self._userinfo(headers),
            ("GET", "/journal"): lambda: (200, [asdict(entry) for entry in self.journal]),
            ("POST", "/issue"): lambda: (200, [self.issue() for _ in range(int(query.get("count", 1)))]),
            ("POST", "/accepts"): lambda: (200, {token: self.accepts(token) for token in form.get("tokens", [])}),
            ("POST", "/switches"): lambda: self._switch(form),
        }
        if (scope["method"], scope["path"]) == ("POST", "/token"):
            await self._token(form, headers, send)
            return
        route = routes.get((scope["method"], scope["path"]), lambda: (404, {"message": "no such page"}))
        await respond(send, *route())

    # --- the token endpoint -------------------------------------------------------------------------------------

    async def _token(self, form: dict[str, Any], headers: dict[str, str], send: Callable[[Any], Any]) -> None:
        entry = self._entry(form, headers)
        self.journal.append(entry)
        self.entered.set()
        await asyncio.sleep(self.switches.delay_before_s)
        if self.switches.take("drops_requests"):
            entry.outcome = "dropped"
            await hang_up(send)
        if self.switches.down:
            entry.outcome = "down"
            await respond(send, self.switches.down_status, {"message": "down"}, self._retry_after())
            return
        try:
            status, answer = 200, self.consents.answer(self._grant(form, headers, entry))
            entry.outcome = "granted"
        except Refusal as refusal:
            entry.outcome = f"refused:{refusal.code}"
            status = 200 if self.switches.error_in_200 else refusal.status
            answer = {"error": refusal.code, "error_description": "as the switches say"}
        await asyncio.sleep(self.switches.delay_after_s)
        await self.gate.wait()
        await self._deliver(send, status, answer, entry)

    async def _deliver(self, send: Callable[[Any], Any], status: int, answer: dict[str, Any], entry: Entry) -> None:
        if entry.outcome == "granted" and self.switches.take("loses_answers"):
            entry.outcome = "lost"
            await hang_up(send)
        if entry.outcome == "granted" and self.switches.take("truncates_answers"):
            entry.outcome = "truncated"
            half = json.dumps(answer)[:25].encode()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": half, "more_body": False})
            return
        await respond(send, status, answer, self._retry_after())

    def _grant(self, form: dict[str, Any], headers: dict[str, str], entry: Entry) -> Family:
        client_id, secret, _ = client_of(form, headers)
        if self.switches.invalid_client or (secret is not None and self.clients.get(client_id) != secret):
            raise Refusal("invalid_client", 401)
        if client_id not in self.clients:
            raise Refusal("invalid_client", 401)
        if form.get("grant_type") == "authorization_code":
            return self._exchanged(form)
        if form.get("grant_type") == "refresh_token":
            token = str(form.get("refresh_token", ""))
            family = self.consents.owner(token)
            if family is None:
                raise Refusal("invalid_grant")
            entry.family = family.id
            return self.consents.refreshed(family, token)
        raise Refusal("unsupported_grant_type")

    def _exchanged(self, form: dict[str, Any]) -> Family:
        code = self._codes.pop(str(form.get("code", "")), None)
        if code is None or form.get("redirect_uri") != code.redirect_uri:
            raise Refusal("invalid_grant")
        verifier = str(form.get("code_verifier", ""))
        if code.challenge and challenge_of(verifier) != code.challenge:
            raise Refusal("invalid_grant")
        return self.consents.renewed(self.consents.new_family(code.scope))

    # --- other routes ---------------------------------------------------------------------------------------

    def _push(self, form: dict[str, Any], headers: dict[str, str]) -> tuple[int, Any]:
        """RFC 9126 section 2."""
        client_id, secret, _ = client_of(form, headers)
        if self.switches.down:
            return self.switches.down_status, {"message": "down"}
        if self.switches.invalid_client or self.clients.get(client_id) != secret:
            return 401, {"error": "invalid_client"}
        if form.get("client_id") != client_id or "request_uri" in form:
            return 400, {"error": "invalid_request"}
        if self.switches.refuses_pushed:
            return 400, {"error": self.switches.refuses_pushed}
        request_uri = f"urn:ietf:params:oauth:request_uri:{next(self._numbers)}"
        self._waiting[request_uri] = {name: str(form[name]) for name in form if name != "client_secret"}
        self.pushed.append(self._waiting[request_uri])
        return 201, {"request_uri": request_uri, "expires_in": 60}

    def _metadata(self) -> tuple[int, Any]:
        """RFC 8414, and the same for OpenID Connect."""
        told = {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "revocation_endpoint": f"{self.url}/revoke",
            "userinfo_endpoint": f"{self.url}/userinfo",
            "pushed_authorization_request_endpoint": f"{self.url}/par",
            "response_types_supported": ["code"],
            "grant_types_supported": ["authorization_code", "refresh_token"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
            "code_challenge_methods_supported": ["S256"],
            "scopes_supported": ["openid", "profile", "email", "offline_access", "read"],
            "authorization_response_iss_parameter_supported": self.switches.sends_iss,
        }
        told |= self.switches.metadata or {}
        return 200, {name: value for name, value in told.items() if value is not None}

    def _authorize(self, query: dict[str, str]) -> tuple[int, Any] | tuple[int, Any, dict[str, str]]:
        if "request_uri" in query:
            pushed = self._waiting.pop(query["request_uri"], {})  # once
            if not pushed or query != {"client_id": pushed["client_id"], "request_uri": query["request_uri"]}:
                return 400, {"error": "invalid_request_uri"}  # nobody knows where to send the browser
            query = pushed
        elif self.switches.requires_par:
            return 400, {"error": "invalid_request"}
        back = {"state": query.get("state", "")} | ({"iss": self.url} if self.switches.sends_iss else {})
        if self.switches.denies_consent:
            back["error"] = "access_denied"
        else:
            back["code"] = self.authorize(
                redirect_uri=query["redirect_uri"],
                scope=query.get("scope", ""),
                challenge=query.get("code_challenge", ""),
            )
        return 302, {}, {"location": f"{query['redirect_uri']}?{urlencode(back)}"}

    def _revoke(self, form: dict[str, Any], headers: dict[str, str]) -> tuple[int, Any]:
        client_id, secret, _ = client_of(form, headers)
        if self.clients.get(client_id) != secret:
            return 401, {"error": "invalid_client"}
        token = str(form.get("token", ""))
        for family in self.consents:
            if self.consents.owner(token) is family or token in family.access_tokens:
                self.consents.end(family)
        return 200, {}

    def _userinfo(self, headers: dict[str, str]) -> tuple[int, Any]:
        alive = self.is_alive(headers.get("authorization", "").removeprefix("Bearer "))
        return (200, self.switches.account) if alive else (401, {"error": "invalid_token"})

    def _switch(self, form: dict[str, Any]) -> tuple[int, Any]:
        known = {switch.name for switch in fields(Switches)}
        for name, value in form.items():
            if name in known:
                setattr(self.switches, name, Rotation(value) if name == "rotation" else value)
        return 200, {}

    def _entry(self, form: dict[str, Any], headers: dict[str, str]) -> Entry:
        client_id, _, client_auth = client_of(form, headers)
        carried = str(form.get("refresh_token") or form.get("code") or "")
        return Entry(
            at=self.consents.now(),
            grant_type=str(form.get("grant_type", "")),
            fingerprint=fingerprint(Secret(carried)),
            client_id=client_id,
            client_auth=client_auth,
            outcome="pending",
            family=0,
            parameters=sorted(form),
        )

    def _retry_after(self) -> dict[str, str]:
        return {"retry-after": self.switches.retry_after} if self.switches.retry_after else {}


# --- as a real server -----------------------------------------------------------------------------------------


def _listening(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(512)  # from here on a caller waits instead of being refused
    return listener


def _uvicorn(application: AuthorizationServer, **tls: Any) -> uvicorn.Server:
    # A dropped connection is an exception in the application: intended, so nothing is logged about it.
    return uvicorn.Server(uvicorn.Config(application, log_level="critical", access_log=False, lifespan="off", **tls))


@contextmanager
def serve(port: int = 0, *, tls: Path | None = None, **switches: Any) -> Iterator[AuthorizationServer]:
    """The server on loopback, in a thread of its own; its `url` says where. `tls`: where `cert.pem` and `key.pem` lie."""
    listener = _listening(port)
    origin = "http://127.0.0.1" if tls is None else "https://localhost"
    application = AuthorizationServer(url=f"{origin}:{listener.getsockname()[1]}", **switches)
    files = {} if tls is None else {"ssl_certfile": tls / "cert.pem", "ssl_keyfile": tls / "key.pem"}
    server = _uvicorn(application, **files)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield application
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()


def main() -> None:
    """Run until the process is ended. Prints the port, then serves."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--rotation", default=Rotation.STRICT.value, choices=[kind.value for kind in Rotation])
    parser.add_argument("--delay-after", type=float, default=0.0)
    parser.add_argument("--expires-in", type=int, default=3600)
    chosen = parser.parse_args()
    listener = _listening(chosen.port)
    port = listener.getsockname()[1]
    application = AuthorizationServer(
        url=f"http://127.0.0.1:{port}",
        rotation=Rotation(chosen.rotation),
        delay_after_s=chosen.delay_after,
        expires_in=chosen.expires_in,
    )
    print(port, flush=True)
    _uvicorn(application).run(sockets=[listener])


if __name__ == "__main__":
    main()
