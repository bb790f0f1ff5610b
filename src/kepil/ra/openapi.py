"""The API's description, OpenAPI 3.1, made from its operations and messages."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from kepil.ra.messages import ProblemDocument
from kepil.ra.operation import OPERATIONS, Operation
from kepil.ra.problem import KINDS

PROBLEM = "application/problem+json"
PARAMETERS = {
    "id": {"type": "string", "format": "uuid", "description": "the application's identifier"},
    "serial": {"type": "string", "pattern": "^[0-9a-f]{2,40}$", "description": "serial number, hexadecimal"},
}
IDEMPOTENCY_KEY: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": True,
    "description": "A random value, the same in every retry: an application sent twice is entered once.",
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9._~-]{16,128}$"},
}
_TEXT = """\
Officers are known by their TLS certificates and do what their roles allow. Whoever entered an application does not
decide on it. Times are UTC. A list has pages: send `next` of a page as `cursor` to get the page after it. Problems are
documents of RFC 9457; their `code` is stable and their `remedy` says what to do:

"""


def description() -> dict[str, Any]:
    """The whole description; it depends on nothing but the code."""
    _, definitions = models_json_schema(
        [(model, "validation") for model in _models()], ref_template="#/components/schemas/{model}"
    )
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    codes = "\n".join(f"- `{code}` ({kind.status.value}): {kind.remedy}" for code, kind in KINDS.items())
    return {
        "openapi": "3.1.0",
        "info": {"title": "Registration authority", "version": "1", "description": _TEXT + codes},
        "paths": paths,
        "components": {
            "schemas": {name: _without_titles(schema) for name, schema in sorted(definitions["$defs"].items())},
            "securitySchemes": {"officer": {"type": "mutualTLS", "description": "the officer's own certificate"}},
        },
        "security": [{"officer": []}],
    }


def _models() -> list[type[BaseModel]]:
    given = [model for each in OPERATIONS for model in (each.body, each.answer) if isinstance(model, type)]
    return list(dict.fromkeys([*given, ProblemDocument]))


def _operation(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "parameters": _parameters(operation),
        "responses": _responses(operation),
    }
    if operation.roles:
        described["description"] = f"For officers with the role {' or '.join(operation.roles)}."
    if operation.body:
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": _ref(operation.body)}}}
    if operation.open:
        described["security"] = []
    return described


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": schema}
        for name, schema in PARAMETERS.items()
        if f"{{{name}}}" in operation.path
    ]
    if operation.query:
        for name, schema in operation.query.model_json_schema()["properties"].items():
            parameters.append({"name": name, "in": "query", "schema": _query_schema(schema)})
    if operation.idempotency_key:
        parameters.append(IDEMPOTENCY_KEY)
    return parameters


def _query_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter is left out rather than null."""
    given = [each for each in schema.get("anyOf", []) if each != {"type": "null"}]
    rest = {key: value for key, value in schema.items() if key not in ("anyOf", "title")}
    return {key: value for key, value in {**rest, **(given[0] if given else {})}.items() if value is not None}


def _responses(operation: Operation) -> dict[str, Any]:
    plain = isinstance(operation.answer, str)
    media_type = operation.answer if plain else "application/json"
    schema = {"type": "object"} if media_type == "application/json" else {"type": "string"}
    good: dict[str, Any] = {
        "description": operation.status.phrase,
        "content": {media_type: {"schema": schema if plain else _ref(operation.answer)}},
    }
    if operation.idempotency_key:
        good["headers"] = {"Location": {"description": "where the application is", "schema": {"type": "string"}}}
    problems: dict[str, list[str]] = {}
    for code in operation.codes:
        problems.setdefault(str(KINDS[code].status.value), []).append(code)
    return {
        str(operation.status.value): good,
        **{
            status: {
                "description": ", ".join(f"`{code}`" for code in codes),
                "content": {PROBLEM: {"schema": _ref(ProblemDocument)}},
            }
            for status, codes in sorted(problems.items())
        },
    }


def _ref(model: Any) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def _without_titles(schema: Any) -> Any:
    """Titles that only repeat the names of fields."""
    if isinstance(schema, dict):
        return {
            key: _without_titles(value)
            for key, value in schema.items()
            if not (key == "title" and isinstance(value, str))
        }
    return [_without_titles(each) for each in schema] if isinstance(schema, list) else schema
