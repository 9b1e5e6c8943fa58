"""Every failure has one code, one status and one problem document."""

from __future__ import annotations

import pytest

from tests.web.api_fakes import make_api
from tokenkeep.core import errors
from tokenkeep.core.secret import Secret
from tokenkeep.web.codes import CODES
from tokenkeep.web.problems import RequestProblem, problem, refused


def _below(kind: type[errors.TokenkeepError]) -> set[type[errors.TokenkeepError]]:
    return {kind}.union(*(_below(child) for child in kind.__subclasses__()))


ANSWERED = sorted(_below(errors.TokenkeepError) - _below(errors.Misconfigured), key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", ANSWERED, ids=lambda kind: kind.__name__)
def test_every_error_that_may_reach_a_caller_has_a_status(kind: type[errors.TokenkeepError]) -> None:
    assert kind.code in CODES


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.InvalidInput(fields={"name": "is missing"}), 400),
        (errors.UnknownType(), 400),
        (errors.Unauthenticated(), 401),
        (errors.ScopeMissing(), 403),
        (errors.NotFound(), 404),
        (errors.Conflict(), 409),
        (errors.InUse(["flow/1"]), 409),
        (errors.NotOAuth(), 409),
        (errors.NotConnected(), 409),
        (errors.ReauthorizationRequired(), 409),
        (errors.ClientMissing(), 409),
        (errors.Quarantined(), 409),
        (errors.VersionMismatch(), 412),
        (errors.StateInvalid(), 400),
        (errors.Throttled(retry_after=7), 429),
        (errors.RefreshFailing(retry_after=9), 503),
        (errors.Unavailable(), 503),
        (errors.TokenkeepError("of unknown making"), 500),
        (errors.KeyRefused("the root key is at /etc/key"), 500),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
async def test_a_failed_use_case_answers_its_code(error: errors.TokenkeepError, status: int) -> None:
    api = make_api()
    api.credentials.answers["get"] = error
    async with api.client() as client:
        response = await client.get("/v1/credentials/credential-1")
    document = response.json()
    assert response.status_code == status == document["status"]
    assert response.headers["content-type"] == "application/problem+json"
    assert document["code"] == (error.code if status != 500 else "internal")
    assert document["type"] == f"/docs/errors#{document['code']}"
    assert document["title"] == CODES[document["code"]].title
    assert document["detail"] == (error.message if status != 500 else CODES["internal"].meaning)


@pytest.mark.parametrize("error", [errors.RefreshFailing(retry_after=9), errors.Throttled(retry_after=9)])
async def test_what_time_repairs_says_when_to_come_back(error: errors.TokenkeepError) -> None:
    api = make_api()
    api.tokens.answers["token"] = error
    async with api.client() as client:
        response = await client.get("/v1/credentials/credential-1/token")
    assert response.headers["retry-after"] == "9"
    assert response.json()["retry_after"] == 9


@pytest.mark.parametrize("error", [errors.NotConnected(), errors.ReauthorizationRequired()])
@pytest.mark.parametrize("call", ["token", "values"])
async def test_what_a_person_repairs_says_where(error: errors.TokenkeepError, call: str) -> None:
    api = make_api()
    api.tokens.answers[call] = error
    async with api.client() as client:
        response = await client.get(f"/v1/credentials/a id/{call}")
    assert "http://localhost:8420/credentials/a%20id" in response.json()["fix"]


async def test_the_fix_a_use_case_gives_stands() -> None:
    api = make_api()
    api.tokens.answers["token"] = errors.NotConnected(fix="Open https://elsewhere.example")
    async with api.client() as client:
        response = await client.get("/v1/credentials/credential-1/token")
    assert response.json()["fix"] == "Open https://elsewhere.example"


def test_no_sign_in_is_told_how_to_show_a_key() -> None:
    assert problem("key_invalid").headers["www-authenticate"] == 'Bearer realm="tokenkeep"'


def test_further_members_never_replace_the_standard_ones() -> None:
    told = problem("conflict", extra={"status": 200, "code": "fine", "references": ["flow/1"]})
    assert b'"status":409' in told.body
    assert b'"references":["flow/1"]' in told.body
    assert b"fine" not in told.body


def test_a_secret_among_the_further_members_is_not_shown() -> None:
    assert b"hidden-1" not in problem("conflict", extra={"odd": Secret("hidden-1")}).body


def test_a_refusal_keeps_its_headers() -> None:
    assert refused(RequestProblem("content_too_large", "too big", headers={"Connection": "close"})).status_code == 413


@pytest.mark.parametrize("path", ["/v1/nothing", "/nothing", "/v1/credentials/", "/v1/credentials/a/b/c"])
async def test_unknown_paths_are_problems_for_programs(path: str) -> None:
    async with make_api().client() as client:
        response = await client.get(path)
    assert response.status_code == 404
    assert response.json()["code"] == "not_found"


async def test_unknown_paths_are_pages_for_browsers() -> None:
    from starlette.responses import HTMLResponse

    api = make_api()
    api.app.state.error_page = lambda request, status, title, detail: HTMLResponse(f"<h1>{title}</h1>", status)
    async with api.client(key=None, Accept="text/html,*/*") as client:
        response = await client.get("/nothing")
    assert (response.status_code, response.text) == (404, "<h1>Not found</h1>")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/v1/credentials", "GET, HEAD, POST"),
        ("POST", "/v1/credentials/a", "DELETE, GET, HEAD, PATCH"),
        ("POST", "/v1/credentials/a/token", "GET, HEAD"),
        ("TRACE", "/healthz", "GET, HEAD"),
        ("DELETE", "/login", "GET, HEAD, POST"),
    ],
)
async def test_a_wrong_method_is_told_every_right_one(method: str, path: str, allowed: str) -> None:
    async with make_api().client() as client:
        response = await client.request(method, path)
    assert (response.status_code, response.headers["allow"]) == (405, allowed)
    assert response.json()["code"] == "method_not_allowed"


async def test_nothing_that_is_missing_differs_from_what_is_another_workspace_s() -> None:
    api = make_api()
    api.credentials.answers["get"] = errors.NotFound()
    async with api.client() as client:
        theirs = await client.get("/v1/credentials/credential-of-others")
        strange = await client.get("/v1/credentials/" + "x" * 300)
        nul = await client.get("/v1/credentials/a%00b")
        api.tokens.answers["token"] = errors.NotFound()
        token = await client.get("/v1/credentials/credential-of-others/token")
        no_path = await client.get("/v1/nothing")
    answers = {
        (each.status_code, each.content, tuple(each.headers.items())) for each in (theirs, strange, nul, token, no_path)
    }
    assert len(answers) == 1
