"""The OpenAPI 3.1 document.

Owns: writing down what the operations declare. Does not own: the declarations (beside each handler).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from tokenkeep.web.codes import CODES
from tokenkeep.web.operations import CONSUMER_HEADER, CONSUMER_PATTERN, LONGEST_PART, Operation
from tokenkeep.web.problems import MEDIA_TYPE
from tokenkeep.web.queries import LONGEST, Query

_SCHEMAS = "#/components/schemas/{name}"
_DESCRIPTION = """Tokenkeep stores credentials in encrypted form, walks users through OAuth consent, keeps the tokens
alive and hands live ones to nodes. Times are RFC 3339 in UTC; ids are opaque; unknown fields and parameters are refused
by name; failures are RFC 9457 problem documents with a stable `code`."""


class Problem(msgspec.Struct):
    """An RFC 9457 problem document."""

    type: str  # leads to the meaning of the code
    title: str
    status: int
    detail: str
    code: str
    fix: str | msgspec.UnsetType = msgspec.UNSET
    retry_after: int | msgspec.UnsetType = msgspec.UNSET  # seconds
    fields: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    references: list[str] | msgspec.UnsetType = msgspec.UNSET


def document(operations: Sequence[Operation], *, version: str, public_url: str) -> dict[str, Any]:
    """Everything outsiders may rely on."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.template, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Tokenkeep", "version": version, "description": _DESCRIPTION},
        "servers": [{"url": public_url}],
        "paths": paths,
        "components": {
            "schemas": _schemas(operations),
            "securitySchemes": {
                "serviceKey": {"type": "http", "scheme": "bearer", "description": "A service key: `tk_…`."},
                "session": {"type": "apiKey", "in": "cookie", "name": "tokenkeep-session"},
            },
        },
    }


def _schemas(operations: Iterable[Operation]) -> dict[str, Any]:
    structs = {form for operation in operations for form in (operation.body, operation.answer) if form is not None}
    ordered = [Problem, *sorted(structs, key=lambda form: form.__name__)]
    return dict(msgspec.json.schema_components(ordered, ref_template=_SCHEMAS)[1])


def _operation(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": _description(operation),
        "parameters": _parameters(operation),
        "responses": {str(operation.status): _success(operation), **_problems(operation)},
        "security": [] if operation.public else [{"serviceKey": []}, {"session": []}],
    }
    if operation.scope is not None:
        described["x-scope"] = operation.scope.value
    if operation.body is not None:
        content = {"schema": _ref(operation.body.__name__)}
        if operation.example is not None:
            content["example"] = dict(operation.example)
        described["requestBody"] = {"required": True, "content": {"application/json": content}}
    return described


def _description(operation: Operation) -> str:
    need = f"Needs the scope `{operation.scope}`." if operation.scope else ""
    return " ".join(part for part in (operation.description, need) if part)


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    found = [_path_parameter(name) for name in operation.path_names]
    found += [_query_parameter(query) for query in operation.query]
    if operation.consumer:
        found.append(_header(CONSUMER_HEADER, "What asks, as `<kind>/<id>`: a flow, a node.", CONSUMER_PATTERN))
    if operation.if_match:
        found.append(_header("If-Match", "The `ETag` the edit is based on.", r'^(\*|(W/)?"[!#-~]*")$'))
    return found


def _path_parameter(name: str) -> dict[str, Any]:
    schema = {"type": "string", "minLength": 1, "maxLength": LONGEST_PART}
    described: dict[str, Any] = {"name": name, "in": "path", "required": True, "schema": schema}
    if name == "consumer":  # OpenAPI knows no path parameter with a slash in it, so its pattern is said in words
        described |= {"description": "`<kind>/<id>`; the slash may be written `%2F`.", "example": "flow/42"}
    return described


def _query_parameter(query: Query) -> dict[str, Any]:
    schema = _query_schema(query)
    if query.repeated:
        schema = {"type": "array", "items": schema}
    elif query.default not in ("", None) and not (query.kind == "integer" and query.default < query.minimum):
        schema["default"] = query.default
    return {"name": query.name, "in": "query", "required": False, "description": query.description, "schema": schema}


def _query_schema(query: Query) -> dict[str, Any]:
    if query.kind == "integer":
        return {"type": "integer", "minimum": query.minimum, "maximum": query.maximum}
    if query.kind == "flag":
        return {"type": "boolean"}
    return (
        {"type": "string", "enum": list(query.choices)} if query.choices else {"type": "string", "maxLength": LONGEST}
    )


def _header(name: str, description: str, pattern: str) -> dict[str, Any]:
    schema = {"type": "string", "pattern": pattern}
    return {"name": name, "in": "header", "required": False, "description": description, "schema": schema}


def _success(operation: Operation) -> dict[str, Any]:
    if operation.status == 204:
        return {"description": "Done."}
    schema = {"type": "string"} if operation.answer is None else _ref(operation.answer.__name__)
    told: dict[str, Any] = {"description": "Done.", "content": {operation.media_type: {"schema": schema}}}
    if operation.etag:
        told["headers"] = {"ETag": {"description": "The version.", "schema": {"type": "string"}}}
    return told


def problem_codes(operation: Operation) -> list[str]:
    """Every code the operation may answer: those of its shape and those it declares."""
    codes = ["invalid_input", "wrong_host", "unavailable"]
    if not operation.public:
        codes.append("key_invalid")
        codes += ["scope_missing"] if operation.scope else []
        codes += ["cross_site"] if operation.method != "GET" else []
    if operation.path_names:
        codes.append("not_found")
    if operation.method != "GET":
        codes.append("content_too_large")
    if operation.body is not None:
        codes += ["invalid_json", "unsupported_media_type"]
    return [*codes, *(code for code in operation.problems if code not in codes)]


def _problems(operation: Operation) -> dict[str, Any]:
    by_status: dict[int, list[str]] = {}
    for code in problem_codes(operation):
        by_status.setdefault(CODES[code].status, []).append(code)
    return {
        str(status): {
            "description": "; ".join(f"`{code}`: {CODES[code].meaning}" for code in codes),
            "content": {MEDIA_TYPE: {"schema": _ref("Problem")}},
            **_problem_headers(status),
        }
        for status, codes in sorted(by_status.items())
    }


def _problem_headers(status: int) -> dict[str, Any]:
    if status not in (429, 503):
        return {}
    return {"headers": {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": _SCHEMAS.format(name=name)}
