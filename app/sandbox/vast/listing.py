"""Vast's paged list of instances."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from app.sandbox.vast.search import invalid_args, matches, number, ordered

_PAGE = 25
_FILTERS = frozenset({"actual_status", "gpu_name", "verification", "id", "label"})
Row = dict[str, Any]


def instances_page(rows: list[Row], query: Mapping[str, str]) -> Row:
    """Return one page of ``GET /api/v1/instances/``: at most 25, filtered by five fields, in the order asked for.

    Raises:
        Refusal: 400 for another filter or a query that is not JSON.
    """
    filters = _json(query, "select_filters", {})
    order = _json(query, "order_by", [])
    if not isinstance(filters, dict) or not isinstance(order, list):
        raise invalid_args("select_filters must be an object, order_by a list")
    for field in filters:
        if field not in _FILTERS:
            raise invalid_args(f"can't filter by {field}")
    found = [row for row in rows if matches(row, filters)]
    for entry in reversed(order):
        if isinstance(entry, dict):
            found = ordered(found, str(entry.get("col")), descending=entry.get("dir") == "desc")
    offset = int(number(query.get("after_token")) or 0)
    limit = min(max(1, int(number(query.get("limit")) or _PAGE)), _PAGE)
    page = found[offset : offset + limit]
    return {
        "success": True,
        "instances_found": len(page),
        "total_instances": len(found),
        "label_counts": dict(Counter(str(row["label"] or "") for row in found)),
        "next_token": str(offset + limit) if offset + limit < len(found) else None,
        "instances": page,
    }


def _json(query: Mapping[str, str], name: str, default: object) -> object:
    """Read a query parameter that holds JSON, even JSON in a JSON string as the official CLI sends it."""
    try:
        value = json.loads(query.get(name) or "null", parse_float=Decimal)
        value = json.loads(value, parse_float=Decimal) if isinstance(value, str) else value
    except ValueError:
        raise invalid_args(f"{name} must be JSON") from None
    return default if value is None else value
