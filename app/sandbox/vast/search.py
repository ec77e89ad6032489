"""Vast's query language: ``{"field": {"operator": value}}`` plus order, limit, type and allocated_storage."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal, InvalidOperation
from typing import Any

from app.sandbox.answers import Refusal

Row = dict[str, Any]
_DIRECTIVES = frozenset({"order", "limit", "type", "allocated_storage", "disable_bundling", "extra", "select_cols"})
_BOOLEANS = {"true": True, "false": False, "1": True, "0": False}


def invalid_args(message: str, **more: object) -> Refusal:
    """Return Vast's word for a request that is wrong."""
    return Refusal(400, {"success": False, "error": "invalid_args", "msg": message, **more})


def select(rows: Iterable[Row], query: dict[str, Any]) -> list[Row]:
    """Return the rows that match, in the order asked for, cut to the limit."""
    filters = {field: tests for field, tests in query.items() if field not in _DIRECTIVES}
    found = [row for row in rows if matches(row, filters)]
    for column, direction in reversed(_order(query.get("order"))):
        found = ordered(found, column, descending=direction == "desc")
    limit = number(query.get("limit"))
    return found if limit is None else found[: max(0, int(limit))]


def matches(row: Row, filters: dict[str, Any]) -> bool:
    """Whether a row passes every test. A bare value means ``eq``."""
    for field, tests in filters.items():
        for operator, wanted in (tests if isinstance(tests, dict) else {"eq": tests}).items():
            test = _OPERATORS.get(operator)
            if test is None:
                raise invalid_args(f"unknown operator {operator!r} on {field}")
            if not test(row.get(field), wanted):
                return False
    return True


def ordered(rows: list[Row], column: str, *, descending: bool) -> list[Row]:
    """Return rows sorted by one column, those without a value last."""
    known = [row for row in rows if row.get(column) is not None]
    missing = [row for row in rows if row.get(column) is None]
    known.sort(key=lambda row: _sortable(row[column]), reverse=descending)
    return known + missing


def number(value: object) -> Decimal | None:
    """Return a number sent as a number or, as the official client does, as text."""
    if value is None or isinstance(value, bool):
        return None
    try:
        read = Decimal(str(value))
    except InvalidOperation:
        return None
    return read if read.is_finite() else None


def ids_in(body: dict[str, Any], name: str) -> list[int]:
    """Return the list of ids in a body, or refuse."""
    ids = body.get(name)
    if not isinstance(ids, list) or not all(isinstance(item, int) for item in ids):
        raise invalid_args(f"{name} must be a list of ids")
    return ids


def _order(order: Any) -> list[tuple[str, str]]:  # noqa: ANN401 - any JSON
    if order is None:
        return []
    try:
        pairs = [(str(column), str(direction)) for column, direction in order]
    except (TypeError, ValueError):
        raise invalid_args("order must be a list of [field, direction]") from None
    return pairs


def _sortable(value: object) -> tuple[int, Decimal, str]:
    as_number = Decimal(value) if isinstance(value, (bool, int, Decimal)) else None
    return (0, as_number, "") if as_number is not None else (1, Decimal(0), str(value))


def _like(mine: object, wanted: object) -> object:
    """Return the wanted value in the type of mine; None when it can't be."""
    if isinstance(mine, bool):
        return wanted if isinstance(wanted, bool) else _BOOLEANS.get(str(wanted).lower())
    if isinstance(mine, (int, Decimal)):
        return number(wanted)
    return None if wanted is None else str(wanted)


def _equal(mine: object, wanted: object) -> bool:
    return mine is None if wanted is None else mine is not None and mine == _like(mine, wanted)


def _compared(test: Callable[[Any, Any], bool]) -> Callable[[object, object], bool]:
    def compare(mine: object, wanted: object) -> bool:
        """Say whether both are there and the test holds of them."""
        other = _like(mine, wanted)
        return mine is not None and other is not None and test(mine, other)

    return compare


def _within(mine: object, wanted: object) -> bool:
    return isinstance(wanted, list) and any(_equal(mine, item) for item in wanted)


_OPERATORS: dict[str, Callable[[object, object], bool]] = {
    "eq": _equal,
    "neq": lambda mine, wanted: not _equal(mine, wanted),
    "gt": _compared(lambda mine, wanted: mine > wanted),
    "lt": _compared(lambda mine, wanted: mine < wanted),
    "gte": _compared(lambda mine, wanted: mine >= wanted),
    "lte": _compared(lambda mine, wanted: mine <= wanted),
    "in": _within,
    "notin": lambda mine, wanted: not _within(mine, wanted),
}
