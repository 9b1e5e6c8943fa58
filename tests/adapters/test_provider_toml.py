"""A provider file that was written down is read back as the same file."""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.adapters.provider_files import GOOD
from tokenkeep.adapters.data_files import data_directory
from tokenkeep.adapters.provider_file import FieldTable, ProviderFile, TypeTable
from tokenkeep.adapters.provider_reader import read
from tokenkeep.adapters.provider_toml import written

SHIPPED = sorted(data_directory("providers").glob("*.toml"))
TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=60)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_file_survives_writing(path: Path, tmp_path: Path) -> None:
    file, _ = read(path)
    assert file is not None
    again = tmp_path / path.name
    again.write_text(written(file, {}), encoding="utf-8")
    assert read(again) == (file, [])


@given(TEXT, TEXT, st.dictionaries(TEXT, TEXT, max_size=3))
def test_any_text_survives_writing(name: str, prose: str, options: dict[str, str]) -> None:
    field = FieldTable(name="f", label=name, default=name, options=(name, prose), help=f"{prose}\n{name}")
    type_ = TypeTable(name="t", label=name, description=prose, authorize_params=options, fields=(field,))
    file = ProviderFile(id="x", name=name, setup=f"{prose}\n", types=(type_,))
    assert msgspec.convert(tomllib.loads(written(file, {})), ProviderFile) == file


def test_what_is_at_its_default_is_left_out_and_types_come_last(tmp_path: Path) -> None:
    (tmp_path / "acme.toml").write_text(GOOD, encoding="utf-8")
    file, _ = read(tmp_path / "acme.toml")
    assert file is not None
    lines = written(file, {}).splitlines()
    headers = [line for line in lines if line.startswith("[")]
    assert headers[:4] == ["[oauth]", "[tokens]", "[[variables]]", "[account]"]
    assert headers[4] == "[[types]]"
    assert not any(line.startswith(("pkce", "demo", "scope_separator", "body_format")) for line in lines)


def test_remarks_stand_above_what_they_are_about() -> None:
    file = ProviderFile(id="x", name="X", types=(TypeTable(name="t", label="T"),))
    text = written(file, {(): ["Of all"], ("name",): ["One", "Two"], ("types", 0): ["Of the type"], ("setup",): ["No"]})
    assert text == (
        "#:schema ./schema.json\n# Of all\n"
        'id = "x"\n# One\n# Two\nname = "X"\n'
        '\n[[types]]\n# Of the type\nname = "t"\nlabel = "T"\n'
    )


def test_a_long_list_has_a_line_for_each() -> None:
    scopes = tuple(f"https://api.example.com/auth/scope-{number}" for number in range(4))
    file = ProviderFile(id="x", name="X", types=(TypeTable(name="t", label="T", oauth=True, scopes=scopes),))
    assert f'scopes = [\n  "{scopes[0]}",\n' in written(file, {})
