"""Recovery: another machine for a rental that was interrupted, elsewhere if there is one, at the rate that is locked."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from app import catalog
from app.events import Event, record
from app.kit.clock import whole_seconds
from app.kit.ids import AccountId
from app.rentals.asking.asking import Chosen
from app.rentals.models import AttemptRow, RentalRow

SEARCH_SECONDS = 5
"""How often the market is looked at while nothing fits."""
_CHOICES = 64


def present_search(rental: RentalRow, attempts: Sequence[AttemptRow]) -> list[AttemptRow]:
    """Return the attempts since the rental last ran, or waited: those that count for the search under way."""
    ran = [attempt.number for attempt in attempts if attempt.live_at is not None]
    return [attempt for attempt in attempts if attempt.number > max(ran, default=rental.searched_before)]


def last_lost(attempts: Sequence[AttemptRow]) -> AttemptRow | None:
    """Return the attempt whose machine was last the customer's."""
    return next((attempt for attempt in reversed(attempts) if attempt.live_at is not None), None)


async def find_elsewhere(
    session: AsyncSession, wanted: catalog.Wanted, lost: AttemptRow, *, at: datetime
) -> Chosen | None:
    """Return the cheapest listing in another region or at another cloud, else the cheapest on any other host.

    What was tried in vain is out for a while, as for everybody, but not for the whole of a long search.
    """
    before = Chosen.restored(lost.listing)
    matches = await catalog.cheapest(session, wanted, at=at, limit=_CHOICES)
    others = [chosen for match in matches if not _same_host(chosen := Chosen.of(match), before)]
    away = [chosen for chosen in others if _place(chosen) != _place(before)]
    return next(iter(away + others), None)


async def note_recovery(session: AsyncSession, rental: RentalRow, row: AttemptRow, *, at: datetime) -> None:
    """A rental that was interrupted runs again: its log goes on behind the old one, its time from where it stood."""
    if rental.running_at is not None and rental.run_since is None:
        rental.log_base, rental.log_exit = rental.log_offset, None
    if rental.interrupted_at is None:
        return
    gap = whole_seconds(rental.interrupted_at, at)
    rental.interrupted_at = None
    data = {"attempt": row.number, "provider": row.provider, "after_seconds": gap, "interruption": rental.interruptions}
    await record(session, Event(AccountId(rental.account_id), rental.id, "rental.recovered", at, data=data))


def ends_at(rental: RentalRow, *, at: datetime) -> datetime | None:
    """Return when a rental that begins to run now has run for its longest duration; what it ran before counts."""
    if rental.max_duration_seconds is None:
        return None
    return at + timedelta(seconds=max(0, rental.max_duration_seconds - rental.ran_seconds))


def _same_host(one: Chosen, other: Chosen) -> bool:
    """Whether it is known to be the same; what tells no host may have others behind the same offer."""
    return one.host_id is not None and (one.provider, one.host_id) == (other.provider, other.host_id)


def _place(chosen: Chosen) -> tuple[str, str]:
    return chosen.provider, chosen.region_id
