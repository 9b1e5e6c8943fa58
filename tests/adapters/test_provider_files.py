"""The provider files that ship with the service."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tokenkeep.adapters import icon
from tokenkeep.adapters.catalog import Catalog, problems
from tokenkeep.adapters.data_files import data_directory
from tokenkeep.commands import write_provider_pages
from tokenkeep.core.errors import InvalidInput
from tokenkeep.core.injection import authorize, carried, expand, hosts
from tokenkeep.core.model import ClientAuth, CredentialType, Field, FieldKind, HostFormat, Provider, Rotation
from tokenkeep.core.protocol import QUIRKS, authorization_parameters
from tokenkeep.core.schema import mask, validate
from tokenkeep.core.secret import Secret

FOLDER = data_directory("providers")
CATALOG = Catalog.load([FOLDER], demo_public_url="https://keep.example.com")
SERVICES = FOLDER.parent / "docs" / "services"

NAMES = json.loads((Path(__file__).parent.parent / "vectors" / "credential_types.json").read_text(encoding="utf-8"))
"""By type, the fields that nodes rely on, and the provider of those that a browser authorises. Names may be added to it; none may
ever change or go."""
OAUTH = {name: told["provider"] for name, told in NAMES.items() if told["provider"]}

SAMPLES: dict[FieldKind, Any] = {
    FieldKind.SECRET: "sk-sample-value-1234",
    FieldKind.URL: "https://sample.supabase.co",
    FieldKind.JSON: {"A": "b"},
    FieldKind.NUMBER: 5432,
    FieldKind.BOOLEAN: True,
    FieldKind.TEXT: "sample",
}


def chosen(provider: Provider) -> dict[str, str]:
    """What an administrator might have given for the holes in its addresses."""
    whole = {HostFormat.HOST: "host.example", HostFormat.ADDRESS: "https://host.example/path"}
    return {variable.name: variable.default or whole.get(variable.format, "sample") for variable in provider.variables}


def values(wanted: CredentialType) -> dict[str, Any]:
    return {
        field.name: field.options[0] if field.options else SAMPLES.get(field.kind, "sample") for field in wanted.fields
    }


def test_nothing_is_wrong_with_them() -> None:
    assert problems([FOLDER]) == []


@pytest.mark.parametrize("name", NAMES)
def test_types_ask_for_the_fields_nodes_rely_on(name: str) -> None:
    assert [field.name for field in CATALOG.type(name).fields] == NAMES[name]["fields"]


@pytest.mark.parametrize("name", OAUTH)
def test_oauth_types_belong_to_their_provider(name: str) -> None:
    wanted = CATALOG.type(name)
    provider = CATALOG.provider(OAUTH[name])
    assert (wanted.oauth, wanted.provider) == (True, provider.id)
    assert bool(wanted.scopes) != bool({"no_scopes", "scopes_of_client"} & provider.quirks)
    assert provider.authorization_endpoint
    assert provider.token_endpoint


def test_no_type_is_missing_here() -> None:
    assert {one.name for one in CATALOG.types()} == NAMES.keys()


@pytest.mark.parametrize("wanted", CATALOG.types(), ids=lambda one: one.name)
def test_every_type_can_be_filled_tested_and_shown(wanted: CredentialType) -> None:
    provider = CATALOG.provider(wanted.provider)
    filled = validate(wanted, values(wanted)).values
    variables = chosen(provider) | dict(filled)
    if wanted.injection is not None:
        injected = authorize(wanted.injection, filled, access_token=Secret("at") if wanted.issues_tokens else None)
        assert injected.headers or injected.query or injected.body or injected.path
    if wanted.test is not None:
        sent = wanted.test if wanted.injection is None else carried(wanted.test, injected)
        address = expand(sent.url, variables)
        assert re.sub(r"[/?].*", "", address.removeprefix("https://")) in hosts(provider.hosts, variables)
    assert icon.problem(CATALOG.icon(wanted.name).decode()) == ""


@pytest.mark.parametrize("provider", CATALOG.providers(), ids=lambda provider: provider.id)
def test_every_endpoint_expands_to_https(provider: Any) -> None:
    variables = chosen(provider) | {"client_id": "Iv1.abc"}
    for template in (provider.authorization_endpoint, provider.token_endpoint, provider.revocation_endpoint):
        assert expand(template, variables).startswith("https://") or not template


@pytest.mark.parametrize("wanted", CATALOG.types(), ids=lambda one: one.name)
def test_the_reference_page_names_every_type(wanted: CredentialType) -> None:
    assert f"`{wanted.name}`" in (SERVICES / f"{wanted.provider}.md").read_text(encoding="utf-8")


def test_the_pages_of_the_services_are_those_that_would_be_written(tmp_path: Path) -> None:
    write_provider_pages(tmp_path)
    written = {page.name: page.read_text(encoding="utf-8") for page in tmp_path.iterdir()}
    kept = {page.name: page.read_text(encoding="utf-8") for page in SERVICES.iterdir()}
    assert kept == written, "run `make services`"


def test_what_each_provider_does_with_refresh_tokens() -> None:
    known = {provider.id: provider.rotation for provider in CATALOG.providers()}
    pinned = {
        "demo": Rotation.FAMILY,
        "github": Rotation.UNKNOWN,
        "github-app": Rotation.STRICT,
        "gitlab": Rotation.STRICT,
        "google": Rotation.NONE,
        "microsoft": Rotation.NONE,
        "notion": Rotation.STRICT,
        "slack": Rotation.STRICT,
        "slack-bot": Rotation.STRICT,
        "xero": Rotation.GRACE,
    }
    assert {id_: known[id_] for id_ in pinned} == pinned


def test_github_apps_kill_the_old_access_token_and_oauth_apps_never_end() -> None:
    app, classic = CATALOG.provider("github-app"), CATALOG.provider("github")
    assert (app.kills_old_access_token, app.access_ttl_s, app.refresh_ttl_s) == (True, 28_800, 15_897_600)
    assert classic.access_expires is False
    assert classic.revocation_style == "github"
    assert classic.token_headers == {"Accept": "application/json"}


def test_notion_wants_json_basic_and_its_version() -> None:
    notion = CATALOG.provider("notion")
    assert (notion.body_format, notion.client_auth) == ("json", ClientAuth.BASIC)
    assert notion.authorize_params == {"owner": "user"}
    assert notion.account is not None
    assert "Notion-Version" in notion.account.headers
    assert {"expires_in_missing", "never_refresh_blindly"} <= notion.quirks


def test_google_is_asked_for_a_refresh_token() -> None:
    google = CATALOG.provider("google")
    assert google.authorize_params == {"access_type": "offline", "prompt": "consent"}
    assert (google.refresh_idle_ttl_s, google.refresh_end_fixed) == (15_811_200, True)
    assert google.client_auth is ClientAuth.POST


def test_slack_users_are_asked_through_user_scope() -> None:
    slack = CATALOG.provider("slack")
    parameters = authorization_parameters(
        slack, client_id="c", redirect_uri="r", state="s", scopes=["chat:write", "users:read"], extra={}
    )
    assert parameters["user_scope"] == "chat:write,users:read"
    assert "scope" not in parameters
    assert slack.account is not None
    assert slack.account.ok == "ok"


def test_hosts_and_tenants_are_the_administrators() -> None:
    shapes = {
        provider.id: [(one.name, one.format, one.asked_of, one.default) for one in provider.variables]
        for provider in CATALOG.providers()
        if provider.id in {"gitlab", "microsoft"}
    }
    assert shapes == {
        "gitlab": [("host", HostFormat.HOST, "client", "gitlab.com")],
        "microsoft": [("tenant", HostFormat.TENANT, "client", "common")],
    }


def test_microsoft_types_ask_for_a_refresh_token() -> None:
    for wanted in CATALOG.types():
        assert wanted.provider != "microsoft" or wanted.mint or "offline_access" in wanted.scopes, wanted.name


def test_the_demo_provider_lives_at_our_own_address() -> None:
    demo = CATALOG.provider("demo")
    assert demo.issuer == "https://keep.example.com/demo"
    assert demo.account is not None
    assert demo.account.url == "https://keep.example.com/demo/me"
    assert demo.hosts == {"keep.example.com"}
    assert CATALOG.type("demoOAuth2").scopes == ("notes.read", "notes.write", "profile")
    assert "demo" not in {one.id for one in Catalog.load([FOLDER], demo_public_url=None).providers()}


def test_aws_answers_to_its_other_name_and_may_be_empty() -> None:
    aws = CATALOG.type("awsCredential")
    assert aws.name == "awsApi"
    assert validate(aws, {}).values == {}


def test_postgres_has_its_usual_port_and_masks_the_password() -> None:
    result = validate(CATALOG.type("PostgresApi"), {"user": "jo", "password": "canary-canary"})
    assert result.values["port"] == 5432
    assert "canary" not in str(result.masked)


def test_optional_headers_are_left_out() -> None:
    openai = CATALOG.type("openAIApi")
    assert openai.injection is not None
    injected = authorize(openai.injection, {"openAIApiKey": "sk-1"}, access_token=None)
    assert injected.headers == {"Authorization": "Bearer sk-1"}


def test_a_telegram_token_stands_in_the_path_and_a_mandrill_key_in_the_body() -> None:
    telegram, mandrill = CATALOG.type("telegramApi"), CATALOG.type("mandrillApi")
    assert telegram.injection is not None
    assert telegram.test is not None
    assert mandrill.injection is not None
    assert mandrill.test is not None
    token = authorize(telegram.injection, {"accessToken": "123456:AAx-_y"}, access_token=None)
    assert carried(telegram.test, token).url == "https://api.telegram.org/bot123456:AAx-_y/getMe"
    key = authorize(mandrill.injection, {"apiKey": "md-1"}, access_token=None)
    assert json.loads(carried(mandrill.test, key).body) == {"key": "md-1"}


URL_FIELDS = [
    pytest.param(field, id=f"{kind.name}.{field.name}")
    for kind in CATALOG.types()
    for field in kind.fields
    if field.kind is FieldKind.URL
]


@pytest.mark.parametrize("field", URL_FIELDS)
@pytest.mark.parametrize(
    "url",
    [
        "https://jo:canary@db.example.com/x",
        "postgresql://jo:canary@db.example.com:5432/x?sslmode=require",
        "mongodb+srv://jo:can/ary@canary@a.example.com,b.example.com/x",
        "redis://:canary@cache.example.com",
        "https://canary@example.com/x",
        "https://example.com/x?api_key=canary&y=1",
    ],
)
def test_no_field_for_an_address_shows_the_password_inside(field: Field, url: str) -> None:
    shown = mask(field, url)
    assert "canary" not in shown
    assert "ary@" not in shown
    assert field.secret or "example.com" in shown


def test_an_aws_key_that_was_not_copied_whole_is_told() -> None:
    aws = CATALOG.type("awsApi")
    assert "at least 16" in validate(aws, {"awsKey": "AKIAIOSF"}).warnings["awsKey"]
    assert validate(aws, {"awsKey": "AKIAIOSFODNN7EXAMPLE"}).warnings == {}


def test_a_file_that_is_no_service_account_key_is_told() -> None:
    vertex = CATALOG.type("googleVertexAuth")
    told = validate(vertex, {"googleApplicationCredential": '{"client_email": "a@b", "type": "service_account"}'})
    assert "Service account key: `private_key` is missing" in told.warnings["googleApplicationCredential"]


def test_supabase_without_a_project_url_cannot_be_called() -> None:
    supabase = CATALOG.type("supabaseApi")
    assert supabase.test is not None
    with pytest.raises(InvalidInput):
        expand(supabase.test.url, {"supabaseApiKey": "k"})
    assert hosts(CATALOG.provider("supabase").hosts, {}) == {"api.supabase.com"}, "where accounts are managed"


def test_the_format_page_names_every_key_and_quirk() -> None:
    page = (FOLDER.parent / "docs" / "reference" / "provider-files.md").read_text(encoding="utf-8")
    schema = json.loads((FOLDER / "schema.json").read_text(encoding="utf-8"))
    tables = [schema, *(table for table in schema["$defs"].values() if "properties" in table)]
    keys = {key for table in tables for key in table["properties"]} | set(QUIRKS)
    assert {key for key in keys if f"`{key}`" not in page} == set()


def test_the_examples_on_the_format_page_are_good(tmp_path: Path) -> None:
    page = (FOLDER.parent / "docs" / "reference" / "provider-files.md").read_text(encoding="utf-8")
    examples = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    assert len(examples) == 3
    for number, example in enumerate(examples):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "acme.toml").write_text(example, encoding="utf-8")
        assert problems([tmp_path / str(number)]) == []
