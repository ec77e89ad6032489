"""The OpenAPI document's part that no endpoint states for itself: errors, scopes, summaries, and the headers it reads."""

from __future__ import annotations

import re
from typing import Any

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts

from app.kit.errors import AppError
from app.web.errors import (
    AccountSuspended,
    BodyTooLarge,
    CsrfFailed,
    DeadlineExceeded,
    Internal,
    IpNotAllowed,
    KeyDisabled,
    KeyExpired,
    MalformedRequest,
    MembershipEnded,
    RateLimited,
    RequestTimeout,
    ScopeMissing,
    SignInNeeded,
    Unauthorized,
    Unavailable,
    UnsupportedMediaType,
    ValidationFailed,
)
from app.web.problems import Problem, responses_for
from app.web.work import SESSION_SCHEME, required_scope, session_model

_ANY: tuple[type[AppError], ...] = (ValidationFailed, Internal, Unavailable, DeadlineExceeded)
_BODY = (MalformedRequest, UnsupportedMediaType)
_UNSAFE = (RequestTimeout, BodyTooLarge)
"""A body is read, and bounded, for every method but GET."""
_SECURED = (Unauthorized, KeyExpired, KeyDisabled, ScopeMissing, IpNotAllowed, AccountSuspended, RateLimited)
_METHODS = frozenset({"get", "put", "post", "delete", "patch"})
_SENTENCE_END = re.compile(r"[.:;](?:\s|$)")
_HEADERS = {
    "idempotency_key_missing": {
        "name": "Idempotency-Key",
        "in": "header",
        "required": True,
        "description": "A fresh random text for each request, and the same one when it is sent again.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
        "example": "5f0c7a8e-4a52-4f0e-9d2b-0c1f6a3e9b77",
    },
    "etag_mismatch": {
        "name": "If-Match",
        "in": "header",
        "required": False,
        "description": "The `ETag` that was read; the change is made only if it still holds.",
        "schema": {"type": "string"},
    },
}
"""By the code of the error that tells of it."""


def complete_openapi(app: FastAPI) -> None:
    """Let an application's document tell, for every operation, what the edge does for it: its errors, scope and headers."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        """Return the document, completed when it is first asked for."""
        if app.openapi_schema is None:
            app.openapi_schema = _completed(plain(), _scopes(app))
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI documents this as the way to extend it


def _scopes(app: FastAPI) -> dict[str, str]:
    """Return the scope that each operation asks for, by its id; one for any valid key is left out."""
    scopes: dict[str, str] = {}
    for context in iter_route_contexts(app.routes):
        route = context.original_route
        if isinstance(route, APIRoute) and (scope := _scope(route.dependant)):
            scopes[route.operation_id or route.unique_id] = scope
    return scopes


def _scope(dependant: Dependant) -> str | None:
    found = (required_scope(inner.call) for inner in dependant.dependencies)
    return next((scope for scope in found if scope), None)


def _completed(document: dict[str, Any], scopes: dict[str, str]) -> dict[str, Any]:
    for path in document.get("paths", {}).values():
        for method, operation in path.items():
            if method in _METHODS:
                _complete(operation, method, scopes.get(operation.get("operationId", "")))
    components = document.setdefault("components", {})
    if "securitySchemes" in components:
        told = session_model().model_dump(mode="json", by_alias=True, exclude_none=True)
        components["securitySchemes"][SESSION_SCHEME] = told
    schemas = components.setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(schema.pop("$defs", {}))
    schemas["Problem"] = schema
    return document


def _complete(operation: dict[str, Any], method: str, scope: str | None) -> None:
    if told := operation.get("description"):
        operation["summary"] = _SENTENCE_END.split(told, maxsplit=1)[0]
    if scope is not None:
        operation["security"] = [{key: [scope] for key in scheme} for scheme in operation["security"]]
    takes_key = not any(SESSION_SCHEME in scheme for scheme in operation.get("security", ()))
    if takes_key and "security" in operation:
        operation["security"].append({SESSION_SCHEME: []})
    _add_errors(operation, method, (MembershipEnded,) if takes_key else (SignInNeeded,))
    told_errors = str(operation["responses"])
    for code, header in _HEADERS.items():
        if f"'{code}'" in told_errors:
            operation.setdefault("parameters", []).append(header)


def _add_errors(operation: dict[str, Any], method: str, by_caller: tuple[type[AppError], ...]) -> None:
    responses = operation["responses"]
    if "HTTPValidationError" in str(responses.get("422", "")):
        del responses["422"]  # FastAPI's own form, which this service never answers
    errors = _ANY + (_BODY if "requestBody" in operation else ())
    errors += _UNSAFE if method != "get" else ()
    if "security" in operation:
        errors += _SECURED + by_caller + ((CsrfFailed,) if method != "get" else ())
    for status, response in responses_for(*errors).items():
        present = responses.setdefault(str(status), response)
        for media_type, content in response["content"].items():
            there = present.setdefault("content", {}).setdefault(media_type, content)
            there["examples"] = content["examples"] | there.get("examples", {})
