"""Vast's books: what each instance really cost, by day window."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from app.kit.money import SECONDS_PER_HOUR, dollars
from app.sandbox.answers import dollars_number
from app.sandbox.machines import Machine, Span
from app.sandbox.vast.search import invalid_args, matches, number

_DAY_SECONDS = 86_400
_MOST = 500


def charges_page(machines: Iterable[Machine], query: Mapping[str, str], *, until: datetime) -> dict[str, Any]:
    """Return the page of charges asked for: one row per instance, its GPU and disk items within the days.

    Days are whole UTC days, from the one of ``gte`` to the one of ``lte``. Nothing is booked after ``until``.
    """
    filters = _filters(query)
    since, before = _window(filters.pop("day", None), until)
    rows = [row for machine in machines if (row := _row(machine, since, before)) and matches(row, filters)]
    rows.sort(key=lambda row: int(row["start"]), reverse=query.get("latest_first", "").lower() == "true")
    offset = int(number(query.get("after_token")) or 0)
    limit = min(max(1, int(number(query.get("limit")) or 20)), _MOST)
    page = rows[offset : offset + limit]
    more = offset + limit < len(rows)
    return {
        "success": True,
        "count": len(page),
        "total": len(rows),
        "next_token": str(offset + limit) if more else None,
        "results": page,
    }


def _filters(query: Mapping[str, str]) -> dict[str, Any]:
    try:
        filters = json.loads(query.get("select_filters") or "{}", parse_float=Decimal)
    except ValueError:
        raise invalid_args("select_filters must be JSON") from None
    if not isinstance(filters, dict):
        raise invalid_args("select_filters must be an object")
    return filters


def _window(day: object, until: datetime) -> tuple[datetime, datetime]:
    bounds = day if isinstance(day, dict) else {}
    first, last = number(bounds.get("gte")), number(bounds.get("lte"))
    if first is None or last is None:
        raise invalid_args("a day range with gte and lte is required")
    since = datetime.fromtimestamp(int(first) // _DAY_SECONDS * _DAY_SECONDS, UTC)
    before = datetime.fromtimestamp((int(last) // _DAY_SECONDS + 1) * _DAY_SECONDS, UTC)
    return since, min(before, until)


def _row(machine: Machine, since: datetime, before: datetime) -> dict[str, Any] | None:
    spans = [
        span
        for span in machine.spans
        if span.start < before and (span.end or before) > since and (span.end or before) > span.start
    ]
    if not spans:
        return None
    items = [_item(span, since, before) for span in spans]
    amount = sum(span.cost_micros(since, before) for span in spans)
    return {
        "start": min(item["start"] for item in items),
        "end": max(item["end"] for item in items),
        "type": "instance",
        "source": f"instance-{machine.id}",
        "description": f"Instance {machine.id}: {machine.gpu.count}x {machine.gpu.name}",
        "amount": dollars_number(amount),
        "metadata": {"label": machine.marker},
        "items": items,
    }


def _item(span: Span, since: datetime, before: datetime) -> dict[str, Any]:
    start, end = max(span.start, since), min(span.end or before, before)
    hours = (end - start) / timedelta(seconds=SECONDS_PER_HOUR)
    return {
        "start": int(start.timestamp()),
        "end": int(end.timestamp()),
        "type": span.kind,
        "description": f"{hours:.3f} hours at ${dollars(span.micros_per_hour)}/hour",
        "amount": dollars_number(span.cost_micros(since, before)),
        "metadata": {},
        "items": [],
    }
