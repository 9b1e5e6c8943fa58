"""The fake provider keeps its own rules, in process and as a process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from tests.kit.authorization_server import CLIENT_ID, CLIENT_SECRET, AuthorizationServer, serve
from tokenkeep.core.model import Rotation
from tokenkeep.core.protocol import fingerprint
from tokenkeep.core.secret import Secret


class Seconds:
    """A clock for the grace."""

    def __init__(self):
        self.at = 0.0

    def __call__(self):
        return self.at


async def refresh(server, token):
    async with httpx2.AsyncClient(transport=server.transport(), base_url=server.url) as client:
        form = {"grant_type": "refresh_token", "refresh_token": token}
        return await client.post("/token", data=form, auth=(CLIENT_ID, CLIENT_SECRET))


@pytest.mark.parametrize(
    ("rotation", "replay", "newest_lives"),
    [
        (Rotation.NONE, 200, True),
        (Rotation.GRACE, 200, True),
        (Rotation.STRICT, 400, True),
        (Rotation.FAMILY, 400, False),
        (Rotation.UNKNOWN, 400, True),
    ],
)
async def test_what_a_replay_does(rotation, replay, newest_lives):
    server = AuthorizationServer(rotation=rotation)
    first = server.issue()["refresh_token"]
    newest = (await refresh(server, first)).json()["refresh_token"]
    assert (newest == first) is (rotation is Rotation.NONE)
    assert server.accepts(first) is (replay == 200)
    assert (await refresh(server, first)).status_code == replay
    assert server.accepts(newest) is newest_lives


async def test_grace_gives_the_same_answer_and_ends():
    seconds = Seconds()
    server = AuthorizationServer(rotation=Rotation.GRACE, grace_s=30, clock=seconds)
    first = server.issue()["refresh_token"]
    answer = (await refresh(server, first)).json()
    seconds.at = 30.0
    assert (await refresh(server, first)).json() == answer
    seconds.at = 30.1
    assert (await refresh(server, first)).status_code == 400


@pytest.mark.parametrize("kills", [False, True])
async def test_the_old_access_token_lives_or_dies(kills):
    server = AuthorizationServer(kills_old_access_token=kills)
    issued = server.issue()
    renewed = (await refresh(server, issued["refresh_token"])).json()
    assert server.is_alive(issued["access_token"]) is not kills
    assert server.is_alive(renewed["access_token"])


@pytest.mark.parametrize(
    ("switches", "status", "error"),
    [
        ({"down": True}, 503, None),
        ({"invalid_client": True}, 401, "invalid_client"),
        ({"invalid_client": True, "error_in_200": True}, 200, "invalid_client"),
        ({"spurious_invalid_grant": 1}, 400, "invalid_grant"),
    ],
)
async def test_refusals_spend_nothing(switches, status, error):
    server = AuthorizationServer(**switches)
    token = server.issue()["refresh_token"]
    answer = await refresh(server, token)
    assert (answer.status_code, answer.json().get("error")) == (status, error)
    assert server.accepts(token)


async def test_a_lost_answer_has_spent_the_token_and_the_journal_says_so():
    server = AuthorizationServer(loses_answers=1)
    token = server.issue()["refresh_token"]
    with pytest.raises(ConnectionResetError):
        await refresh(server, token)
    assert not server.accepts(token)
    assert [(entry.outcome, entry.fingerprint) for entry in server.refreshes()] == [
        ("lost", fingerprint(Secret(token)))
    ]


async def test_a_truncated_answer_has_spent_the_token():
    server = AuthorizationServer(truncates_answers=1)
    token = server.issue()["refresh_token"]
    assert (await refresh(server, token)).content.startswith(b'{"access_token": "at-')
    assert not server.accepts(token)


async def test_fields_can_be_left_out():
    server = AuthorizationServer(rotation=Rotation.NONE, omits_expires_in=True, omits_refresh_token=True)
    issued = server.issue()
    assert "expires_in" not in issued
    assert "refresh_token" not in (await refresh(server, issued["refresh_token"])).json()


def conversation(url):
    """Issue, refresh, look, over a real socket."""
    with httpx2.Client(base_url=url, trust_env=False) as client:
        token = client.post("/issue?count=2").json()[0]["refresh_token"]
        form = {"grant_type": "refresh_token", "refresh_token": token}
        newest = client.post("/token", data=form, auth=(CLIENT_ID, CLIENT_SECRET)).json()["refresh_token"]
        assert client.post("/accepts", json={"tokens": [token, newest]}).json() == {token: False, newest: True}
        client.post("/switches", json={"down": True})
        assert client.post("/token", data=form).status_code == 503
        journal = client.get("/journal").json()
    assert [entry["outcome"] for entry in journal] == ["granted", "down"]
    assert journal[0]["fingerprint"] == fingerprint(Secret(token))
    assert token not in str(journal)


def test_served_from_a_thread():
    with serve() as server:
        conversation(server.url)
        assert len(server.journal) == 2


def test_served_from_a_process_of_its_own():
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "tests.kit.authorization_server", "--rotation", "family-revoke"]
    environment = {"PYTHONPATH": f"{root / 'src'}:{root}"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root, env=environment) as process:
        try:
            conversation(f"http://127.0.0.1:{int(process.stdout.readline())}")
        finally:
            process.terminate()
