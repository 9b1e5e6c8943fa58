"""What the test of a database found, on pages and in the reference."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kit import builders
from tests.kit.memory_catalog import MemoryCatalog
from tokenkeep.core.model import Driver, Probe, State
from tokenkeep.core.probing import Probed
from tokenkeep.services.credentials import CredentialView
from tokenkeep.web.credential_pages import testable as is_testable
from tokenkeep.web.credential_types import type_answer
from tokenkeep.web.words import NOTICES

API = Path(__file__).parents[2] / "docs" / "reference" / "api.md"
PROBLEMS = [one.value for one in Probed if one is not Probed.OK]


@pytest.mark.parametrize("problem", PROBLEMS)
def test_every_problem_has_its_words(problem):
    assert NOTICES[f"tested_{problem}"].tone in {"bad", "warn"}
    assert f"| `{problem}` |" in API.read_text(encoding="utf-8")


@pytest.mark.parametrize("probe", [None, Probe(driver=Driver.REDIS, host="{host}")])
def test_a_database_can_be_tested_where_its_type_says_how(probe):
    type_ = builders.static_type(probe=probe, test=None, injection=None)
    provider = builders.provider()
    assert type_answer(MemoryCatalog([provider], [type_]), type_).testable is (probe is not None)
    view = CredentialView(
        credential=builders.credential(type=type_.name), type=type_, provider=provider, state=State.STORED, account=None
    )
    assert is_testable(view) is (probe is not None)
