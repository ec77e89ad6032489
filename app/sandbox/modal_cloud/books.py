"""Modal's books: what a sandbox cost so far, and what each app cost by the hour or the day."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from modal_proto import api_pb2

from app.kit.money import SECONDS_PER_HOUR, dollars
from app.sandbox.modal_cloud.sandboxes import ModalSandbox

_INTERVALS = {"h": timedelta(hours=1), "d": timedelta(days=1)}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def stats(sandbox: ModalSandbox, request: Any, *, until: datetime) -> Any:  # noqa: ANN401 - protobuf's
    """Return what a sandbox cost within a period, as far as it is booked."""
    since = _time(request.since) if request.HasField("since") else sandbox.created_at
    end = min(_time(request.until), until) if request.HasField("until") else until
    seconds = sandbox.seconds("gpu", since, max(since, end))
    reply = api_pb2.SandboxGetStatsResponse(duration_hours=seconds / SECONDS_PER_HOUR, num_datapoints=seconds)
    reply.since.FromDatetime(since)
    reply.until.FromDatetime(max(since, end))
    if seconds:
        micros = sandbox.cost_micros("gpu", since, end)
        reply.cost = dollars(micros)
        reply.cost_by_resource[sandbox.resource] = dollars(micros)
        reply.billed_cpu_core_seconds = float(seconds)
        reply.billed_memory_gib_seconds = float(seconds)
    return reply


def report(sandboxes: Iterable[ModalSandbox], request: Any, *, until: datetime) -> list[Any]:  # noqa: ANN401 - protobuf's
    """Return what each app cost in each whole interval of a period, without those in which it cost nothing."""
    step = _INTERVALS[request.resolution]
    start = _EPOCH + (_time(request.start_timestamp) - _EPOCH) // step * step
    end = _time(request.end_timestamp)
    items = []
    while start + step <= end:
        costs: dict[str, int] = defaultdict(int)
        for sandbox in sandboxes:
            costs[sandbox.app_id] += sandbox.cost_micros("gpu", start, max(start, min(start + step, until)))
        items += [_item(app_id, start, micros) for app_id, micros in sorted(costs.items()) if micros]
        start += step
    return items


def _item(app_id: str, start: datetime, micros: int) -> Any:  # noqa: ANN401 - protobuf's
    item = api_pb2.WorkspaceBillingReportItem(
        object_id=app_id, description=app_id, environment_name="main", cost=dollars(micros)
    )
    item.interval.FromDatetime(start)
    return item


def _time(stamp: Any) -> datetime:  # noqa: ANN401 - protobuf's
    return _EPOCH + timedelta(seconds=stamp.seconds, microseconds=stamp.nanos // 1000)
