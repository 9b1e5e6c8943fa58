"""The written references leave nothing out."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from starlette.routing import Route

from tokenkeep.web import service
from tokenkeep.web.app import OPERATIONS
from tokenkeep.web.codes import CODES
from tokenkeep.web.openapi import problem_codes
from tokenkeep.web.operations import Operation

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


def _section(text: str, heading: str) -> str:
    """What stands under a heading, up to the next one of its level or above."""
    level = len(heading) - len(heading.lstrip("#"))
    found = re.search(rf"^{re.escape(heading)}$(.*?)(?=^#{{1,{level}}} |\Z)", text, re.DOTALL | re.MULTILINE)
    assert found, f"{heading} is missing"
    return found[1]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_every_call_is_in_the_reference_with_an_example(operation: Operation) -> None:
    text = (REFERENCE / "api.md").read_text(encoding="utf-8")
    section = _section(text, f"### {operation.method} {operation.template}")
    examples = re.findall(r"```http\n(.*?)```", section, re.DOTALL)
    assert len(examples) == 2
    assert examples[0].startswith(f"{operation.method} /v1/")
    assert examples[1].startswith(str(operation.status))
    assert all(f"`{query.name}`" in section for query in operation.query)
    assert all(f"errors.md#{code}" in section for code in problem_codes(operation))
    assert operation.scope is None or f"`{operation.scope}`" in section


@pytest.mark.parametrize("operation", [each for each in OPERATIONS if each.answer], ids=lambda each: each.name)
def test_the_example_has_every_member_of_the_answer(operation: Operation) -> None:
    text = (REFERENCE / "api.md").read_text(encoding="utf-8")
    section = _section(text, f"### {operation.method} {operation.template}")
    shown = json.loads(re.findall(r"```http\n(.*?)```", section, re.DOTALL)[1].partition("\n\n")[2])
    optional = {"problem", "detail"} if operation.name == "test_credential" else set()
    assert operation.answer is not None
    assert set(operation.answer.__struct_fields__) - optional == set(shown) - optional


@pytest.mark.parametrize(
    "route", [each for each in service.routes if isinstance(each, Route)], ids=lambda each: each.path
)
def test_what_the_service_says_about_itself_is_in_the_reference(route: Route) -> None:
    assert f"| `GET {route.path}` |" in (REFERENCE / "api.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("code", CODES)
def test_every_code_is_in_the_reference_with_status_meaning_and_fix(code: str) -> None:
    told = CODES[code]
    section = _section((REFERENCE / "errors.md").read_text(encoding="utf-8"), f"## {code}")
    assert f"**{told.status} {told.title}.** {told.meaning}" in section
    assert f"What to do: {told.fix}" in section


def test_the_reference_knows_no_code_that_is_gone() -> None:
    named = set(re.findall(r"^## (\w+)$", (REFERENCE / "errors.md").read_text(encoding="utf-8"), re.MULTILINE))
    assert named == set(CODES)
