"""Which credential types a question means."""

from __future__ import annotations

import pytest

from tests.kit import builders
from tests.kit.house import make_house
from tests.kit.memory_catalog import MemoryCatalog
from tokenkeep.core.errors import UnknownType
from tokenkeep.services.fitting import Fitting, fitting, known
from tokenkeep.services.ports import CredentialFilter


def catalog() -> MemoryCatalog:
    names = (("openAIApi", ("openAiApi",)), ("anthropicApi", ()), ("groqApi", ()))
    return MemoryCatalog([], [builders.static_type(name=name, aliases=aliases) for name, aliases in names])


@pytest.mark.parametrize(
    ("asked", "types", "unknown"),
    [
        ((), (), ()),
        (("groqApi", "openAIApi"), ("groqApi", "openAIApi"), ()),
        (("openAiApi", "groqApi", "openAIApi"), ("openAIApi", "groqApi"), ()),
        (("newApi", "groqApi", "newApi"), ("groqApi",), ("newApi",)),
        (("newApi", "newerApi"), (), ("newApi", "newerApi")),
        (("",), (), ("",)),
    ],
)
def test_a_question_is_understood_in_its_own_order(
    asked: tuple[str, ...], types: tuple[str, ...], unknown: tuple[str, ...]
) -> None:
    assert fitting(catalog(), asked) == Fitting(types=types, unknown=unknown)


def test_what_is_unknown_does_not_spoil_the_rest() -> None:
    assert known(catalog(), ("newApi", "groqApi")) == ("groqApi",)
    assert known(catalog(), ()) == ()


@pytest.mark.parametrize(
    ("asked", "near"),
    [
        (("openaiAPI",), "Did you mean `openAIApi`?"),
        (("antropicApi", "grokApi"), "Did you mean `anthropicApi`, `groqApi`?"),
        (("SECRET-canary-0123456789",), "GET /v1/credential-types"),
        (("x" * 100_000,), "GET /v1/credential-types"),
    ],
)
def test_a_question_of_which_nothing_is_known_is_refused_with_near_names(asked: tuple[str, ...], near: str) -> None:
    with pytest.raises(UnknownType) as refused:
        known(catalog(), asked)
    assert near in refused.value.fix
    assert "canary" not in refused.value.fix + refused.value.message


async def test_a_list_holds_what_fits_any_of_the_types_asked_for() -> None:
    house = await make_house()
    for name in ("acmeApi", "acmeQuery"):
        await house.cases.credentials.create(house.person, type=name, name=name, values={"apiKey": "ak-1"})
    wanted = CredentialFilter(types=("ofANewerNode", "acmeQuery", "acmeApi"))
    page = await house.cases.credentials.list(house.person, wanted)
    assert [view.credential.type for view in page.items] == ["acmeApi", "acmeQuery"]
    alone = await house.cases.credentials.list(house.person, CredentialFilter(types=("ofANewerNode", "acmeQuery")))
    assert [view.credential.type for view in alone.items] == ["acmeQuery"]
