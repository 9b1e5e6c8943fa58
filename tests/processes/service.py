"""Real processes of the service: starting, asking, ending them; and putting a credential into their database.

Owns: where such a process keeps its things, and what it said. Does not own: what is expected of it; the tests say it.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import httpx2

from tests.kit import builders
from tests.kit.authorization_server import CLIENT_ID, CLIENT_SECRET, AuthorizationServer
from tokenkeep.core.permissions import system
from tokenkeep.core.secret import Secret
from tokenkeep.main import open_house
from tokenkeep.services.sealing import client_place, seal_tokens
from tokenkeep.settings.environment import read

TOP = Path(__file__).parents[2]
FAKE = ("-m", "tests.processes.with_fake_provider")
PLAIN = ("-m", "tokenkeep")
PATIENCE_S = 30
PASSWORD = "canary battery staple"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Service:
    """One service process and its commands. Everything it keeps lies under `folder`."""

    def __init__(
        self, folder: Path, *, program: tuple[str, ...] = PLAIN, python: str = sys.executable, **settings: str
    ):
        self.folder, self.program, self.python = folder, program, python
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.data, self.key_file = folder / "share" / "data", folder / "config" / "keys" / "root.json"
        self.settings = {
            "TOKENKEEP_PORT": str(self.port),
            "TOKENKEEP_DATA_DIR": str(self.data),
            "TOKENKEEP_ROOT_KEY_FILE": str(self.key_file),
        } | settings
        self.process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def database(self) -> Path:
        return self.data / "tokenkeep.sqlite3"

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "PYTHONPATH": f"{TOP / 'src'}:{TOP}",
            "PYTHONDONTWRITEBYTECODE": "1",
        } | self.settings

    # --- running ------------------------------------------------------------------------------------------------

    def spawn(self, *, cwd: Path = TOP) -> Service:
        """Start `serve` without waiting. What it says is appended to `out` and `err`."""
        with (self.folder / "out").open("ab") as out, (self.folder / "err").open("ab") as err:
            command = [self.python, *self.program, "serve"]
            self.process = subprocess.Popen(
                command, cwd=cwd, env=self.environment, stdin=subprocess.DEVNULL, stdout=out, stderr=err
            )
        return self

    def start(self, *, cwd: Path = TOP) -> Service:
        """Start `serve` and wait until it is ready."""
        self.spawn(cwd=cwd)
        self.wait_until_ready()
        return self

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            assert self.process is not None
            assert self.process.poll() is None, self.said()
            try:
                if httpx2.get(f"{self.url}/readyz", timeout=5).status_code == 200:
                    return
            except httpx2.TransportError:
                time.sleep(0.02)
        raise AssertionError(f"never ready: {self.said()}")

    def tell(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self, patience_s: float = PATIENCE_S) -> int:
        """The exit code."""
        assert self.process is not None
        return self.process.wait(patience_s)

    def stop(self, number: int = signal.SIGTERM, *, patience_s: float = PATIENCE_S) -> int:
        self.tell(number)
        return self.wait(patience_s)

    def kill(self) -> None:
        """At the end of a test, and as a power cut in one."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def run(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """A command beside the service."""
        return subprocess.run(
            [self.python, *self.program, *arguments],
            cwd=TOP,
            env=self.environment | settings,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def command(self, *arguments: str) -> str:
        """What a command that works prints."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout.rstrip("\n")

    def said(self) -> str:
        """Standard output and error of every run so far."""
        return "".join((self.folder / name).read_text(errors="replace") for name in ("out", "err"))

    # --- asking --------------------------------------------------------------------------------------------------

    def client(self, key: str = "") -> httpx2.Client:
        headers = {"Authorization": f"Bearer {key}"} if key else {"Origin": self.url}
        return httpx2.Client(base_url=self.url, headers=headers, timeout=30)

    @contextmanager
    def signed_in(self, link: str = "") -> Iterator[httpx2.Client]:
        """A browser with a session, by way of a fresh one-time link; the first one makes the account."""
        path = (link or self.command("sign-in-link")).removeprefix(self.url)
        form = {"email": "ada@example.org", "name": "Ada", "password": PASSWORD, "repeated": PASSWORD}
        with self.client() as browser:
            answer = browser.post(path, data=form)
            assert answer.status_code == 303, answer.text
            yield browser

    def token(self, key: str, credential_id: str) -> httpx2.Response:
        with self.client(key) as node:
            return node.get(f"/v1/credentials/{credential_id}/token")


def beside_the_provider(folder: Path, provider: AuthorizationServer, **settings: str) -> Service:
    """A service that knows that provider."""
    known = {
        "TOKENKEEP_TEST_PROVIDER": f"{provider.url} {provider.switches.rotation}",
        "TOKENKEEP_OUTBOUND_ALLOW": "127.0.0.1",
        "TOKENKEEP_DEMO": "off",
    }
    return Service(folder, program=FAKE, **known | settings)


@dataclass(frozen=True)
class Stored:
    """One connected credential in the database, and a key that reads it."""

    credential_id: str
    key: str
    access_token: str


async def store_connected(
    service: Service,
    provider: AuthorizationServer,
    *,
    expires_in: timedelta,
    sweep_in: timedelta = timedelta(hours=1),
    name: str = "credential-1",
) -> Stored:
    """A consent of the fake provider whose access token ends in `expires_in`; a sweep would come in `sweep_in`."""
    house = await open_house(read(service.environment))
    try:
        await house.cases.accounts.ensure_workspace()
        ((workspace_id, _),) = await house.database.accounts.workspaces()
        envelope, issued = house.cases.clients.envelope, provider.issue()
        client = builders.client(workspace_id=workspace_id, provider="fake", client_id=CLIENT_ID)
        sealed = await envelope.seal(CLIENT_SECRET.encode(), client_place(client))
        await house.database.clients.put(replace(client, secret_sealed=sealed))
        now = await house.database.grants.now()
        times = {"created_at": now, "updated_at": now}
        credential = builders.credential(id=name, name=name, workspace_id=workspace_id, type="fakeOAuth2", **times)
        event = builders.event(id=f"created-{name}", workspace_id=workspace_id, credential_id=credential.id, at=now)
        await house.database.credentials.add(credential, event)
        standing = builders.standing(expires_at=now + expires_in, next_refresh_at=now + sweep_in)
        grant = builders.grant(
            workspace_id=workspace_id,
            credential_id=credential.id,
            client=client.id,
            provider="fake",
            standing=standing,
            connected_at=now - timedelta(hours=1),
        )
        tokens = builders.token_set(
            access_token=Secret(issued["access_token"]),
            refresh_token=Secret(issued["refresh_token"]),
            expires_at=standing.expires_at,
        )
        told = builders.event(id=f"connected-{name}", workspace_id=workspace_id, credential_id=credential.id, at=now)
        await house.database.grants.connect(await seal_tokens(envelope, grant, tokens), told)
        _, key = await house.cases.service_keys.create(system(workspace_id), name="nodes", scopes={"tokens:read"})
        return Stored(credential.id, key.reveal(), issued["access_token"])
    finally:
        await house.stop()
