"""Wire shapes of what is shown of rentals."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.rentals.asking.asking import Chosen
from app.rentals.models import AttemptRow
from app.web.schemas import MoneyOut, TimeOut, Wire

RentalStatus = Literal[
    "queued", "provisioning", "running", "interrupted", "hibernating", "hibernated", "stopping", "stopped", "failed"
]


class Region(Wire):
    """A place."""

    id: str
    name: str
    country: str | None

    @classmethod
    def of(cls, chosen: Chosen) -> Region:
        """Return where a listing is."""
        return cls(id=chosen.region_id, name=chosen.region_name, country=chosen.country)


class Ssh(Wire):
    """How to log in."""

    host: str
    port: int
    user: str
    command: str


class Endpoint(Wire):
    """One of the machine's ports and where it is reached."""

    port: int
    host: str
    public_port: int


class RateComponents(Wire):
    """What the rate is made of, per hour."""

    gpu: MoneyOut
    disk: MoneyOut


class Rate(Wire):
    """The rate, locked for the whole rental whatever listing it is placed on."""

    per_hour: MoneyOut
    """What an hour costs now: while it hibernates, that of its disk."""
    locked: Literal[True] = True
    components: RateComponents
    running_per_hour: MoneyOut
    """What an hour costs while it runs."""
    stopped_per_hour: MoneyOut | None
    """What an hour of hibernation costs; null where it can't hibernate, or is not known to yet."""

    @classmethod
    def of(cls, rate: int, chosen: Chosen, *, stopped: int | None = None) -> Rate:
        """Return a rate with its parts, by the listing that it was taken from."""
        disk = min(chosen.disk_micros_per_hour, rate)
        parts = RateComponents(gpu=rate - disk, disk=disk)
        return cls(per_hour=rate, components=parts, running_per_hour=rate, stopped_per_hour=stopped)

    @classmethod
    def of_hibernation(cls, rate: int, *, stopped: int) -> Rate:
        """Return the rate of a rental whose machine is off."""
        parts = RateComponents(gpu=0, disk=stopped)
        return cls(per_hour=stopped, components=parts, running_per_hour=rate, stopped_per_hour=stopped)


class Reserve(Wire):
    """What is held for the rental: ``remaining`` is what live usage has left of it."""

    held: MoneyOut
    remaining: MoneyOut
    funded_until: TimeOut | None


class Cost(Wire):
    """What it cost so far: ``charged`` is captured, ``accrued`` is used and not yet captured; both for the seconds."""

    billed_seconds: int
    charged: MoneyOut
    accrued: MoneyOut
    refunded: MoneyOut


class Limits(Wire):
    """When the rental ends by itself."""

    max_duration_seconds: int | None
    max_spend: MoneyOut | None
    stop_at: TimeOut | None


class Attempt(Wire):
    """One try to place the rental on one listing."""

    number: int
    status: Literal[
        "creating", "booting", "checking", "live", "hibernating", "hibernated", "resuming", "ending", "ended"
    ]
    provider: str
    listing_id: str
    region: Region
    spot: bool
    price_per_hour: MoneyOut
    """Of that listing; what is dearer than the rate is not the customer's."""
    created_at: TimeOut
    live_at: TimeOut | None
    ended_at: TimeOut | None
    reason: str | None
    message: str | None

    @classmethod
    def of(cls, row: AttemptRow) -> Attempt:
        """Return an attempt as it is shown."""
        chosen = Chosen.restored(row.listing)
        return cls(
            number=row.number,
            status={"doomed": "ending", "gone": "ended"}.get(row.status, row.status),  # type: ignore[arg-type]
            provider=row.provider,
            listing_id=chosen.listing_id,
            region=Region.of(chosen),
            spot=chosen.spot,
            price_per_hour=chosen.all_in_micros_per_hour,
            created_at=row.created_at,
            live_at=row.live_at,
            ended_at=row.doomed_at,
            reason=row.reason,
            message=row.message or None,
        )


class Failure(Wire):
    """Why a rental failed."""

    reason: str
    stage: str | None
    message: str
    provider_message: str | None
    retryable: bool
    fault_party: str


class Rental(Wire):
    """A rental. Amounts are live at the moment of the answer."""

    id: str
    object: Literal["rental"] = "rental"
    name: str | None
    status: RentalStatus
    stage: (
        Literal["matching", "creating", "booting", "checking", "resuming", "checkpointing", "terminating", "verifying"]
        | None
    )
    status_reason: str | None
    family: str | None
    """Null while it waits for any family with enough memory."""
    gpu_count: int
    region: Region | None
    """Null while it waits for something to rent; so is the provider."""
    provider: str | None
    spot: bool
    template: str | None
    image: str
    disk_gb: int
    ports: list[int]
    env_names: list[str]
    """Names only, secrets' too: values are never shown."""
    checkpoint_uri: str | None
    interruptions: int
    """How often its machine was taken back."""
    interrupted_at: TimeOut | None
    """Since when another machine is looked for; null once it runs again."""
    hibernated_at: TimeOut | None
    """Since when its machine is off; null once it runs again."""
    disk_lost: bool
    """Whether what was on the disk was lost, since it could not be resumed on its own machine."""
    queued_until: TimeOut | None
    """How long it waits for something to rent; null for one that never waited."""
    ssh: Ssh | None
    endpoints: list[Endpoint]
    rate: Rate
    reserve: Reserve
    cost: Cost
    limits: Limits
    created_by: str
    """The key that made it, or the person."""
    team_id: str | None
    """The team whose it is; null for the account's own."""
    user_id: str | None
    """The person who made it, or the key that did."""
    tags: dict[str, str]
    attempts: list[Attempt]
    failure: Failure | None
    end_reason: str | None
    actions: list[str]
    created_at: TimeOut
    running_at: TimeOut | None
    ended_at: TimeOut | None
    settled_at: TimeOut | None


class MeterView(Wire):
    """A rental's meter at one moment."""

    object: Literal["meter"] = "meter"
    rental_id: str
    status: str
    at: TimeOut
    rate_per_hour: MoneyOut
    billed_seconds: int
    charged: MoneyOut
    accrued: MoneyOut
    total: MoneyOut
    """``charged`` and ``accrued``: the cost of the seconds."""
    held: MoneyOut
    remaining: MoneyOut
    funded_until: TimeOut | None
    ends_at: TimeOut | None
    """When it will be stopped unless money comes in; null while the reserve is full."""


class LogQuery(BaseModel):
    """Which pieces of a log."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    offset: Annotated[int, Field(ge=0, le=2**53 - 1, description="In bytes: `next_offset` of the answer before.")] = 0
    limit: Annotated[int, Field(ge=1, le=100, description="How many pieces at most.")] = 20


class LogPiece(Wire):
    """A piece of a log."""

    offset: int
    text: str
    at: TimeOut


class Log(Wire):
    """The output of a startup script."""

    object: Literal["log"] = "log"
    rental_id: str
    data: list[LogPiece]
    next_offset: int
    complete: bool
    """Nothing more will come."""
    exit_status: int | None
