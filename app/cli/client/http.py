"""Calls to the API: retried where that is safe, errors turned into exit codes."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping
from decimal import Decimal
from http import HTTPStatus
from typing import Any, Self

import httpx

from app.cli.client.profiles import Access
from app.cli.errors import CliError, Exit

Json = dict[str, Any]

_TRIES = 4
_PAUSE_SECONDS = 0.3
_PAUSE_SECONDS_MAX = 30.0

_BY_CODE = {
    "policy_violation": Exit.POLICY,
    "budget_exceeded": Exit.POLICY,
    "provisioning_paused": Exit.POLICY,
    "key_limit_exceeded": Exit.POLICY,
    "locked": Exit.FUNDS,
    "no_capacity": Exit.CAPACITY,
    "no_matching_listings": Exit.CAPACITY,
    "price_changed": Exit.CAPACITY,
    "quote_expired": Exit.CAPACITY,
    "provider_error": Exit.PROVIDER,
    "provider_unavailable": Exit.PROVIDER,
}
_BY_STATUS = {
    400: Exit.USAGE,
    401: Exit.AUTH,
    402: Exit.FUNDS,
    403: Exit.AUTH,
    404: Exit.NOT_FOUND,
    405: Exit.USAGE,
    413: Exit.USAGE,
    415: Exit.USAGE,
    422: Exit.USAGE,
    502: Exit.PROVIDER,
}


class Api:
    """One API under one key. Every request that creates or spends carries one idempotency key for all its tries."""

    def __init__(self, access: Access) -> None:
        self._url = access.url
        headers = {"Authorization": f"Bearer {access.api_key}", "User-Agent": "hourglass-cli"}
        self._client = httpx.Client(base_url=access.url, headers=headers, timeout=httpx.Timeout(40, connect=5))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def get(self, path: str, query: Mapping[str, Any] | None = None) -> Json:
        """Return what a path answers.

        Raises:
            CliError: anything but success, with its exit code.
        """
        return self._call("GET", path, query=query)

    def post(self, path: str, body: Json | None = None, *, idempotency_key: str | None = None) -> Json:
        """Ask for something to be done, once however often it has to be sent. Raises as ``get``."""
        return self._call("POST", path, body=body or {}, key=idempotency_key or secrets.token_urlsafe(16))

    def put(self, path: str, body: Json) -> Json:
        """Set what stands at a path. Raises as ``get``."""
        return self._call("PUT", path, body=body)

    def patch(self, path: str, body: Json) -> Json:
        """Change some of what stands at a path. Raises as ``get``."""
        return self._call("PATCH", path, body=body)

    def delete(self, path: str) -> Json:
        """Take away what stands at a path and return what is told of it, if anything. Raises as ``get``."""
        return self._call("DELETE", path)

    def pages(self, path: str, query: Mapping[str, Any] | None = None, *, limit: int) -> Iterator[Json]:
        """Yield the items of a list over its pages, ``limit`` of them at most."""
        asked = {**(query or {}), "limit": min(limit, 200)}
        while limit > 0:
            page = self.get(path, asked)
            yield from page["data"][:limit]
            limit -= len(page["data"])
            if not page.get("has_more"):
                return
            asked["cursor"] = page["next_cursor"]

    def lines(self, path: str, query: Mapping[str, Any] | None = None) -> Iterator[str]:
        """Yield the lines of an answer as they come. Raises as ``get``; an answer that breaks off raises too."""
        params = {name: value for name, value in (query or {}).items() if value is not None}
        try:
            with self._client.stream("GET", path, params=params) as answer:
                if not answer.is_success:
                    answer.read()
                    _told(answer)
                for line in answer.iter_lines():
                    yield f"{line}\n"
        except httpx.TransportError as error:
            raise CliError(f"The answer of {self._url} broke off ({type(error).__name__}).") from None

    def download(self, path: str, query: Mapping[str, Any] | None = None) -> bytes:
        """Return an answer that is no JSON, whole. Raises as ``get``."""
        params = {name: value for name, value in (query or {}).items() if value is not None}
        try:
            answer = self._client.get(path, params=params)
        except httpx.TransportError as error:
            raise CliError(f"No answer from {self._url} ({type(error).__name__}). Does it run there?") from None
        if not answer.is_success:
            _told(answer)
        return answer.content

    def _call(
        self, method: str, path: str, *, query: Mapping[str, Any] | None = None, body: Json | None = None, key: str = ""
    ) -> Json:
        headers = {"Idempotency-Key": key} if key else {}
        params = {name: value for name, value in (query or {}).items() if value is not None}
        for tries in range(1, _TRIES + 1):
            try:
                answer = self._client.request(method, path, params=params, json=_wire(body), headers=headers)
            except httpx.TransportError as error:
                if tries == _TRIES:
                    raise CliError(f"No answer from {self._url} ({type(error).__name__}). Does it run there?") from None
                time.sleep(_PAUSE_SECONDS * 2**tries)
                continue
            if tries == _TRIES or not _may_pass(answer):
                break
            time.sleep(_pause(answer, tries))
        return _told(answer)


def _wire(body: Json | None) -> Json | None:
    if body is None:
        return None
    return {name: str(value) if isinstance(value, Decimal) else value for name, value in body.items()}


def _may_pass(answer: httpx.Response) -> bool:
    return answer.status_code in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE} or (
        answer.status_code == HTTPStatus.CONFLICT and _problem(answer).get("code") == "idempotency_in_progress"
    )


def _pause(answer: httpx.Response, tries: int) -> float:
    told = answer.headers.get("retry-after", "")
    return min(_PAUSE_SECONDS_MAX, float(told) if told.isdecimal() else _PAUSE_SECONDS * float(2**tries))


def _told(answer: httpx.Response) -> Json:
    if answer.is_success:
        try:
            told = answer.json() if answer.content else {}
        except ValueError:
            told = None
        if isinstance(told, dict):
            return told
        raise CliError("The answer is no JSON object. Is this URL an Hourglass API?")
    problem = _problem(answer)
    raise CliError(_words(answer, problem), exit_code=exit_code_of(answer.status_code, problem), problem=problem)


def exit_code_of(status: int, problem: Json) -> Exit:
    """Return the exit code for an answer that is no success."""
    code = str(problem.get("code", ""))
    return _BY_CODE.get(code) or _BY_STATUS.get(status, Exit.FAILED)


def _problem(answer: httpx.Response) -> Json:
    try:
        told = answer.json()
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _words(answer: httpx.Response, problem: Json) -> str:
    words = str(problem.get("detail") or f"The API answered {answer.status_code}.")
    fields = [f"  {item.get('pointer')}: {item.get('message')}" for item in problem.get("errors") or []]
    return "\n".join([words, *fields])
