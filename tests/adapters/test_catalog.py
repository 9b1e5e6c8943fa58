"""Many provider files together: names, icons, reading again."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.adapters.provider_files import GOOD, changed, written
from tokenkeep.adapters.catalog import Catalog, Problem, problems
from tokenkeep.core.errors import NotFound, ProviderFileInvalid, UnknownType
from tokenkeep.core.model import FieldKind, Rotation

SECOND = """\
id = "second"
name = "Second"
[[types]]
name = "secondApi"
label = "A second"
popularity = 9
[[types.fields]]
name = "key"
label = "Key"
"""


def catalog(*folders: Path, **options: object) -> Catalog:
    return Catalog.load(folders, **({"demo_public_url": None} | options))  # type: ignore[arg-type]


def age(path: Path) -> None:
    """Make the change visible even where file times are coarse."""
    facts = path.stat()
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns + 1_000_000))


def test_a_file_becomes_a_provider_and_its_types(tmp_path: Path) -> None:
    written(tmp_path)
    loaded = catalog(tmp_path)
    provider, oauth, static = loaded.provider("acme"), loaded.type("acmeOAuth2"), loaded.type("acmeApi")
    assert provider.token_endpoint == "https://{team}.acme.com/token"
    assert provider.rotation is Rotation.STRICT
    assert provider.quirks == {"error_in_200"}
    assert provider.hosts == {"api.acme.com", "{team}.acme.com"}
    assert [variable.name for variable in provider.variables] == ["team"]
    assert (oauth.oauth, oauth.scopes, oauth.provider) == (True, ("read",), "acme")
    assert oauth.injection is not None
    assert oauth.injection.headers == {"Authorization": "Bearer {access_token}"}
    assert oauth.test == provider.account
    assert [(field.name, field.kind, field.secret) for field in static.fields] == [
        ("key", FieldKind.SECRET, True),
        ("region", FieldKind.CHOICE, False),
    ]


def test_an_alias_answers_like_the_name(tmp_path: Path) -> None:
    written(tmp_path)
    assert catalog(tmp_path).type("acmeKey").name == "acmeApi"


def test_types_come_by_popularity_and_then_by_label(tmp_path: Path) -> None:
    written(tmp_path)
    written(tmp_path, SECOND, name="second.toml")
    loaded = catalog(tmp_path)
    assert [one.name for one in loaded.types()] == ["secondApi", "acmeApi", "acmeOAuth2"]
    assert [one.id for one in loaded.providers()] == ["acme", "second"]


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    loaded = catalog(tmp_path)
    with pytest.raises(NotFound):
        loaded.provider("nobody")
    with pytest.raises(UnknownType):
        loaded.type("nothing")
    with pytest.raises(UnknownType):
        loaded.icon("nothing")


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ('id = "second"', 'id = "acme"', 1, "provider `acme` is given twice"),
        ("secondApi", "acmeApi", 4, "type name `acmeApi` is given twice"),
        ("secondApi", "acmeKey", 4, "type name `acmeKey` is given twice"),
        ('label = "A second"', 'label = "A"\naliases = ["acmeOAuth2"]', 6, "type name `acmeOAuth2` is given twice"),
    ],
)
def test_a_later_directory_cannot_take_a_name(tmp_path: Path, old: str, new: str, line: int, message: str) -> None:
    first, later = tmp_path / "a", tmp_path / "b"
    first.mkdir()
    later.mkdir()
    written(first)
    file = written(later, SECOND.replace(old, new))
    (problem,) = problems([first, later])
    assert (problem.file, problem.line) == (file, line)
    assert message in problem.message
    assert str(first) in problem.hint


def test_all_problems_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    written(tmp_path, changed(('rotation = "strict"', 'rotation = "x"')))
    written(tmp_path, SECOND.replace("secondApi", "second Api"), name="second.toml")
    with pytest.raises(ProviderFileInvalid) as caught:
        catalog(tmp_path)
    assert [Path(problem.file).name for problem in caught.value.extra["problems"]] == ["acme.toml", "second.toml"]
    assert "acme.toml:11:" in str(caught.value)


def test_an_icon_lies_beside_the_file(tmp_path: Path) -> None:
    written(tmp_path, SECOND.replace('name = "Second"', 'name = "Second"\nicon = "two"'))
    (problem,) = problems([tmp_path])
    assert (problem.line, "icons/two.svg" in problem.message) == (3, True)
    (tmp_path / "icons").mkdir()
    drawing = tmp_path / "icons" / "two.svg"
    drawing.write_text("<svg onload='x'></svg>")
    assert "onload" in problems([tmp_path])[0].message
    drawing.write_text("<svg></svg>")
    assert catalog(tmp_path).icon("secondApi") == b"<svg></svg>"


def test_without_an_icon_there_is_a_letter(tmp_path: Path) -> None:
    written(tmp_path, SECOND)
    assert b">A</text>" in catalog(tmp_path).icon("secondApi")


def test_the_demo_provider_is_there_only_with_an_address(tmp_path: Path) -> None:
    demo = changed(
        ('name = "Acme"', 'name = "Acme"\ndemo = true'),
        ('"https://{team}.acme.com/token"', '"{public_url}/demo/token"'),
        ('hosts = ["api', 'hosts = ["{public_url}", "api'),
        ('url = "https://api.acme.com/me"', 'url = "{public_url}/me"'),
    )
    written(tmp_path, demo)
    assert catalog(tmp_path).providers() == []
    loaded = catalog(tmp_path, demo_public_url="http://127.0.0.1:8400/")
    provider = loaded.provider("acme")
    assert provider.token_endpoint == "http://127.0.0.1:8400/demo/token"
    assert "127.0.0.1:8400" in provider.hosts
    assert loaded.type("acmeOAuth2").test.url == "http://127.0.0.1:8400/me"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("tokens", "rotation", "kills", "expires"),
    [
        ('rotation = "none"', Rotation.NONE, False, None),
        ('rotation = "none"\nunsure = ["rotation"]', Rotation.UNKNOWN, False, None),
        ('rotation = "grace"\ngrace_s = 60\nunsure = ["grace_s"]', Rotation.UNKNOWN, False, None),
        ('rotation = "family-revoke"\nunsure = ["rotation"]', Rotation.FAMILY, False, None),
        ('rotation = "none"\nunsure = ["kills_old_access_token"]', Rotation.NONE, True, None),
        ('rotation = "none"\naccess_expires = false', Rotation.NONE, False, False),
        ('rotation = "none"\naccess_expires = false\nunsure = ["access_expires"]', Rotation.NONE, False, None),
    ],
)
def test_unsure_values_are_taken_strictly(
    tmp_path: Path, tokens: str, rotation: Rotation, kills: bool, expires: bool | None
) -> None:
    written(tmp_path, changed(('rotation = "strict"', tokens)))
    provider = catalog(tmp_path).provider("acme")
    assert (provider.rotation, provider.kills_old_access_token, provider.access_expires) == (rotation, kills, expires)


@pytest.mark.parametrize(
    ("tokens", "fixed", "grant_ttl_s"),
    [
        ("", False, None),
        ("refresh_end_fixed = true\ngrant_ttl_s = 604800", True, 604_800),
        ('refresh_end_fixed = true\nunsure = ["refresh_end_fixed"]', False, None),
        ('grant_ttl_s = 604800\nunsure = ["grant_ttl_s"]', False, 604_800),
    ],
)
def test_ends_that_refreshing_does_not_put_off(
    tmp_path: Path, tokens: str, fixed: bool, grant_ttl_s: int | None
) -> None:
    written(tmp_path, changed(('rotation = "strict"', f'rotation = "strict"\n{tokens}')))
    provider = catalog(tmp_path).provider("acme")
    assert (provider.refresh_end_fixed, provider.grant_ttl_s) == (fixed, grant_ttl_s)


class TestReload:
    """Files that change while the service runs."""

    def test_nothing_changed(self, tmp_path: Path) -> None:
        written(tmp_path)
        assert catalog(tmp_path).reload_if_changed() is False

    def test_a_changed_file_is_read_again(self, tmp_path: Path) -> None:
        file = written(tmp_path)
        loaded = catalog(tmp_path)
        file.write_text(changed(('label = "Acme key"', 'label = "Acme kex"')))
        age(file)
        assert loaded.reload_if_changed() is True
        assert loaded.type("acmeApi").label == "Acme kex"
        assert loaded.reload_if_changed() is False

    def test_files_come_and_go(self, tmp_path: Path) -> None:
        written(tmp_path)
        loaded = catalog(tmp_path)
        second = written(tmp_path, SECOND, name="second.toml")
        assert loaded.reload_if_changed() is True
        assert loaded.type("secondApi").label == "A second"
        second.unlink()
        assert loaded.reload_if_changed() is True
        with pytest.raises(UnknownType):
            loaded.type("secondApi")

    def test_a_broken_file_keeps_the_old_catalogue_and_is_reported_once(self, tmp_path: Path) -> None:
        heard: list[Sequence[Problem]] = []
        file = written(tmp_path)
        loaded = catalog(tmp_path, report=heard.append)
        file.write_text(GOOD.replace("strict", "x"))
        age(file)
        assert [loaded.reload_if_changed(), loaded.reload_if_changed()] == [False, False]
        assert loaded.provider("acme").rotation is Rotation.STRICT
        assert [problem.line for (problem,) in heard] == [11]
        file.write_text(GOOD.replace("strict", "none"))
        age(file)
        assert loaded.reload_if_changed() is True
        assert loaded.provider("acme").rotation is Rotation.NONE


def test_a_thousand_files_load_in_seconds_and_are_watched_in_less(tmp_path: Path) -> None:
    for number in range(1000):
        text = GOOD.replace("acme", f"acme{number}").replace(f"acme{number}.com", "acme.com")
        written(tmp_path, text, name=f"acme{number}.toml")
    began = time.monotonic()
    loaded = catalog(tmp_path)
    took = time.monotonic() - began
    assert len(loaded.types()) == 2000
    assert took < 20  # about one second on one quiet core; the bound only catches an order of magnitude
    assert loaded.reload_if_changed() is False
