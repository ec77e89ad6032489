"""A rental as it is shown: the row, its attempts and its hold put together, live at one moment."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from app import wallet
from app.kit.errors import NotFound
from app.kit.ids import AccountId, RentalId
from app.rentals import queries
from app.rentals.asking.asking import Ask, Chosen
from app.rentals.asking.requesting import Requested
from app.rentals.asking.schemas import (
    Attempt,
    Cost,
    Endpoint,
    Failure,
    Limits,
    MeterView,
    Rate,
    Region,
    Rental,
    Reserve,
    Ssh,
)
from app.rentals.models import ALIVE, AttemptRow, RentalRow
from app.rentals.showing.reach import sees
from app.rentals.states import ACTIONS, Stage, Status
from app.wallet import HoldView
from app.web import Principal, etag


@dataclass(frozen=True, slots=True)
class Seen:
    """Everything one rental is shown from."""

    row: RentalRow
    hold: HoldView
    attempts: Sequence[AttemptRow] = field(default_factory=tuple)

    @property
    def etag(self) -> str:
        """The version of what callers can change."""
        return etag(self.row.id, self.row.version)

    @property
    def priced_by(self) -> Chosen:
        """The listing that the rate was taken from: the first one tried."""
        since = self.row.searched_before  # what waited again has another rate than it had
        return Chosen.restored(self.attempts[since].listing if len(self.attempts) > since else self.row.listing)


async def see(session: AsyncSession, rows: Sequence[RentalRow], *, account_id: AccountId) -> list[Seen]:
    """Return what rentals are shown from, in two statements however many they are."""
    ids = [RentalId(row.id) for row in rows]
    if not ids:
        return []
    holds = await wallet.find_holds(session, account_id=account_id, rental_ids=ids)
    attempts: defaultdict[str, list[AttemptRow]] = defaultdict(list)
    for attempt in await queries.list_attempts(session, account_id=account_id, rental_ids=ids):
        attempts[attempt.rental_id].append(attempt)
    return [Seen(row, holds[RentalId(row.id)], attempts[row.id]) for row in rows]


async def get_seen(session: AsyncSession, rental_id: str, *, principal: Principal) -> Seen:
    """Return one rental with all it is shown from.

    Raises:
        NotFound: there is no such rental within the caller's reach.
    """
    row = await get_row(session, rental_id, principal=principal)
    return (await see(session, [row], account_id=principal.account_id))[0]


async def get_row(session: AsyncSession, rental_id: str, *, principal: Principal) -> RentalRow:
    """Return a rental's row.

    Raises:
        NotFound: there is no such rental within the caller's reach.
    """
    row = await queries.find_rental(session, account_id=principal.account_id, rental_id=known_id(rental_id))
    if row is None or not sees(principal, row):
        raise NotFound("There is no such rental.")
    return row


def known_id(text: str) -> RentalId:
    """Return a rental's id from a path.

    Raises:
        NotFound: it can't be one.
    """
    try:
        return RentalId.parse(text)
    except ValueError:
        raise NotFound("There is no such rental.") from None


def metered_at(row: RentalRow, at: datetime) -> datetime:
    """Return the moment up to which a meter is read: an end is exact, however late it is noticed."""
    return min(moment for moment in (at, row.stop_at, row.ended_at) if moment is not None)


def rental_view(seen: Seen, *, at: datetime) -> Rental:
    """Return a rental as it is shown at ``at``."""
    row, connection = seen.row, _connection(seen)
    return Rental(
        id=row.id,
        name=row.name,
        status=row.status,  # type: ignore[arg-type]
        stage=row.stage,  # type: ignore[arg-type]
        status_reason=row.status_reason,
        **_hardware(Chosen.restored(row.listing)),
        **_launched(row.launch),
        interruptions=row.interruptions,
        interrupted_at=row.interrupted_at,
        hibernated_at=row.hibernated_at,
        disk_lost=row.disk_lost,
        queued_until=row.queued_until,
        ssh=_ssh(connection),
        endpoints=_endpoints(connection),
        rate=_rate(seen),
        **_money(seen, at=at),
        created_by=row.created_by,
        team_id=row.team_id,
        user_id=row.user_id,
        tags=row.tags,
        attempts=[Attempt.of(attempt) for attempt in seen.attempts],
        failure=None if row.failure is None else Failure(**row.failure),
        end_reason=row.end_reason,
        actions=[*ACTIONS[Status(row.status)], *_hibernation(row)],
        created_at=row.created_at,
        running_at=row.running_at,
        ended_at=row.ended_at,
        settled_at=row.settled_at,
    )


def new_rental_view(made: Requested, ask: Ask, *, principal: Principal) -> Rental:
    """Return a rental that was just written, from what is known of it: nothing is read again."""
    return Rental(
        id=made.rental_id,
        name=ask.name,
        status="provisioning" if made.queued_until is None else "queued",
        stage=Stage.MATCHING.value if made.queued_until is None else None,
        status_reason=None,
        **_hardware(made.chosen),
        **_launched(ask.launch.stored()),
        interruptions=0,
        interrupted_at=None,
        hibernated_at=None,
        disk_lost=False,
        queued_until=made.queued_until,
        ssh=None,
        endpoints=[],
        rate=Rate.of(made.rate, made.chosen),
        reserve=Reserve(held=made.held, remaining=made.held, funded_until=None),
        cost=Cost(billed_seconds=0, charged=0, accrued=0, refunded=0),
        limits=Limits(max_duration_seconds=ask.max_duration_seconds, max_spend=ask.max_spend, stop_at=None),
        created_by=principal.actor,
        team_id=None if ask.rules is None else ask.rules.spender.team_id,
        user_id=principal.user_id,
        tags=dict(ask.tags),
        attempts=[],
        failure=None,
        end_reason=None,
        actions=list(ACTIONS[Status.PROVISIONING if made.queued_until is None else Status.QUEUED]),
        created_at=made.at,
        running_at=None,
        ended_at=None,
        settled_at=None,
    )


def meter_view(row: RentalRow, hold: HoldView, *, at: datetime) -> MeterView:
    """Return a rental's meter as it stands at ``at``."""
    meter, until = hold.meter, metered_at(row, at)
    accrued = meter.accrued(until)
    return MeterView(
        rental_id=row.id,
        status=row.status,
        at=at,
        rate_per_hour=meter.rate,
        billed_seconds=meter.billable(until),
        charged=meter.charged,
        accrued=accrued,
        total=meter.charged + accrued,
        held=meter.held,
        remaining=meter.held - accrued,
        funded_until=meter.funded_until,
        ends_at=meter.ends_at,
    )


