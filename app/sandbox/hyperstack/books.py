"""Hyperstack's books: what each machine has cost within a period, as far as they have got."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from app.kit.clock import whole_seconds
from app.kit.money import SECONDS_PER_HOUR
from app.sandbox.answers import dollars_number
from app.sandbox.hyperstack.environments import wire_time
from app.sandbox.hyperstack.errors import bad_request
from app.sandbox.hyperstack.paging import page_of
from app.sandbox.hyperstack.virtual_machines import VirtualMachine, status_of
from app.sandbox.machines import Span

_HALF_HOUR = timedelta(minutes=30)


def history(machines: Iterable[VirtualMachine], query: Mapping[str, str], *, until: datetime) -> dict[str, Any]:
    """Return the page of the books asked for. Nothing is booked after ``until``."""
    since, before = _period(query, until)
    wanted = query.get("search", "").lower()
    rows = [
        _row(machine, since, before, until)
        for machine in machines
        if wanted in (machine.marker or "").lower() and _cost(machine, since, before)
    ]
    number, size = page_of(query, "per_page")
    page = rows[(number - 1) * size : number * size]
    pagination = {"page": number, "per_page": size, "pages": -(-len(rows) // size)}
    books = {"org_id": 1, "total_count": len(rows), "pagination": pagination, "billing_history": page}
    return {"status": True, "message": "Success", "billing_history_vm": books}


def details(machine: VirtualMachine, query: Mapping[str, str], *, until: datetime) -> dict[str, Any]:
    """Return what the books say of one machine, by state; nothing while they have not got to it."""
    since, before = _period(query, until)
    row = _row(machine, since, before, until)
    del row["attributes"]["status"], row["attributes"]["contract_id"]
    stopped = sum(_seconds(span, since, before) for span in machine.stopped)
    active = machine.seconds("gpu", since, before) - stopped
    saved = sum(_seconds(span, since, before) for span in _saved(machine))
    row["metrics"] |= {
        "non_discounted_bill": row["metrics"]["incurred_bill"],
        "non_discounted_price_per_hour": row["metrics"]["price_per_hour"],
        "usage_time_ACTIVE": _minutes(active),
        "usage_time_SHUTOFF": _minutes(stopped),
        "usage_time_HIBERNATED": _minutes(saved),
    }
    rows = [row] if _cost(machine, since, before) else []
    books = {"org_id": 1, "total_count": len(rows), "billing_history": rows}
    return {"status": True, "message": "Success", "billing_history_vm_details": books}


def events(machine: VirtualMachine, *, until: datetime) -> dict[str, Any]:
    """Return every stretch that was charged."""
    spans = [("ACTIVE", span) for span in machine.spans if span.kind == "gpu"]
    spans += [("HIBERNATED", span) for span in _saved(machine)]
    rows = [
        {
            "event": event,
            "event_duration": _minutes(_seconds(span, span.start, until)),
            "price_per_hour": dollars_number(span.micros_per_hour),
            "start": wire_time(span.start),
            "total_cost": dollars_number(span.cost_micros(span.start, until)),
        }
        for event, span in sorted(spans, key=lambda one: one[1].start)
        if span.start < until
    ]
    return {"status": True, "message": "Success", "billing_events_history": rows}


def _row(machine: VirtualMachine, since: datetime, before: datetime, until: datetime) -> dict[str, Any]:
    seconds = machine.seconds("gpu", since, before) + sum(_seconds(span, since, before) for span in _saved(machine))
    ended = machine.ended_at is not None and machine.ended_at <= until
    return {
        "attributes": {
            "id": f"vm-{machine.id}",
            "infrahub_id": int(machine.id),
            "resource_name": machine.marker or f"vm-{machine.id}",
            "status": "DELETED" if ended else status_of(machine, until) if machine.alive else "ACTIVE",
            "contract_id": None,
        },
        "metrics": {
            "incurred_bill": dollars_number(_cost(machine, since, before)),
            "price_per_hour": dollars_number(machine.price_micros_per_hour),
            "usage_time": _minutes(seconds),
        },
    }


def _cost(machine: VirtualMachine, since: datetime, before: datetime) -> int:
    return machine.cost_micros("gpu", since, before) + machine.cost_micros("disk", since, before)


def _saved(machine: VirtualMachine) -> list[Span]:
    return [span for span in machine.spans if span.kind == "disk" and span.micros_per_hour]


def _seconds(span: Span, since: datetime, until: datetime) -> int:
    return whole_seconds(max(span.start, since), min(span.end or until, until))


def _minutes(seconds: int) -> Decimal:
    return (Decimal(seconds) / (SECONDS_PER_HOUR // 60)).quantize(Decimal("0.0001"))


def _period(query: Mapping[str, str], until: datetime) -> tuple[datetime, datetime]:
    try:
        since, before = (
            datetime.fromisoformat(query[key]).replace(tzinfo=UTC) if query.get(key) else None
            for key in ("start_date", "end_date")
        )
    except ValueError:
        raise bad_request("Invalid date format.") from None
    return since or until - _HALF_HOUR, min(before or until, until)
