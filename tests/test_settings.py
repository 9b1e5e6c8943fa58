"""The settings: defaults, checks, and that each is documented."""

import re
from pathlib import Path

import pytest

from tokenkeep.core.errors import Misconfigured
from tokenkeep.settings import SETTINGS, pop_secrets, public_origin, read

HOME = {"HOME": "/home/someone"}
REFERENCE = Path(__file__).parent.parent / "docs" / "reference" / "settings.md"
CANARY = "canary-5f1c9a"


def settings(**given):
    return read(HOME | {f"TOKENKEEP_{name}": value for name, value in given.items()})


def refusal(**given):
    with pytest.raises(Misconfigured) as caught:
        settings(**given)
    return caught.value.message


def test_nothing_set_is_a_local_trial_with_the_demo_on():
    found = settings()
    assert (found.host, found.port, found.public_url) == ("127.0.0.1", 8420, "http://127.0.0.1:8420")
    assert found.data_dir == Path("/home/someone/.local/share/tokenkeep")
    assert found.database_url.reveal() == "sqlite+aiosqlite:////home/someone/.local/share/tokenkeep/tokenkeep.sqlite3"
    assert found.root_key is None
    assert found.root_key_file == Path("/home/someone/.config/tokenkeep/keys/root.json")
    assert (found.demo, found.embedded) == (True, True)
    assert (found.outbound_allow, found.return_origins, found.trusted_proxies) == ((), (), ())
    assert (found.log_format, found.log_level) == ("text", "info")


def test_the_base_directories_follow_the_xdg_variables_when_they_are_absolute():
    found = read(HOME | {"XDG_DATA_HOME": "/srv/data", "XDG_CONFIG_HOME": "relative"})
    assert found.data_dir == Path("/srv/data/tokenkeep")
    assert found.root_key_file == Path("/home/someone/.config/tokenkeep/keys/root.json")


def test_the_database_lies_in_the_data_directory_unless_it_is_named():
    assert settings(DATA_DIR="/srv/t").database_url.reveal() == "sqlite+aiosqlite:////srv/t/tokenkeep.sqlite3"
    named = settings(DATABASE_URL="postgresql+asyncpg://db.example.org/tokenkeep")
    assert named.database_url.reveal() == "postgresql+asyncpg://db.example.org/tokenkeep"
    assert not named.embedded


def test_a_variable_set_to_nothing_counts_as_not_set():
    empty = {setting.name: "  " for setting in SETTINGS}
    assert read(HOME | empty) == read(HOME)


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ({"HOST": "localhost", "PORT": "9000"}, "http://localhost:9000"),
        ({"HOST": "::1"}, "http://[::1]:8420"),
        ({"HOST": "0.0.0.0"}, "http://127.0.0.1:8420"),
        ({"PUBLIC_URL": "https://Keys.Example.org/"}, "https://keys.example.org"),
        ({"PUBLIC_URL": "https://keys.example.org:443"}, "https://keys.example.org"),
        ({"PUBLIC_URL": "https://keys.example.org:8443"}, "https://keys.example.org:8443"),
        ({"PUBLIC_URL": "http://127.0.0.1:1234"}, "http://127.0.0.1:1234"),
        ({"HOST": "10.1.2.3", "PUBLIC_URL": "https://keys.example.org"}, "https://keys.example.org"),
    ],
)
def test_the_public_url(given, url):
    assert settings(**given).public_url == url


@pytest.mark.parametrize(
    "text",
    [
        "keys.example.org",
        "ftp://keys.example.org",
        "http://keys.example.org",
        "https://keys.example.org/base",
        "https://keys.example.org/?",
        "https://keys.example.org/#top",
        "https://user@keys.example.org",
        "https://keys.example.org:99999",
        "https://keys_example.org",
        "https://",
        "https://[::1",
        "http://127.0.0.1.example.org",
        "http://localhost.example.org",
    ],
)
def test_what_is_no_public_origin(text):
    with pytest.raises(ValueError):
        public_origin(text)
    assert "TOKENKEEP_PUBLIC_URL" in refusal(PUBLIC_URL=text)
    assert "TOKENKEEP_RETURN_ORIGINS" in refusal(RETURN_ORIGINS=text)


