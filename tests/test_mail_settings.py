"""The settings of mail: all or none, and no password is told."""

import pytest

from tokenkeep.core.errors import Misconfigured
from tokenkeep.settings import pop_secrets, read

CANARY = "canary-mail-77f0"
MAIL = {
    "TOKENKEEP_SMTP_URL": "smtp://keeper@mail.example.org:587",
    "TOKENKEEP_MAIL_FROM": "keeper@example.org",
    "TOKENKEEP_MAIL_TO": "ada@example.org, ops+alerts@example.org",
}


def refusal(given):
    with pytest.raises(Misconfigured) as caught:
        read({"HOME": "/home/someone"} | given)
    return caught.value.message


def test_without_settings_there_is_no_mail():
    found = read({"HOME": "/home/someone"})
    assert (found.smtp_url, found.mail_from, found.mail_to) == (None, "", ())


def test_mail_is_set_up_and_its_password_comes_from_a_file(tmp_path):
    file = tmp_path / "password"
    file.write_text(f"{CANARY}/@\n")
    found = read({"HOME": "/home/someone"} | MAIL | {"TOKENKEEP_SMTP_PASSWORD_FILE": str(file)})
    assert found.smtp_url.reveal() == f"smtp://keeper:{CANARY}%2F%40@mail.example.org:587"
    assert (found.mail_from, found.mail_to) == ("keeper@example.org", ("ada@example.org", "ops+alerts@example.org"))
    assert CANARY not in repr(found)


def test_the_url_leaves_the_environment():
    environ = dict(MAIL)
    pop_secrets(environ)
    assert set(MAIL) - set(environ) == {"TOKENKEEP_SMTP_URL"}


@pytest.mark.parametrize("missing", MAIL)
def test_half_of_it_is_refused_by_the_name_of_what_is_missing(missing):
    told = refusal({name: value for name, value in MAIL.items() if name != missing})
    assert told.startswith(f"{missing} must be set")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TOKENKEEP_SMTP_URL", f"https://user:{CANARY}@mail.example.org"),
        ("TOKENKEEP_SMTP_URL", f"smtp://user:{CANARY}@"),
        ("TOKENKEEP_SMTP_URL", f"smtp://mail.example.org/{CANARY}"),
        ("TOKENKEEP_SMTP_URL", "smtp://mail.example.org:0"),
        ("TOKENKEEP_SMTP_URL", "smtp://mail.example.org:99999"),
        ("TOKENKEEP_MAIL_FROM", "Keeper <keeper@example.org>"),
        ("TOKENKEEP_MAIL_TO", "ada@example.org\nBcc: eve@example.org"),
        ("TOKENKEEP_MAIL_TO", "ada"),
        ("TOKENKEEP_SMTP_PASSWORD_FILE", "/nowhere/at/all"),
    ],
)
def test_what_cannot_be_used_is_named_and_not_quoted(name, value):
    told = refusal(MAIL | {name: value})
    assert name in told
    assert CANARY not in told


def test_a_password_file_without_a_server_is_refused():
    assert "TOKENKEEP_SMTP_PASSWORD_FILE must go with" in refusal({"TOKENKEEP_SMTP_PASSWORD_FILE": "/some/file"})
