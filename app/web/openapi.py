"""The OpenAPI document's part that no endpoint states for itself: problem details everywhere."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from app.kit.errors import AppError
from app.web.errors import (
    AccountSuspended,
    BodyTooLarge,
    DeadlineExceeded,
    Internal,
    IpNotAllowed,
    KeyDisabled,
    KeyExpired,
    MalformedRequest,
    RateLimited,
    RequestTimeout,
    ScopeMissing,
    Unauthorized,
    Unavailable,
    UnsupportedMediaType,
    ValidationFailed,
)
from app.web.problems import Problem, responses_for

_ANY: tuple[type[AppError], ...] = (ValidationFailed, Internal, Unavailable, DeadlineExceeded)
_BODY = (MalformedRequest, RequestTimeout, BodyTooLarge, UnsupportedMediaType)
_SECURED = (Unauthorized, KeyExpired, KeyDisabled, ScopeMissing, IpNotAllowed, AccountSuspended, RateLimited)
_METHODS = frozenset({"get", "put", "post", "delete", "patch"})


def complete_openapi(app: FastAPI) -> None:
    """Let an application's document name, for every operation, the errors that the edge gives for it."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _completed(plain())
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI documents this as the way to extend it


def _completed(document: dict[str, Any]) -> dict[str, Any]:
    for path in document.get("paths", {}).values():
        for method, operation in path.items():
            if method in _METHODS:
                _add_errors(operation)
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(schema.pop("$defs", {}))
    schemas["Problem"] = schema
    return document


def _add_errors(operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    if "HTTPValidationError" in str(responses.get("422", "")):
        del responses["422"]  # FastAPI's own form, which this service never answers
    errors = _ANY + (_BODY if "requestBody" in operation else ()) + (_SECURED if "security" in operation else ())
    for status, response in responses_for(*errors).items():
        present = responses.setdefault(str(status), response)
        for media_type, content in response["content"].items():
            there = present.setdefault("content", {}).setdefault(media_type, content)
            there["examples"] = content["examples"] | there.get("examples", {})
