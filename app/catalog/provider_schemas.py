"""Wire shapes of providers and of a refresh by hand."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from app.catalog.queries import ProviderStatus
from app.catalog.schemas import Share
from app.web.schemas import TimeOut, Wire

_CAPABILITY_FIELDS = (
    "title",
    "pricing",
    "launch",
    "shutdown",
    "spot",
    "interruption",
    "hibernate",
    "stop",
    "billing_granularity_seconds",
    "min_commitment_seconds",
    "marker_max_length",
    "realised_cost",
)


class ProviderOut(Wire):
    """A provider: what it can do and how it is."""

    id: str
    object: Literal["provider"] = "provider"
    title: str
    pricing: str
    launch: str
    shutdown: str
    spot: bool
    interruption: str
    hibernate: bool
    stop: bool
    billing_granularity_seconds: int
    min_commitment_seconds: int
    machine_seconds_max: int | None
    """The cloud ends a machine by itself after so long; null where it may run for ever."""
    marker_max_length: int
    """How long our reference on a machine may be there."""
    realised_cost: str
    """``exact`` where the cloud tells what a machine has cost, ``estimate`` where it follows from its price."""
    health: str
    """``ok``, ``failing``, ``stale``, ``unknown`` or ``paused``."""
    success_rate: Share | None
    """Of polls."""
    last_poll_at: TimeOut | None
    last_updated: TimeOut | None
    listings: int
    left_out: dict[str, int]
    """Reason → offers of the last answer that are no listing."""

    @classmethod
    def of(cls, status: ProviderStatus, at: datetime) -> ProviderOut:
        """Return a provider."""
        told = {name: status.capability[name] for name in _CAPABILITY_FIELDS}
        told["machine_seconds_max"] = status.capability.get("machine_seconds_max")
        return cls.model_validate(
            {
                **told,
                "id": status.provider,
                "health": status.health(at),
                "success_rate": status.success_ppm,
                "last_poll_at": status.last_attempt_at,
                "last_updated": status.last_success_at,
                "listings": status.listings,
                "left_out": dict(status.left_out),
            }
        )


class RefreshIn(Wire):
    """Which providers to poll, and how long to wait for their answers."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"wait_seconds": 0}]})

    providers: Annotated[list[str], Field(min_length=1, max_length=50)] | None = None
    """None: all."""
    wait_seconds: Annotated[int, Field(ge=0, le=10)] = 10


class RefreshedOut(Wire):
    """What became of one provider's poll."""

    provider: str
    status: Literal["refreshed", "failed", "pending", "paused"]
    listings: int
    left_out: dict[str, int]
    error: str | None
    """The kind of failure."""
    last_updated: TimeOut | None


class RefreshOut(Wire):
    """What became of a refresh."""

    object: Literal["catalog_refresh"] = "catalog_refresh"
    complete: bool
    results: list[RefreshedOut]

    @classmethod
    def of(cls, outcomes: Mapping[str, str], states: list[ProviderStatus]) -> RefreshOut:
        """Return the outcome per provider with its figures."""
        results = [
            RefreshedOut.model_validate(
                {
                    "provider": state.provider,
                    "status": outcomes[state.provider],
                    "listings": state.listings,
                    "left_out": dict(state.left_out),
                    "error": state.last_error.partition(":")[0] if state.last_error else None,
                    "last_updated": state.last_success_at,
                }
            )
            for state in states
        ]
        return cls(complete="pending" not in outcomes.values(), results=results)
