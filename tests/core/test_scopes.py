"""What was asked for and what was granted: the same in other words, missing, extra, changed, kept."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kit import builders
from tokenkeep.adapters.catalog import Catalog
from tokenkeep.core import scopes
from tokenkeep.core.errors import InvalidInput

EMAIL = "https://www.googleapis.com/auth/userinfo.email"
PROFILE = "https://www.googleapis.com/auth/userinfo.profile"
CALENDAR = "https://www.googleapis.com/auth/calendar"
GRAPH = "https://graph.microsoft.com/"
PROVIDERS = Path(__file__).parents[2] / "providers"


@pytest.mark.parametrize(
    ("asked", "granted", "missing", "extra"),
    [
        (("read",), ("read",), (), ()),
        (("read", "write"), ("write", "read"), (), ()),
        (("read", "write"), ("read",), ("write",), ()),
        (("read",), ("read", "write"), (), ("write",)),
        (("read",), None, (), ()),  # the provider did not say: as asked
        (("read",), (), ("read",), ()),
        # Google
        (("openid", "email", "profile"), ("openid", EMAIL, PROFILE), (), ()),
        ((EMAIL,), ("email",), (), ()),
        (("email", CALENDAR), (EMAIL,), (CALENDAR,), ()),
        # Microsoft
        (("offline_access", "Mail.Read"), ("Mail.Read",), (), ()),
        (("offline_access", "Mail.Read"), (), ("Mail.Read",), ()),
        (("Mail.Read",), (f"{GRAPH}Mail.Read", "profile"), (), ("profile",)),
        ((f"{GRAPH}mail.read",), ("Mail.Read",), (), ()),
        (("Mail.Read",), ("Mail.ReadWrite",), ("Mail.Read",), ("Mail.ReadWrite",)),
        # GitHub
        (("repo", "user", "user:email"), ("repo", "user"), (), ()),
        (("read:org",), ("admin:org",), (), ("admin:org",)),
        (("user",), ("user:email",), ("user",), ()),
        (("gist", "repo:status"), ("repo",), ("gist",), ("repo",)),
    ],
)
def test_what_is_missing_and_what_is_extra(asked, granted, missing, extra):
    grant = builders.grant(scopes_requested=asked, scopes_granted=granted)
    assert scopes.missing_of(grant) == missing
    assert scopes.extra_of(grant) == extra


def test_without_a_grant_nothing_is_missing_extra_or_unasked():
    assert scopes.missing_of(None) == scopes.extra_of(None) == scopes.unasked(None, ("read",)) == ()


@pytest.mark.parametrize(
    ("requested", "granted", "usual", "unasked"),
    [
        (("read",), ("read",), ("read", "files"), ("files",)),
        (("read",), None, ("read", "files"), ("files",)),
        (("read", "files"), ("read",), ("read", "files"), ()),  # missing, not unasked
        (("read",), ("read", "files"), ("read", "files"), ()),
        (("email",), (EMAIL,), (EMAIL, "offline_access"), ()),
    ],
)
def test_what_is_asked_for_today_and_was_not_then(requested, granted, usual, unasked):
    grant = builders.grant(scopes_requested=requested, scopes_granted=granted)
    assert scopes.unasked(grant, usual) == unasked


@pytest.mark.parametrize(
    ("client", "usual"), [((), ("read", "write")), (("files",), ("files",)), (["read"], ("read",))]
)
def test_the_clients_scopes_stand_in_place_of_the_types(client, usual):
    assert scopes.usual(builders.credential_type(scopes=("read", "write")), client) == usual
    assert scopes.usual(builders.static_type(), client) == (), "nobody is asked"


@pytest.mark.parametrize(
    ("requested", "granted", "kept"),
    [
        (("read", "write"), ("read",), ("read",)),
        (("read",), None, ("read",)),
        (("offline_access", "Mail.Read"), ("Mail.Read",), ("offline_access", "Mail.Read")),
        (("email",), (EMAIL, "openid"), ("email", "openid")),
        (("repo", "user:email", "user"), ("repo", "user"), ("repo", "user:email", "user")),
        (("search:read",), ("identify", "search:read"), ("search:read",)),
        ((), ("read",), ("read",)),
    ],
)
def test_what_a_new_consent_must_ask_for_so_that_nothing_is_lost(requested, granted, kept):
    assert scopes.kept(builders.grant(scopes_requested=requested, scopes_granted=granted)) == kept


@pytest.mark.parametrize(
    ("before", "after", "facts"),
    [
        (("read", "write"), ("write", "read"), {}),
        (("read", "write"), ("read",), {"scopes_removed": ["write"]}),
        (("read",), ("read", "write"), {"scopes_added": ["write"]}),
        (("read",), ("write",), {"scopes_added": ["write"], "scopes_removed": ["read"]}),
        (("email", "offline_access"), (EMAIL,), {}),
        (("repo",), ("public_repo",), {"scopes_removed": ["repo"]}),
    ],
)
def test_what_changed(before, after, facts):
    assert scopes.change(before, after) == facts


def test_a_line_of_history_stays_short():
    many = tuple(f"scope-{number}" for number in range(300))
    assert len(scopes.change((), many)["scopes_added"]) == scopes.MOST_NAMED


@pytest.mark.parametrize("bad", ["", "a b", "a\n", "ü", 'a"b', "a\\b", "x" * 501, "\x1b[31m"])
def test_what_no_scope_can_be_is_refused_by_name(bad):
    with pytest.raises(InvalidInput) as refused:
        scopes.checked(["read", bad], field="more_scopes")
    said = refused.value.fields["more_scopes"]
    assert "visible ASCII" in said
    assert said.isprintable()


def test_more_than_fit_into_an_address_are_refused():
    with pytest.raises(InvalidInput):
        scopes.checked([f"scope-{number}" for number in range(scopes.MOST + 1)])


SOME = ("read", "email", EMAIL, "profile", "repo", "public_repo", "user", "user:email", "offline_access")
SOME_MORE = ("Mail.Read", f"{GRAPH}mail.read", "identify", CALENDAR)
WORDS = st.lists(st.sampled_from((*SOME, *SOME_MORE)), unique=True).map(tuple)


@given(requested=WORDS, granted=st.none() | WORDS, more=WORDS)
def test_asking_for_more_never_asks_for_less(requested, granted, more):
    grant = builders.grant(scopes_requested=requested, scopes_granted=granted)
    wanted = scopes.united(scopes.kept(grant), more)
    assert set(scopes.missing(scopes.granted(grant), wanted)) <= {"identify"}
    assert scopes.missing(more, wanted) == ()
    assert ("offline_access" in wanted) >= ("offline_access" in requested)


@given(one=WORDS, other=WORDS)
def test_nothing_is_both_added_and_removed_and_nothing_is_twice_in_a_union(one, other):
    facts = scopes.change(one, other)
    assert not {*facts.get("scopes_added", [])} & {*facts.get("scopes_removed", [])}
    assert scopes.change(one, one) == {}
    both = scopes.united(one, other)
    assert scopes.united(both, both) == both
    assert scopes.missing((*one, *other), both) == ()


def test_no_two_scopes_of_a_type_are_taken_for_one():
    for type_ in Catalog.load([PROVIDERS], demo_public_url="https://keep.example.com").types():
        assert scopes.united(type_.scopes) == type_.scopes, type_.name
