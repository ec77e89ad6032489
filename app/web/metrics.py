"""Figures of the edge for Prometheus: requests by method, route template and status, and how long they took."""

from __future__ import annotations

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram

_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class RequestMetrics:
    """Counts answered requests. Label sets are bounded: templates, known methods, statuses."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self._requests = Counter(
            "hourglass_http_requests", "Requests answered.", ("method", "route", "status"), registry=registry
        )
        self._seconds = Histogram(
            "hourglass_http_request_seconds",
            "Time from the request to the end of its answer.",
            ("method", "route"),
            buckets=_BUCKETS,
            registry=registry,
        )
        self._children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def observe(self, method: str, route: str, *, status: int, seconds: float) -> None:
        """Count one request."""
        name = method if method in _METHODS else "OTHER"
        children = self._children.get((name, route, status))
        if children is None:  # looking labels up by name costs more than the counting
            children = (self._requests.labels(name, route, str(status)), self._seconds.labels(name, route))
            self._children[name, route, status] = children
        children[0].inc()
        children[1].observe(seconds)
