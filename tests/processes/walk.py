"""Connecting the demo account by HTTP, as a signed-in browser does.

Owns: the way from the connect link through the demo provider's pages and back. Does not own: what is expected.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

import httpx2


@dataclass(frozen=True)
class Walked:
    """The connected credential, and the secrets that were on the way."""

    credential_id: str
    link_secret: str
    code: str
    state: str


def connect_demo(browser: httpx2.Client, name: str = "Demo") -> Walked:
    """Agree to everything as Ada."""
    link = browser.post("/v1/connect-sessions", json={"type": "demoOAuth2", "name": name})
    assert link.status_code == 201, link.text
    assert browser.get(link.json()["url"]).status_code == 200
    authorize = _led(browser.post(link.json()["url"]))
    login = _led(browser.get(authorize))
    request = _one(login, "request")
    assert browser.get(login).status_code == 200
    consent = _led(browser.post("/demo/login", data={"request": request, "person": "ada"}))
    assert browser.get(consent).status_code == 200
    scopes = ["notes.read", "notes.write", "profile"]
    callback = _led(browser.post("/demo/consent", data={"request": request, "decision": "allow", "scope": scopes}))
    assert browser.get(_led(browser.get(callback))).status_code == 200
    session = browser.get(f"/v1/connect-sessions/{link.json()['id']}").json()
    assert session["state"] == "connected", session
    return Walked(
        credential_id=session["credential_id"],
        link_secret=link.json()["url"].rpartition("/")[2],
        code=_one(callback, "code"),
        state=_one(callback, "state"),
    )


def _led(answer: httpx2.Response) -> str:
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


def _one(address: str, name: str) -> str:
    return parse_qs(urlsplit(address).query)[name][0]
