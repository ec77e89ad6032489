"""Placement: a rental gets a machine. Choose a listing, write the intent, create, adopt what is found by its marker.

One attempt sends at most one create. After an answer that leaves the outcome open the machine is only looked for; if it
does not turn up in time the attempt is doomed, which goes on looking for it in order to destroy it, and the next
listing is tried.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncSession

from app import catalog
from app.kit.reconcile import Round
from app.providers import (
    NoCapacity,
    Order,
    OutcomeUnknown,
    ProviderError,
    QuotaExceeded,
    RateLimited,
    Rejected,
    Unauthorized,
)
from app.rentals import finding, queries
from app.rentals.asking.asking import Chosen, restored_wanted
from app.rentals.asking.launching import Launch
from app.rentals.asking.probing import TRIES_MAX
from app.rentals.asking.requesting import environment
from app.rentals.fencing import held_attempt, held_rental, look_again
from app.rentals.models import AttemptRow, RentalRow
from app.rentals.placing import booting, resuming
from app.rentals.placing.giving_up import OURS, Reason, abandon, fail
from app.rentals.placing.recovering import SEARCH_SECONDS, find_elsewhere, last_lost, present_search
from app.rentals.states import PLACED, Stage, Status, move
from app.rentals.tools import Tools

ATTEMPTS_MAX = 8

_REASONS: dict[type[ProviderError], Reason] = {
    NoCapacity: "no_capacity",
    Rejected: "provider_error",
    Unauthorized: "provider_auth",
    QuotaExceeded: "provider_quota",
}


class Item(NamedTuple):
    """A rental, as reconcilers pass it on."""

    account_id: str
    rental_id: str
    bucket: int
    provider: str = ""
    """The cloud that it is being placed at."""

    def __str__(self) -> str:
        """Name it for the runner: the same rental, wherever it is tried."""
        return self.rental_id


async def find(tools: Tools, this: Round, limit: int) -> list[Item]:
    """Return rentals that are to be placed and due for a look."""
    async with tools.db.begin_unscoped() as session:
        found = await finding.find_to_place(session, at=this.at, buckets=this.holding.buckets, limit=limit)
    return [Item(*row) for row in found]


async def step(tools: Tools, this: Round, item: Item) -> str:
    """Take a rental one step further and say what happened."""
    async with tools.db.begin_unscoped() as session:
        rental = await queries.find_rental(session, account_id=item.account_id, rental_id=item.rental_id)
        attempt = await queries.find_alive(session, account_id=item.account_id, rental_id=item.rental_id)
    if rental is None or rental.status not in PLACED or rental.stage == Stage.CHECKPOINTING:
        return "moved_on"
    if rental.deadline_at <= tools.clock.now():
        return await _out_of_time(tools, this, rental, attempt)
    if attempt is None:
        return await _choose(tools, this, rental)
    further = {"creating": _look_for, "resuming": resuming.wake, "booting": booting.boot}
    return await further.get(attempt.status, booting.check)(tools, this, rental, attempt)


async def _choose(tools: Tools, this: Round, seen: RentalRow) -> str:
    """Write the next attempt, then create its machine."""
    at = tools.clock.now()
    async with tools.db.begin_unscoped() as session:
        rental = await held_rental(session, this, seen)
        if rental is None:
            return "moved_on"
        tried = await queries.list_attempts(session, account_id=seen.account_id, rental_ids=[seen.id])
        chosen = await _next_listing(session, tools, rental, tried, at=at)
        if chosen is not None:
            attempt = await _intend(session, tools, rental, chosen, at=at)
    if chosen is None and _lives_on(rental) and not _is_hopeless(present_search(rental, tried)):
        await look_again(tools, this, seen, at=at + timedelta(seconds=SEARCH_SECONDS))
        return "nothing_yet"
    if chosen is None:
        return await fail(tools, this, seen, _reason(tried), message="No listing is left that fits.")
    return await _create(tools, this, seen, attempt)


async def _next_listing(
    session: AsyncSession, tools: Tools, rental: RentalRow, attempts: Sequence[AttemptRow], *, at: datetime
) -> Chosen | None:
    searched = present_search(rental, attempts)
    if not searched and rental.running_at is None:
        return Chosen.restored(rental.listing)
    if _is_hopeless(searched):
        return None
    ceiling = rental.rate + rental.rate * tools.limits.absorb_percent // 100
    asked = rental.wanted.get("max_price_micros_per_hour")
    wanted = restored_wanted(rental.wanted, max_price_micros_per_hour=min(ceiling, asked) if asked else ceiling)
    if (lost := last_lost(attempts)) is not None:
        return await find_elsewhere(session, wanted, lost, at=at)
    tried = tuple(attempt.listing["listing_id"] for attempt in searched if attempt.reason != "rate_limited")
    wanted = replace(wanted, exclude_listing_ids=tried)
    matches = await catalog.cheapest(session, wanted, at=at, limit=1)
    return Chosen.of(matches[0]) if matches else None


async def _intend(
    session: AsyncSession, tools: Tools, rental: RentalRow, chosen: Chosen, *, at: datetime
) -> AttemptRow:
    """Write what is about to be done: after this commit the machine may exist."""
    rental.attempts += 1
    attempt = AttemptRow(
        account_id=rental.account_id,
        rental_id=rental.id,
        number=rental.attempts,
        bucket=rental.bucket,
        status="creating",
        provider=chosen.provider,
        offer_id=chosen.offer_id,
        listing=chosen.stored(),
        marker=tools.marker(rental.id, rental.attempts),
        created_at=at,
        destroy_tries=0,
    )
    session.add(attempt)
    rental.listing = chosen.stored()
    rental.next_at = at + timedelta(seconds=tools.limits_for(chosen.provider).poll_seconds)
    await move(
        session,
        rental,
        Status.PROVISIONING,
        stage=Stage.CREATING,
        at=at,
        data={"attempt": attempt.number, "provider": chosen.provider, "listing_id": chosen.listing_id},
    )
    return attempt


async def _create(tools: Tools, this: Round, rental: RentalRow, attempt: AttemptRow) -> str:
    provider = tools.providers.get(attempt.provider)
    if provider is None:
        return await abandon(tools, this, rental, attempt, "provider_error", message="This cloud is not set up.")
    try:
        async with asyncio.timeout(tools.limits_for(attempt.provider).create_seconds):
            machine_id = await provider.create(order_for(tools, rental, attempt))
    except (OutcomeUnknown, TimeoutError) as error:
        known = error.machine_id if isinstance(error, OutcomeUnknown) else None
        return await _adopt(tools, this, rental, attempt, known) if known else "outcome_unknown"
    except RateLimited as error:
        wait = error.retry_after_seconds or tools.limits_for(attempt.provider).poll_seconds
        return await abandon(tools, this, rental, attempt, "rate_limited", message=error.message, again_seconds=wait)
    except ProviderError as error:
        reason = _REASONS.get(type(error), "provider_error")
        return await abandon(tools, this, rental, attempt, reason, message=error.message, machine_id=error.machine_id)
    return await _adopt(tools, this, rental, attempt, machine_id)


async def _look_for(tools: Tools, this: Round, rental: RentalRow, attempt: AttemptRow) -> str:
    """The create's outcome is unknown: adopt the machine with our marker, or give up in time."""
    provider = tools.providers.get(attempt.provider)
    machine = await provider.find_by_marker(attempt.marker) if provider else None
    if machine is not None:
        return await _adopt(tools, this, rental, attempt, machine.machine_id)
    at = tools.clock.now()
    limits = tools.limits_for(attempt.provider)
    if at >= attempt.created_at + timedelta(seconds=2 * limits.create_seconds):
        return await abandon(
            tools, this, rental, attempt, "provision_timeout", message="The machine did not turn up.", unknown=True
        )
    await look_again(tools, this, rental, at=at + timedelta(seconds=limits.poll_seconds))
    return "not_found_yet"


