"""A provider of one's own: discovered over TLS, checked, put in its place, registered, connected."""

from __future__ import annotations

import ssl
import tomllib
from urllib.parse import parse_qsl, urlsplit

import httpx2
import pytest

from tests.adapters.test_outbound import certificate
from tests.kit.authorization_server import CLIENT_ID, CLIENT_SECRET, serve
from tests.processes.service import Service

ACCOUNT = {"sub": "acc-1", "name": "Ada Lovelace"}


@pytest.fixture
def trusted(tmp_path):
    """(folder of the certificate, settings that let localhost through)"""
    certificate("localhost", tmp_path)
    allowed = {"TOKENKEEP_OUTBOUND_ALLOW": "localhost", "TOKENKEEP_CA_FILE": str(tmp_path / "cert.pem")}
    return tmp_path, allowed


def test_from_the_issuers_address_to_a_connected_account(trusted, tmp_path, running):
    folder, allowed = trusted
    mine = tmp_path / "mine"
    mine.mkdir()
    service = running(Service(tmp_path / "service", TOKENKEEP_PROVIDERS_DIR=str(mine), **allowed))
    with serve(tls=folder, requires_par=True, account=ACCOUNT) as server:
        drafted = service.run("providers", "discover", server.url, "--name", "Of mine", "--id", "mine")
        assert (drafted.returncode, drafted.stderr) == (0, "")
        assert tomllib.loads(drafted.stdout)["name"] == "Of mine"
        (mine / "mine.toml").write_text(drafted.stdout, encoding="utf-8")
        assert service.command("providers", "check", str(mine)) == "1 provider files are in order."
        assert "provider files are in order" in service.command("providers", "check")

        service.start()
        with service.signed_in() as browser:
            client = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
            assert browser.put("/v1/clients/mine", json=client).status_code in {200, 201}
            session = connected(browser, server.url, folder)
            view = browser.get(f"/v1/credentials/{session['credential_id']}").json()
            assert (view["state"], view["account"]["id"], view["account"]["name"]) == ("connected", *ACCOUNT.values())
        service.stop()  # the server waits for its connections
        (pushed,) = server.pushed
        assert pushed["scope"] == "openid profile email offline_access"


def connected(browser, server_url, folder):
    """Through the consent, as a browser that trusts the server."""
    made = browser.post("/v1/connect-sessions", json={"type": "mineOAuth2"})
    assert made.status_code == 201, made.text
    away = browser.post(made.json()["url"]).headers["location"]
    assert dict(parse_qsl(urlsplit(away).query)).keys() == {"client_id", "request_uri"}
    assert away.startswith(server_url)
    with httpx2.Client(verify=ssl.create_default_context(cafile=folder / "cert.pem")) as outside:
        back = outside.get(away).headers["location"]
    assert browser.get(back).status_code == 303
    session = browser.get(f"/v1/connect-sessions/{made.json()['id']}").json()
    assert session["state"] == "connected", session
    return session


@pytest.mark.parametrize(
    ("arguments", "metadata", "status", "told"),
    [
        (["http://issuer.example.com"], None, 1, "begins with `https://`"),
        (["{url}"], {"issuer": "https://other.example.com"}, 1, "speaks for another issuer"),
        (["{url}"], {"token_endpoint": "http://localhost/token"}, 1, "`token_endpoint`"),
        (["{url}", "--id", "No Id"], None, 1, "id: use lower-case letters"),
        ([], None, 2, "ISSUER"),
    ],
)
def test_what_cannot_be_drafted_is_told_in_words(trusted, tmp_path, arguments, metadata, status, told):
    folder, allowed = trusted
    with serve(tls=folder, metadata=metadata) as server:
        service = Service(tmp_path / "service", **allowed)
        done = service.run("providers", "discover", *(one.format(url=server.url) for one in arguments))
    assert (done.returncode, done.stdout) == (status, "")
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert not service.data.exists(), "asking needs no database"


def test_a_server_on_a_private_network_is_asked_only_where_it_is_let_through(trusted, tmp_path):
    folder, _ = trusted
    with serve(tls=folder) as server:
        done = Service(tmp_path / "service").run("providers", "discover", server.url)
    assert (done.returncode, done.stdout) == (1, "")
    assert "TOKENKEEP_OUTBOUND_ALLOW" in done.stderr
