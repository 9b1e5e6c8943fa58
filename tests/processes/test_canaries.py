"""Known secrets, led through every part of the running service, are found nowhere they do not belong."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

from tests.processes.service import PASSWORD
from tests.processes.walk import connect_demo
from tokenkeep.main import open_house
from tokenkeep.services.sealing import open_client_secret, open_tokens
from tokenkeep.settings.environment import read

CLIENT_SECRET = "canary-client-secret-5f1b0a"
API_KEY = "canary-api-key-77c1d2"


def spellings(secret: str) -> set[bytes]:
    """The ways in which it could lie somewhere without looking like itself."""
    octets = secret.encode()
    encoded = base64.b64encode(octets).rstrip(b"=")
    return {octets, quote(secret, safe="").encode(), octets.hex().encode(), encoded, encoded[:-2]}


async def sealed(service) -> dict[str, str]:
    """What only the database knows, opened with the service's own key."""
    house = await open_house(read(service.environment))
    try:
        ((workspace_id, _),) = await house.database.accounts.workspaces()
        envelope = house.cases.tokens.envelope
        (listed,) = await house.database.status.upcoming(workspace_id, limit=5)
        grant = await house.database.grants.get(workspace_id, listed.credential_id)
        client = await house.database.clients.for_provider(workspace_id, "demo")
        tokens = await open_tokens(envelope, grant)
        return {
            "refresh token": tokens.refresh_token.reveal(),
            "latest access token": tokens.access_token.reveal(),
            "demo client secret": (await open_client_secret(envelope, client)).reveal(),
        }
    finally:
        await house.stop()


def its_own(name: str, place: str) -> bool:
    """The demo provider is the other side: what a client sent it, it may keep while a person decides."""
    return name == "state" and place.startswith("demo.sqlite3")


async def test_no_secret_is_in_logs_files_or_metrics(service):
    service.settings["TOKENKEEP_LOG_LEVEL"] = "debug"
    service.start()
    key = service.command("keys", "create", "--name", "nodes", "--scopes", "tokens:read,credentials:write,admin")
    link = service.command("sign-in-link")
    with service.signed_in(link) as browser:
        walked = connect_demo(browser)
        cookie = browser.cookies["tokenkeep-session"]
        browser.post("/login", data={"email": "ada@example.org", "password": "canary wrong password"})
    with service.client(key) as node:
        client = {"client_id": "canary-client", "client_secret": CLIENT_SECRET}
        assert node.put("/v1/clients/github", json=client).status_code in {200, 201}
        kept = node.post(
            "/v1/credentials", json={"type": "openAIApi", "name": "Key", "values": {"openAIApiKey": API_KEY}}
        )
        assert kept.status_code == 201, kept.text
        assert node.get(f"/v1/credentials/{kept.json()['id']}/values").json()["values"]["openAIApiKey"] == API_KEY
        old = node.get(f"/v1/credentials/{walked.credential_id}/token").json()
        node.get(f"/v1/credentials/{walked.credential_id}/authorization")
        node.get(f"/v1/credentials?access_token={API_KEY}")  # where a careless program puts one
        node.get(f"/sign-in/{API_KEY}")
        metrics = node.get("/metrics").content
    secrets = {
        "service key": key,
        "sign-in secret": link.rpartition("/")[2],
        "password": PASSWORD,
        "wrong password": "canary wrong password",
        "client secret": CLIENT_SECRET,
        "API key": API_KEY,
        "access token": old["access_token"],
        "session cookie": cookie,
        "code": walked.code,
        "state": walked.state,
        "connect link": walked.link_secret,
        "root key": json.loads(service.key_file.read_text())["keys"][0]["key"],
    }
    places = {"metrics": metrics} | {
        path.name: path.read_bytes()
        for path in service.folder.rglob("*")
        if path.is_file() and path != service.key_file
    }
    assert {"out", "err", "tokenkeep.sqlite3", "tokenkeep.sqlite3-wal"} <= set(places)
    assert (
        walked.credential_id.encode() in places["tokenkeep.sqlite3"] + places["tokenkeep.sqlite3-wal"]
    )  # it does look
    assert service.stop() == 0
    secrets |= await sealed(service)
    places["err at the end"] = (service.folder / "err").read_bytes()
    places["database at the end"] = service.database.read_bytes()
    leaks = [
        f"{name} in {place}"
        for name, secret in secrets.items()
        for place, octets in places.items()
        if not its_own(name, place) and any(spelling in octets for spelling in spellings(secret))
    ]
    assert not leaks
