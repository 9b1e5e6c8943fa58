"""Commands beside a running service: they print what was asked for and nothing else, and take effect at once."""

from __future__ import annotations

import re
import time

KEY = re.compile(r"tk_[a-z0-9]{8}_[A-Za-z0-9]{43}_[a-z0-9]{6}")


def test_keys_and_links_are_made_beside_a_running_service(service):
    service.start()
    made = service.run("keys", "create", "--name", "nodes", "--scopes", "tokens:read,credentials:read")
    assert made.returncode == 0, made.stderr
    assert KEY.fullmatch(made.stdout.rstrip("\n")), made.stdout
    key = made.stdout.strip()
    assert key not in made.stderr
    with service.client(key) as node:
        assert node.get("/v1/credentials").status_code == 200
        key_id = key.split("_")[1]
        listed = service.run("keys", "list")
        assert key_id in listed.stdout
        assert "valid" in listed.stdout
        assert key not in listed.stdout
        revoked = service.run("keys", "revoke", key_id)
        assert (revoked.returncode, revoked.stdout) == (0, "")
        assert node.get("/v1/credentials").status_code == 401  # at once, although it was believed a moment ago
    assert service.run("keys", "revoke", "nosuchid").returncode == 1


def test_a_sign_in_link_is_the_only_line_printed_and_works_once(service):
    service.start()
    made = service.run("sign-in-link")
    assert made.returncode == 0, made.stderr
    link = made.stdout.rstrip("\n")
    assert re.fullmatch(rf"{service.url}/sign-in/\S{{40,}}", link), made.stdout
    assert link.rpartition("/")[2] not in made.stderr
    with service.signed_in(link) as browser:
        assert browser.get("/status").status_code == 200
    with service.client() as other:
        assert other.get(link).status_code == 404


def test_the_link_that_the_first_start_prints_works(service):
    service.start()
    deadline = time.monotonic() + 5  # it greets a moment after it is ready
    while not (link := re.search(rf"{service.url}/sign-in/\S+\n", (service.folder / "out").read_text())):
        assert time.monotonic() < deadline, service.said()
        time.sleep(0.02)
    with service.signed_in(link.group().strip()) as browser:
        assert browser.get("/").status_code == 200


def test_a_second_service_on_the_same_directory_is_refused(service):
    service.start()
    second = service.run("serve", TOKENKEEP_PORT="1")
    assert second.returncode == 78
    assert second.stdout == ""
    assert f"Another Tokenkeep already runs on {service.data}" in second.stderr
    assert "TOKENKEEP_DATA_DIR" in second.stderr
    assert "Traceback" not in second.stderr
    with service.client() as browser:
        assert browser.get("/readyz").status_code == 200


def test_an_address_in_use_is_told_in_words(service, tmp_path):
    service.start()
    second = service.run(
        "serve",
        TOKENKEEP_DATA_DIR=str(tmp_path / "other" / "data"),
        TOKENKEEP_ROOT_KEY_FILE=str(tmp_path / "other-key" / "keys" / "root.json"),
    )
    assert second.returncode not in {0, -9}
    assert "Traceback" not in second.stderr
    assert "address" in second.stderr.lower()


def test_a_migration_beside_a_running_service_changes_nothing(service):
    service.start()
    assert re.fullmatch(r"\S+", service.command("migrate"))
    assert service.run("doctor").returncode == 0