@pytest.mark.parametrize(
    ("given", "on"),
    [
        ({}, True),
        ({"HOST": "localhost"}, True),
        ({"HOST": "0.0.0.0"}, False),
        ({"PUBLIC_URL": "https://keys.example.org"}, False),
        ({"PUBLIC_URL": "http://localhost:8420"}, False),
        ({"PUBLIC_URL": "http://localhost:8420", "DEMO": "on"}, True),
        ({"DEMO": "OFF"}, False),
    ],
)
def test_when_the_demo_provider_is_there(given, on):
    assert settings(**given).demo is on


@pytest.mark.parametrize(
    "given",
    [
        {"PUBLIC_URL": "https://keys.example.org"},
        {"HOST": "0.0.0.0"},
        {"HOST": "10.0.0.1", "PUBLIC_URL": "https://keys.example.org"},
    ],
)
def test_the_demo_provider_is_refused_where_others_can_reach_it(given):
    assert "TOKENKEEP_DEMO must be off" in refusal(DEMO="on", **given)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HOST", "not a host"),
        ("HOST", "http://127.0.0.1"),
        ("HOST", "192.168.0.7"),  # others can reach it, so it needs a public URL
        ("PORT", "0"),
        ("PORT", "65536"),
        ("PORT", "84.2"),
        ("PORT", "٨٤٢٠"),
        ("DATABASE_URL", "postgresql://db/tokenkeep"),
        ("DATABASE_URL", "postgresql+asyncpg://db"),
        ("DATABASE_URL", "sqlite+aiosqlite://host/file"),
        ("DATABASE_URL", "sqlite+aiosqlite:///:memory:"),
        ("DATA_DIR", __file__),
        ("PROVIDERS_DIR", "/nowhere/at/all"),
        ("CA_FILE", "/nowhere/at/all"),
        ("CA_FILE", __file__),
        ("SPILL", "sometimes"),
        ("DEMO", "yes"),
        ("OUTBOUND_ALLOW", "http://10.0.0.1"),
        ("OUTBOUND_ALLOW", "10.0.0.1/40"),
        ("OUTBOUND_ALLOW", "10.0.0.300"),
        ("OUTBOUND_ALLOW", "*"),
        ("TRUSTED_PROXIES", "proxy.example.org"),
        ("REFRESH_TICK_S", "0"),
        ("REFRESH_TICK_S", "nan"),
        ("REFRESH_TICK_S", "1e3"),
        ("LOG_FORMAT", "xml"),
        ("LOG_LEVEL", "loud"),
    ],
)
def test_what_is_refused_is_named_and_not_quoted(name, value):
    told = refusal(**{name: value})
    assert told.startswith("TOKENKEEP_")
    assert len(value) < 3 or value not in told


def test_lists_are_read_and_put_in_one_form():
    found = settings(
        OUTBOUND_ALLOW="10.0.0.0/8, 127.0.0.1,[::1],GitLab.Example.org, ,localhost",
        TRUSTED_PROXIES="172.18.0.5/16,::1",
        RETURN_ORIGINS="https://app.example.org/,http://localhost:3000",
    )
    assert found.outbound_allow == ("10.0.0.0/8", "127.0.0.1/32", "::1/128", "gitlab.example.org", "localhost")
    assert found.trusted_proxies == ("172.18.0.0/16", "::1/128")
    assert found.return_origins == ("https://app.example.org", "http://localhost:3000")