def _money(seen: Seen, *, at: datetime) -> dict[str, Any]:
    row, meter, until = seen.row, seen.hold.meter, metered_at(seen.row, at)
    accrued = meter.accrued(until)
    return {
        "reserve": Reserve(held=meter.held, remaining=meter.held - accrued, funded_until=meter.funded_until),
        "cost": Cost(
            billed_seconds=meter.billable(until),
            charged=meter.charged,
            accrued=accrued,
            refunded=seen.hold.refunded,
        ),
        "limits": Limits(max_duration_seconds=row.max_duration_seconds, max_spend=meter.max_spend, stop_at=row.stop_at),
    }


def _rate(seen: Seen) -> Rate:
    row = seen.row
    if row.status == Status.HIBERNATED and row.stopped_rate is not None:
        return Rate.of_hibernation(row.rate, stopped=row.stopped_rate)
    return Rate.of(row.rate, seen.priced_by, stopped=row.stopped_rate)


def _hibernation(row: RentalRow) -> tuple[str, ...]:
    return ("hibernate",) if row.status == Status.RUNNING and row.stopped_rate is not None else ()


def _hardware(chosen: Chosen) -> dict[str, Any]:
    return {
        "family": chosen.family or None,
        "gpu_count": chosen.gpu_count,
        "region": Region.of(chosen) if chosen.region_id else None,
        "provider": chosen.provider or None,
        "spot": chosen.spot,
    }


def _launched(launch: dict[str, Any]) -> dict[str, Any]:
    told = {name: launch[name] for name in ("template", "image", "disk_gb", "ports")}
    return told | {"env_names": launch.get("env_names", []), "checkpoint_uri": launch.get("checkpoint_uri")}


def _connection(seen: Seen) -> dict[str, Any] | None:
    """Return where the machine answers, once it is the customer's."""
    if seen.row.status != Status.RUNNING and seen.row.stage != Stage.CHECKPOINTING:
        return None
    return next((attempt.connection for attempt in seen.attempts if attempt.status in ALIVE), None)


def _ssh(connection: dict[str, Any] | None) -> Ssh | None:
    if connection is None:
        return None
    host, port, user = connection["host"], connection["port"], connection["username"]
    return Ssh(host=host, port=port, user=user, command=f"ssh -p {port} {user}@{host}")


def _endpoints(connection: dict[str, Any] | None) -> list[Endpoint]:
    ports = connection["ports"] if connection else {}
    return [
        Endpoint(port=int(port), host=host, public_port=public)
        for port, (host, public) in sorted(ports.items(), key=lambda item: int(item[0]))
    ]
