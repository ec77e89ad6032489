"""Reading JSON strictly, before any model sees it, and before any transaction is open.

Python's own reader lets duplicate keys, NaN, infinities and numbers of any size through; a model can't see those.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.types import Scope

from app.kit.errors import NotFound
from app.web.errors import MalformedRequest, UnsupportedMediaType, ValidationFailed
from app.web.schemas import INT_MAX

DEPTH_MAX = 32
_INT_DIGITS = 17
_DECIMAL_DIGITS = 40
_EXPONENT_MAX = 30
_BODILESS = frozenset({"GET", "HEAD", "OPTIONS"})


def read_json(raw: bytes) -> Any:  # noqa: ANN401 - any JSON document
    """Return a JSON document: whole numbers as int, others as Decimal.

    Raises:
        MalformedRequest: no JSON, or not UTF-8.
        ValidationFailed: duplicate keys, NaN or infinity, numbers or nesting beyond the bounds, NUL or half characters.
    """
    try:
        text = raw.decode("utf-8")
        document = _DECODER.decode(text)
    except RecursionError:
        raise _too_deep() from None
    except ValueError:
        raise MalformedRequest("The body is not JSON in UTF-8.") from None
    if raw.count(b"[") + raw.count(b"{") > DEPTH_MAX:
        _check_depth(document)
    if b"\\u" in raw or b"\x00" in raw:
        _check_characters(document)
    return document


class JsonRequest(Request):
    """A request whose JSON is read by our reader."""

    document: Any = None
    """The body's document once it was read; None before, or where it is ``null``."""

    async def json(self) -> Any:  # noqa: ANN401 - any JSON document
        """Return the body's document, read once."""
        if self.document is None:
            self.document = read_json(await self.body())
        return self.document


class JsonRoute(APIRoute):
    """A route that has its whole body in hand, checked for type and form, before a dependency runs."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler with the body read in front of it."""
        handle = super().get_route_handler()
        takes_json = self.body_field is not None

        async def handle_with_body(request: Request) -> Response:
            """Read and check the body, then handle the request."""
            check_address(request.scope)
            if request.method in _BODILESS:
                return await handle(request)
            strict = JsonRequest(request.scope, request.receive)
            if await strict.body() and takes_json:
                check_content_type(strict)
                await strict.json()
            return await handle(strict)

        return handle_with_body


def check_address(scope: Scope) -> None:
    """Pass when no NUL is in a request's path or query: no text in the database can hold one.

    Raises:
        NotFound: nothing has such an id.
        ValidationFailed: a parameter holds one.
    """
    if "\0" in scope["path"]:
        raise NotFound
    if b"\0" in (query := scope["query_string"]) or b"%00" in query:
        problem = {"pointer": "query:", "code": "character", "message": "must not hold NUL"}
        raise ValidationFailed(errors=[problem])


def check_content_type(request: Request) -> None:
    """Pass when the body is declared as plain JSON in UTF-8.

    Raises:
        UnsupportedMediaType: another type or charset, or compressed.
    """
    kind, _, parameters = request.headers.get("content-type", "").lower().partition(";")
    if kind.strip() != "application/json" or parameters.strip().replace('"', "") not in ("", "charset=utf-8"):
        raise UnsupportedMediaType
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType("A compressed body is not accepted.")


def _refused(message: str, *, code: str) -> ValidationFailed:
    return ValidationFailed(errors=[{"pointer": "", "code": code, "message": message}])


def _too_deep() -> ValidationFailed:
    return _refused(f"is nested deeper than {DEPTH_MAX} levels", code="too_deep")


def _constant(_text: str) -> NoReturn:
    raise _refused("holds NaN or an infinity, which JSON does not have", code="not_finite")


def _whole(text: str) -> int:
    if len(text) > _INT_DIGITS or abs(value := int(text)) > INT_MAX:
        raise _refused("holds a whole number beyond 2^53 - 1", code="number_too_large")
    return value


def _fraction(text: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise _refused("holds a number beyond the bounds", code="number_too_large") from None
    if len(text) > _DECIMAL_DIGITS or abs(value.adjusted()) > _EXPONENT_MAX:
        raise _refused("holds a number with too many digits", code="number_too_large")
    return value


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _refused("holds the same key twice in one object", code="duplicate_key")
    return members


_DECODER = json.JSONDecoder(
    object_pairs_hook=_members, parse_int=_whole, parse_float=_fraction, parse_constant=_constant
)


def _check_depth(document: Any) -> None:  # noqa: ANN401 - any JSON document
    level = _containers([document])
    for _ in range(DEPTH_MAX):
        level = [inner for node in level for inner in _containers(node)]
        if not level:
            return
    raise _too_deep()


def _containers(node: dict[str, Any] | list[Any]) -> list[Any]:
    members = node.values() if isinstance(node, dict) else node
    return [member for member in members if isinstance(member, dict | list)]


def _check_characters(document: Any) -> None:  # noqa: ANN401 - any JSON document
    """Refuse NUL and lone surrogates anywhere, keys included: neither the database nor UTF-8 can hold them."""
    pending = [document]
    while pending:
        node = pending.pop()
        if isinstance(node, str):
            if "\0" in node or not _encodes(node):
                raise _refused("holds NUL or half a surrogate pair", code="character")
        elif isinstance(node, dict):
            pending.extend((*node.keys(), *node.values()))
        elif isinstance(node, list):
            pending.extend(node)


def _encodes(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