def test_unknown_names_are_reported_with_the_nearest_one():
    told = refusal(DATABSE_URL=CANARY, COLOUR="blue", PRT="1")
    assert "TOKENKEEP_DATABSE_URL is not a setting; did you mean TOKENKEEP_DATABASE_URL?" in told
    assert "TOKENKEEP_PRT is not a setting; did you mean TOKENKEEP_PORT?" in told
    assert "TOKENKEEP_COLOUR is not a setting." in told
    assert CANARY not in told


def test_names_of_the_test_suite_are_passed_over():
    assert settings(TEST_POSTGRES="postgresql://…") == settings()


def test_all_problems_are_told_at_once():
    told = refusal(PORT="x", LOG_LEVEL="x", NONSENSE="x").splitlines()
    assert len(told) == 3


def test_two_root_keys_are_refused():
    told = refusal(ROOT_KEY=CANARY, ROOT_KEY_FILE="/run/secrets/root-key")
    assert "TOKENKEEP_ROOT_KEY and TOKENKEEP_ROOT_KEY_FILE are both set" in told
    assert CANARY not in told


def test_the_database_password_comes_from_a_file(tmp_path):
    file = tmp_path / "password"
    file.write_text(f"{CANARY}/@:%\n")
    found = settings(DATABASE_URL="postgresql+asyncpg://keeper@db:5432/t", DATABASE_PASSWORD_FILE=str(file))
    assert found.database_url.reveal() == f"postgresql+asyncpg://keeper:{CANARY}%2F%40%3A%25@db:5432/t"


@pytest.mark.parametrize(
    ("url", "content"),
    [
        ("postgresql+asyncpg://db/t", CANARY),  # no user
        (f"postgresql+asyncpg://keeper:{CANARY}@db/t", CANARY),  # two passwords
        ("sqlite+aiosqlite:////srv/t.sqlite3", CANARY),
        ("postgresql+asyncpg://keeper@db/t", "\n"),
        ("postgresql+asyncpg://keeper@db/t", None),
    ],
)
def test_a_password_file_that_cannot_be_used_is_refused(tmp_path, url, content):
    file = tmp_path / "password"
    if content is not None:
        file.write_text(content)
    told = refusal(DATABASE_URL=url, DATABASE_PASSWORD_FILE=str(file))
    assert "TOKENKEEP_DATABASE_PASSWORD_FILE" in told
    assert CANARY not in told


def test_secrets_print_as_stars_and_leave_the_environment():
    environ = HOME | {
        "TOKENKEEP_ROOT_KEY": CANARY,
        "TOKENKEEP_DATABASE_URL": f"postgresql+asyncpg://keeper:{CANARY}@db/t",
        "TOKENKEEP_PORT": "8421",
    }
    found = read(environ)
    assert CANARY not in repr(found)
    assert found.root_key.reveal() == CANARY
    pop_secrets(environ)
    assert CANARY not in repr(environ)
    assert environ["TOKENKEEP_PORT"] == "8421"


def test_a_relative_path_becomes_absolute_and_a_link_stays_a_link(tmp_path):
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "elsewhere")
    assert settings(ROOT_KEY_FILE=str(link)).root_key_file == link
    assert settings(DATA_DIR="var").data_dir == Path.cwd() / "var"


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_each_setting_is_documented(setting):
    text = REFERENCE.read_text(encoding="utf-8")
    _, found, rest = text.partition(f"### {setting.name}\n")
    assert found, f"{setting.name} has no heading in {REFERENCE.name}"
    section = re.split(r"^##", rest, maxsplit=1, flags=re.MULTILINE)[0]
    prose = " ".join(section.split())
    assert prose.startswith(setting.meaning)
    assert f"Type: {setting.type}" in prose
    assert (f"Default: `{setting.default}`" if setting.default else "Default: none") in prose


def test_the_reference_has_no_heading_for_what_is_no_setting():
    headings = re.findall(r"^### (\S+)$", REFERENCE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert sorted(headings) == sorted(setting.name for setting in SETTINGS)
