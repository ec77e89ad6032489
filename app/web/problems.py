"""Problem details (RFC 9457): the one way in which an error leaves the service. Nothing of the input is echoed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import Scope

from app.kit.db import is_transient, sqlstate
from app.kit.errors import AppError, NotFound
from app.web.errors import BodyTooLarge, Internal, MalformedRequest, MethodNotAllowed, Unavailable, ValidationFailed
from app.web.exchange import exchange_of

MEDIA_TYPE = "application/problem+json"
_log = structlog.get_logger("hourglass.web")
_SHOWABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,39}", re.ASCII)
_METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
_CAUSES_MAX, _PLACES_MAX = 6, 12
_LOCK_NOT_AVAILABLE, _QUERY_CANCELED = "55P03", "57014"


class FieldProblem(BaseModel):
    """One field that was refused."""

    pointer: str = Field(description="JSON pointer into the body, or the parameter's place and name.")
    code: str
    message: str


class Problem(BaseModel):
    """An error, by RFC 9457."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(examples=["urn:hourglass:error:not_found"])
    title: str
    status: int
    detail: str
    code: str
    retryable: bool
    suggestion: str
    errors: list[FieldProblem]
    request_id: str
    instance: str


def problem(error: AppError, scope: Scope) -> Response:
    """Return the answer that tells an error."""
    exchange = exchange_of(scope)
    exchange.code = error.code
    document = error.extra | {
        "type": f"urn:hourglass:error:{error.code}",
        "title": HTTPStatus(error.status).phrase,
        "status": error.status,
        "detail": error.detail,
        "code": error.code,
        "retryable": error.retryable,
        "suggestion": error.suggestion,
        "errors": error.errors,
        "request_id": exchange.request_id,
        "instance": f"urn:hourglass:request:{exchange.request_id}",
    }
    return Response(json.dumps(document), error.status, _headers(error), media_type=MEDIA_TYPE)


def _headers(error: AppError) -> dict[str, str]:
    headers = dict(error.headers)
    if error.status == HTTPStatus.UNAUTHORIZED:
        headers.setdefault("WWW-Authenticate", 'Bearer realm="hourglass"')
    if error.status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers.setdefault("Retry-After", "1")
    return headers


def responses_for(*errors: type[AppError]) -> dict[int | str, dict[str, Any]]:
    """Return FastAPI's ``responses`` for the errors that an endpoint can give, an example for each code."""
    responses: dict[int | str, dict[str, Any]] = {}
    for error in errors:
        response = responses.setdefault(
            error.status,
            {
                "description": HTTPStatus(error.status).phrase,
                "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": {}}},
            },
        )
        response["content"][MEDIA_TYPE]["examples"][error.code] = {"value": _example(error)}
    return responses


def _example(error: type[AppError]) -> dict[str, Any]:
    return {
        "type": f"urn:hourglass:error:{error.code}",
        "title": HTTPStatus(error.status).phrase,
        "status": error.status,
        "detail": error().detail,
        "code": error.code,
        "retryable": error.retryable,
        "suggestion": error.suggestion,
        "errors": [],
        "request_id": "req_01J00000000000000000000000",
        "instance": "urn:hourglass:request:req_01J00000000000000000000000",
    }


def as_app_error(error: Exception, scope: Scope) -> AppError:
    """Return how any error is told; one that nobody expected becomes ``internal`` and is logged without its words."""
    if isinstance(error, AppError):
        return error
    if isinstance(error, RequestValidationError):
        return ValidationFailed(errors=field_problems(error.errors()))
    if isinstance(error, HTTPException):
        return _from_http(error, scope)
    state = sqlstate(error)
    passing = is_transient(error) or state in (_LOCK_NOT_AVAILABLE, _QUERY_CANCELED)
    told = Unavailable() if passing or isinstance(error, PoolTimeoutError) else Internal()
    _log.error(
        "request_failed", request_id=exchange_of(scope).request_id, code=told.code, sqlstate=state, **whence(error)
    )
    return told


def _from_http(error: HTTPException, scope: Scope) -> AppError:
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        return MethodNotAllowed(headers={"Allow": ", ".join(_allowed(scope))})
    if error.status_code == HTTPStatus.NOT_FOUND:
        return NotFound()
    if error.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return BodyTooLarge()
    return MalformedRequest()


def _allowed(scope: Scope) -> list[str]:
    """Ask every route anew: the router names only the methods of the first that matched."""
    routes = scope["app"].router.routes
    return [
        method
        for method in _METHODS
        if any(route.matches({**scope, "method": method})[0] is Match.FULL for route in routes)
    ]


def field_problems(errors: Sequence[Any]) -> list[dict[str, str]]:
    """Return pydantic's findings without the refused values, and without names that only the caller knows."""
    return [
        {"pointer": _pointer(error["loc"]), "code": str(error["type"]), "message": _message(error)}
        for error in errors[:50]
    ]


def _pointer(loc: Sequence[str | int]) -> str:
    place, *path = loc
    parts = [str(part) if isinstance(part, int) or _SHOWABLE.fullmatch(part) else "…" for part in path]
    prefix = "" if place == "body" else f"{place}:"
    return prefix + "".join(f"/{part}" for part in parts)


def _message(error: Mapping[str, Any]) -> str:
    if error["type"] == "union_tag_invalid":
        return "Names no known kind"  # pydantic's own words repeat the tag
    return str(error["msg"]).removeprefix("Value error, ")


def whence(error: BaseException) -> dict[str, Any]:
    """Return an error's classes and places: what a log may hold, since messages can carry what was sent."""
    chain: list[str] = []
    places: list[str] = []
    current: BaseException | None = error
    while current is not None and len(chain) < _CAUSES_MAX:
        chain.append(type(current).__qualname__)
        trace = current.__traceback__
        while trace is not None:
            code = trace.tb_frame.f_code
            places.append(f"{'/'.join(code.co_filename.split('/')[-3:])}:{trace.tb_lineno} {code.co_name}")
            trace = trace.tb_next
        current = current.__cause__ or current.__context__
    return {"error": chain, "places": places[-_PLACES_MAX:]}


async def _tell(request: Request, error: Exception) -> Response:
    return problem(as_app_error(error, request.scope), request.scope)


def tell_problems(app: FastAPI) -> None:
    """Let an application tell all its errors as problem details; a path with a slash too many is unknown, not moved."""
    for kind in (AppError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, _tell)
    app.router.redirect_slashes = False
