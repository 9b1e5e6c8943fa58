"""What is kept over a restart, and what the root key has to do with it."""

from __future__ import annotations

import shutil
import stat
import time
from pathlib import Path

from tests.processes.walk import connect_demo


def modes(folder: Path) -> dict[str, str]:
    return {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in folder.rglob("*") if path.is_file()}


def content(folder: Path) -> dict[str, bytes]:
    """What a start that is refused must leave as it was. SQLite's index of its log is memory, not content."""
    return {
        str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.suffix != ".sqlite3-shm"
    }


def test_everything_is_still_there(service):
    service.start()
    with service.signed_in() as browser:
        walked = connect_demo(browser, "Kept")
        cookies = dict(browser.cookies)
    key = service.command("keys", "create", "--name", "nodes", "--scopes", "tokens:read")
    before = service.token(key, walked.credential_id).json()
    root_key = service.key_file.read_bytes()
    assert service.stop() == 0, service.said()
    assert not {f"{service.database.name}-wal"} & set(modes(service.data))  # everything is in the one file
    service.start()
    with service.client() as browser:
        browser.cookies.update(cookies)
        assert "Kept" in browser.get("/credentials").text
        answer = browser.post("/login", data={"email": "ada@example.org", "password": "canary battery staple"})
        assert answer.status_code == 303, answer.text
    rejected = {"rejected": before["fingerprint"]}
    with service.client(key) as node:
        path = f"/v1/credentials/{walked.credential_id}/token/refresh"
        answer = node.post(path, json=rejected)
        for _ in range(40):  # a token this young is not refreshed at once
            if answer.status_code == 200:
                break
            time.sleep(0.5)
            answer = node.post(path, json=rejected)
    assert answer.status_code == 200, answer.text
    assert answer.json()["access_token"] != before["access_token"]
    assert service.key_file.read_bytes() == root_key


def test_files_are_their_owners_alone_and_the_key_lies_elsewhere(service):
    service.start()
    found = modes(service.data)
    assert {"tokenkeep.sqlite3", "tokenkeep.sqlite3-wal", "tokenkeep.sqlite3-shm", "tokenkeep.lock"} <= set(found)
    assert set(found.values()) == {"0o600"}
    assert stat.S_IMODE(service.data.stat().st_mode) == 0o700
    assert stat.S_IMODE(service.key_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(service.key_file.parent.stat().st_mode) == 0o700
    assert service.data not in service.key_file.parents


def test_without_its_root_key_it_does_not_start(service):
    service.start()
    assert service.stop() == 0
    service.key_file.rename(service.key_file.with_suffix(".away"))
    before = content(service.data)
    refused = service.run("serve")
    assert refused.returncode == 78
    assert str(service.key_file) in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not service.key_file.exists()  # a new one would open nothing
    assert content(service.data) == before


def test_with_another_root_key_it_does_not_start_and_writes_nothing(service, running, tmp_path):
    service.start()
    assert service.stop() == 0
    shutil.copy(service.key_file, tmp_path / "right")
    other = tmp_path / "other" / "config" / "root.json"
    assert (
        service.run(
            "doctor", TOKENKEEP_DATA_DIR=str(tmp_path / "x" / "d"), TOKENKEEP_ROOT_KEY_FILE=str(other)
        ).returncode
        == 0
    )
    service.key_file.write_bytes(other.read_bytes())
    before = content(service.data)
    refused = service.run("serve")
    assert refused.returncode == 78, refused.stderr
    assert "root key" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert content(service.data) == before
    (tmp_path / "right").replace(service.key_file)
    service.start()


def test_a_key_file_that_others_can_read_is_refused(service):
    service.start()
    assert service.stop() == 0
    service.key_file.chmod(0o644)
    refused = service.run("serve")
    assert refused.returncode == 78
    assert "chmod 600" in refused.stderr
