"""Who may do what: every role and scope."""

from __future__ import annotations

import pytest

from tests.kit import builders
from tokenkeep.core.errors import NotFound, ScopeMissing
from tokenkeep.core.permissions import ROLES, Scope, system

READ, WRITE, CONNECT, ADMIN, TOKENS = (
    Scope.CREDENTIALS_READ,
    Scope.CREDENTIALS_WRITE,
    Scope.CONNECT,
    Scope.ADMIN,
    Scope.TOKENS_READ,
)
MAY = {
    "owner": {READ, WRITE, CONNECT, ADMIN, TOKENS},
    "admin": {READ, WRITE, CONNECT, ADMIN, TOKENS},
    "editor": {READ, WRITE, CONNECT},
    "user": {READ, CONNECT},
    "viewer": {READ},
}


def may(caller, scope: Scope) -> bool:
    try:
        caller.need(scope)
    except ScopeMissing:
        return False
    return True


@pytest.mark.parametrize("role", MAY)
def test_what_each_role_may(role):
    caller = builders.caller(scopes=ROLES[role])
    assert {scope for scope in Scope if may(caller, scope)} == MAY[role]


def test_there_are_no_other_roles():
    assert set(ROLES) == set(MAY)


@pytest.mark.parametrize("carried", Scope)
def test_what_each_scope_amounts_to(carried):
    caller = builders.caller(carried)
    expected = set(Scope) - {TOKENS} if carried is ADMIN else {carried}
    assert {scope for scope in Scope if may(caller, scope)} == expected


def test_no_scope_is_nothing():
    caller = builders.caller(scopes=frozenset())
    assert not any(may(caller, scope) for scope in Scope)


def test_what_is_missing_is_named():
    with pytest.raises(ScopeMissing) as missing:
        builders.caller(READ).need(WRITE)
    assert "credentials:write" in missing.value.message
    assert "credentials:write" in missing.value.fix


@pytest.mark.parametrize(
    ("limit", "reached"),
    [(None, True), (frozenset({"credential-1"}), True), (frozenset({"x"}), False), (frozenset(), False)],
)
def test_a_limit_to_named_credentials(limit, reached):
    caller = builders.caller(credential_ids=limit)
    if reached:
        caller.reach("credential-1")
    else:
        with pytest.raises(NotFound):
            caller.reach("credential-1")


def test_who_acted_is_written_down_by_kind_and_id():
    assert builders.caller(kind="user", id="ada").actor == "user/ada"
    assert system("w").actor == "system"
    assert system("w").scopes == set(Scope)
