"""Finding the files that ship with the service."""

from __future__ import annotations

import pytest

from tokenkeep.adapters.data_files import data_directory
from tokenkeep.core.errors import Misconfigured


def test_the_provider_files_are_found() -> None:
    assert (data_directory("providers") / "github.toml").is_file()


def test_what_is_missing_ends_the_start() -> None:
    with pytest.raises(Misconfigured):
        data_directory("nothing-of-this-name")
