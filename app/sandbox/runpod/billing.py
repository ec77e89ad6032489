"""RunPod's books: what each pod cost, by bucket of time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from app.kit.clock import rfc3339
from app.sandbox.answers import dollars_number
from app.sandbox.machines import Machine
from app.sandbox.runpod.problems import broken_rule, invalid

_BUCKETS = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(days=7)}
_MONTHS = {"month": 1, "year": 12}
_PERIOD = timedelta(days=30)
_MOST_BUCKETS = 20_000


def billing_page(
    pods: Iterable[Machine], query: Mapping[str, str], *, at: datetime, booked_until: datetime
) -> dict[str, Any]:
    """Return the records asked for: one for each pod and bucket in which anything was booked.

    Raises:
        Refusal: 400 or 422 for a period that is none.
    """
    start, end, size = _window(query, at)
    only = query.get("podId")
    chosen = [pod for pod in pods if only in (None, pod.id)]
    records = [
        record
        for since, until in _buckets(start, end, size)
        for pod in chosen
        if (record := _record(pod, since, until, booked_until=min(booked_until, at)))
    ]
    named = [{**record, "podId": pod_id} for record, pod_id, _ in records]
    return {
        "records": [_wire(record) for record in named],
        "metadata": {
            "query": {"startTime": rfc3339(start), "endTime": rfc3339(end), "bucketSize": size, "podId": only},
            "recordCount": len(records),
            "uniquePodCount": len({pod_id for _, pod_id, _ in records}),
            "totals": _amounts(sum(gpu for _, _, (gpu, _) in records), sum(disk for _, _, (_, disk) in records)),
        },
    }


_Record = tuple[dict[str, Any], str, tuple[int, int]]


def _record(pod: Machine, since: datetime, until: datetime, *, booked_until: datetime) -> _Record | None:
    last = min(until, booked_until)
    gpu, disk = (pod.cost_micros(kind, since, last) if last > since else 0 for kind in ("gpu", "disk"))
    if not gpu and not disk:
        return None
    record = {"startTime": since, "endTime": until, **_amounts(gpu, disk)}
    return record, pod.id, (gpu, disk)


def _amounts(gpu: int, disk: int) -> dict[str, Any]:
    return {
        "totalAmount": dollars_number(gpu + disk),
        "gpuAmount": dollars_number(gpu),
        "cpuAmount": 0,
        "diskAmount": dollars_number(disk),
    }


def _wire(record: Mapping[str, Any]) -> dict[str, Any]:
    return {key: rfc3339(value) if isinstance(value, datetime) else value for key, value in record.items()}


def _window(query: Mapping[str, str], at: datetime) -> tuple[datetime, datetime, str]:
    size = query.get("bucketSize", "day")
    if size not in _BUCKETS and size not in _MONTHS:
        raise invalid("bucketSize: is not what the schema allows")
    if "lastN" in query:
        if "startTime" in query or "endTime" in query:
            raise broken_rule("lastN and startTime/endTime are mutually exclusive")
        if not query["lastN"].isdecimal() or int(query["lastN"]) < 1:
            raise invalid("lastN: is not what the schema allows")
        start = _floor(at, size)
        for _ in range(int(query["lastN"][:5]) - 1):
            start = _floor(start - timedelta(seconds=1), size)
        return start, _next(_floor(at, size), size), size
    start = _moment(query, "startTime") or at - _PERIOD
    end = _moment(query, "endTime") or at
    if end < start:
        raise broken_rule("endTime is before startTime")
    first, last = _floor(start, size), _floor(end, size)
    return first, last if last == end else _next(last, size), size


def _moment(query: Mapping[str, str], name: str) -> datetime | None:
    if name not in query:
        return None
    try:
        return datetime.fromisoformat(query[name]).astimezone(UTC)
    except ValueError:
        raise invalid(f"{name}: is not a date-time") from None


def _buckets(start: datetime, end: datetime, size: str) -> Iterator[tuple[datetime, datetime]]:
    for _ in range(_MOST_BUCKETS):
        if start >= end:
            return
        yield start, (start := _next(start, size))


def _floor(at: datetime, size: str) -> datetime:
    """Return the beginning of a bucket; weeks begin on Mondays."""
    if size == "hour":
        return at.replace(minute=0, second=0, microsecond=0)
    day = at.replace(hour=0, minute=0, second=0, microsecond=0)
    match size:
        case "week":
            return day - timedelta(days=day.weekday())
        case "month":
            return day.replace(day=1)
        case "year":
            return day.replace(month=1, day=1)
        case _:
            return day


def _next(start: datetime, size: str) -> datetime:
    if size in _BUCKETS:
        return start + _BUCKETS[size]
    month = start.month - 1 + _MONTHS[size]
    return start.replace(year=start.year + month // 12, month=month % 12 + 1)