async def _adopt(tools: Tools, this: Round, seen: RentalRow, attempt: AttemptRow, machine_id: str) -> str:
    """Write down the machine; if the rental was stopped meanwhile, the doomed attempt learns what to destroy."""
    at = tools.clock.now()
    async with tools.db.begin_unscoped() as session:
        rental, row = await held_attempt(
            session, this, bucket=seen.bucket, account_id=seen.account_id, rental_id=seen.id, number=attempt.number
        )
        if rental is None or row is None:
            return "moved_on"
        row.machine_id = machine_id
        if row.status != "creating":
            row.status, row.gone_at, row.next_at = "doomed", None, at
            return "doomed_meanwhile"
        row.status, row.booting_at = "booting", at
        rental.next_at = at
        await _take_off_market(session, tools, row, at=at)
        await move(session, rental, Status.PROVISIONING, stage=Stage.BOOTING, at=at, data={"attempt": row.number})
    return "created"


async def _take_off_market(session: AsyncSession, tools: Tools, row: AttemptRow, *, at: datetime) -> None:
    """An offer of one concrete host is now ours: nobody is sent after it until the catalog has seen that it is gone."""
    if row.listing["host_id"] is not None:
        until = at + timedelta(seconds=tools.limits_for(row.provider).taken_seconds)
        await catalog.remember_failure(
            session, provider=row.provider, offer_id=row.offer_id, reason="taken", until=until
        )


async def _out_of_time(tools: Tools, this: Round, rental: RentalRow, attempt: AttemptRow | None) -> str:
    if attempt is not None:
        await abandon(tools, this, rental, attempt, "provision_timeout", message="Out of time.", unknown=True)
    return await fail(tools, this, rental, "provision_timeout", message="No machine was ready in time.")


def order_for(tools: Tools, rental: RentalRow, attempt: AttemptRow) -> Order:
    """Return what the cloud is asked for."""
    chosen = Chosen.restored(attempt.listing)
    launch = Launch.restored(rental.launch, env=environment(tools.vault, rental))
    return Order(
        marker=attempt.marker,
        offer_id=chosen.offer_id,
        region_id=chosen.region_id,
        spot=chosen.spot,
        bid_micros_per_hour=chosen.price_micros_per_hour if chosen.spot else None,
        image=launch.image,
        disk_gb=launch.disk_gb,
        env=launch.env,
        ports=launch.ports,
        platform_public_key=tools.platform_key.public,
    )


def _lives_on(rental: RentalRow) -> bool:
    """Whether it ran before: then another machine is looked for until the deadline, also while nothing fits."""
    return rental.interrupted_at is not None or rental.hibernated_at is not None


def _is_hopeless(attempts: Sequence[AttemptRow]) -> bool:
    """Whether another try would be one too many."""
    return len(attempts) >= ATTEMPTS_MAX or _own_probe_fails(attempts)


def _own_probe_fails(attempts: Sequence[AttemptRow]) -> bool:
    return sum(attempt.reason == "startup_failed" for attempt in attempts) >= TRIES_MAX


def _reason(attempts: Sequence[AttemptRow]) -> Reason:
    last = attempts[-1].reason if attempts else None
    if last == "startup_failed":
        return "startup_failed"
    return next((ours for ours in OURS if ours == last), "no_capacity")
