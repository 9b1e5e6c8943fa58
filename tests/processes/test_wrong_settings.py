"""Settings that cannot work end the process with 78 before it listens or makes anything."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"TOKENKEEP_PROT": "9000"}, ["TOKENKEEP_PROT is not a setting", "did you mean TOKENKEEP_PORT?"]),
        ({"TOKENKEEP_DEMO": "on", "TOKENKEEP_PUBLIC_URL": "https://keep.example.org"}, ["TOKENKEEP_DEMO must be off"]),
        ({"TOKENKEEP_HOST": "192.0.2.1"}, ["TOKENKEEP_PUBLIC_URL must be set"]),
        (
            {"TOKENKEEP_PORT": "canary-port", "TOKENKEEP_LOG_LEVEL": "canary-level"},
            ["TOKENKEEP_PORT must be", "TOKENKEEP_LOG_LEVEL must be"],  # all at once
        ),
        ({"TOKENKEEP_ROOT_KEY": "canary-key"}, ["TOKENKEEP_ROOT_KEY", "TOKENKEEP_ROOT_KEY_FILE"]),
        ({"TOKENKEEP_DATABASE_URL": "mysql://canary@host/name"}, ["TOKENKEEP_DATABASE_URL must begin with"]),
    ],
    ids=["unknown", "demo-in-public", "open-host", "two-at-once", "two-keys", "database"],
)
def test_what_is_wrong_is_named_and_nothing_is_made(service, settings, told):
    refused = service.run("serve", **settings)
    assert refused.returncode == 78, refused.stderr
    assert refused.stdout == ""
    assert all(words in refused.stderr for words in told), refused.stderr
    assert "canary" not in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not service.data.exists()
    assert not service.key_file.exists()


def test_a_provider_file_that_is_wrong_is_named(service, tmp_path):
    wrong = tmp_path / "providers"
    wrong.mkdir()
    (wrong / "acme.toml").write_text('id = "acme"\nnmae = "Acme"\n')
    refused = service.run("serve", TOKENKEEP_PROVIDERS_DIR=str(wrong))
    assert refused.returncode == 78
    assert "acme.toml" in refused.stderr
    assert "nmae" in refused.stderr
    assert "Traceback" not in refused.stderr
