"""The waitlist: rentals for which nothing fits yet, served in the order in which they were asked for.

Every worker goes through the whole queue from the oldest on and gives each rental what is cheapest of what those before
it were not given, but moves only the rentals of its own buckets. So one that came later never takes what an older one of
any worker could use, and one that nothing fits keeps nobody waiting.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from sqlalchemy.ext.asyncio import AsyncSession

from app import catalog, wallet
from app.kit.ids import AccountId, RentalId
from app.kit.leases import bucket_name, fenced
from app.kit.reconcile import Round
from app.rentals import finding, queries
from app.rentals.asking.asking import Chosen, restored_wanted
from app.rentals.finding import Queued
from app.rentals.models import RentalRow
from app.rentals.placing.giving_up import failure
from app.rentals.runs import close_meter
from app.rentals.states import Stage, Status, move
from app.rentals.tools import Tools

MANY_WISHES: Final = 50
"""From so many different wishes on, those that nothing fits are not searched for at every round."""
_HOPELESS_SECONDS = 10
_PAGE = 500


class Turn(NamedTuple):
    """A rental whose turn has come: to be placed, or without a listing to be given up."""

    account_id: str
    rental_id: str
    bucket: int
    chosen: Chosen | None


@dataclass(slots=True)
class Hopeless:
    """What one worker remembers of a round with many wishes: those that nothing fitted, and until when."""

    until: dict[str, datetime] = field(default_factory=dict)


async def find(tools: Tools, memory: Hopeless, this: Round, limit: int) -> list[Turn]:
    """Return this worker's rentals whose turn has come, or whose wait is over."""
    memory.until = {wish: until for wish, until in memory.until.items() if until > this.at}
    async with tools.db.begin_unscoped() as session:
        queue = _Queue(session, memory, this.at, taken=await finding.list_admitted(session))
        turns = await queue.serve()
        if queue.has_skipped and queue.has_found:  # what turned up may fit one who was passed over
            memory.until.clear()
            queue = _Queue(session, memory, this.at, taken=await finding.list_admitted(session))
            turns = await queue.serve()
    mine = set(this.holding.buckets)
    return [turn for turn in turns if turn.bucket in mine][:limit]


async def step(tools: Tools, this: Round, turn: Turn) -> str:
    """Send one of them to placement, or end its wait."""
    at = tools.clock.now()
    account_id, rental_id = AccountId(turn.account_id), RentalId(turn.rental_id)
    async with tools.db.begin_unscoped() as session:
        await fenced(session, this.holding, [bucket_name(turn.bucket)])
        await wallet.lock(session, account_id=account_id)
        rental = await queries.lock_rental(session, account_id=account_id, rental_id=rental_id)
        if rental is None or rental.status != Status.QUEUED:
            return "moved_on"
        if turn.chosen is None:
            return await _expire(session, rental, at=at)
        return await _admit(session, tools, rental, turn.chosen, at=at)


class _Queue:
    """One way through the queue: what was given to those before, and what was found to fit nobody."""

    def __init__(self, session: AsyncSession, memory: Hopeless, at: datetime, *, taken: Sequence[str]) -> None:
        self._session, self._memory, self._at = session, memory, at
        self._taken = list(taken)
        self._hopeless: set[str] = set()
        self.has_found = self.has_skipped = False

    async def serve(self) -> list[Turn]:
        """Return whoever is to be placed, or has waited long enough, of all workers' rentals."""
        turns: list[Turn] = []
        after: tuple[datetime, str] | None = None
        while page := await finding.list_queued(self._session, after=after, limit=_PAGE):
            after = (page[-1].created_at, page[-1].id)
            for one in page:
                over = one.queued_until <= self._at
                chosen = None if over else await self._choose(one)
                if over or chosen is not None:
                    turns.append(Turn(one.account_id, one.id, one.bucket, chosen))
        if len(self._hopeless) > MANY_WISHES:
            until = self._at + timedelta(seconds=_HOPELESS_SECONDS)
            self._memory.until.update(dict.fromkeys(self._hopeless, until))
        return turns

    async def _choose(self, waiting: Queued) -> Chosen | None:
        wish = json.dumps(waiting.wanted, sort_keys=True)
        if wish in self._memory.until:
            self.has_skipped = True
        elif wish not in self._hopeless:
            wanted = restored_wanted(waiting.wanted, exclude_listing_ids=tuple(self._taken))
            for choice in _in_order(wanted):
                if matches := await catalog.cheapest(self._session, choice, at=self._at, limit=1):
                    self._taken.append(matches[0].listing.id)
                    self.has_found = True
                    return Chosen.of(matches[0])
            self._hopeless.add(wish)
        return None


def _in_order(wanted: catalog.Wanted) -> list[catalog.Wanted]:
    """Return one search per family: those that were named as fallbacks are no competitors of the first."""
    if wanted.families is None:
        return [wanted]
    return [replace(wanted, families=(slug,)) for slug in wanted.families]


async def _admit(session: AsyncSession, tools: Tools, rental: RentalRow, chosen: Chosen, *, at: datetime) -> str:
    """Lock the rate of what was found, give back what was held beyond an hour of it, and let placement go on."""
    rate = chosen.all_in_micros_per_hour
    account_id, rental_id = AccountId(rental.account_id), RentalId(rental.id)
    try:
        await wallet.change_rate(session, account_id=account_id, rental_id=rental_id, rate=rate, at=at)
    except (wallet.InsufficientBalance, wallet.WalletLocked):
        return "too_dear"
    rental.listing, rental.rate = chosen.stored(), rate
    rental.next_at, rental.deadline_at = at, at + timedelta(seconds=tools.limits.provisioning_seconds)
    told = {"family": chosen.family, "provider": chosen.provider, "rate_micros_per_hour": rate}
    await move(session, rental, Status.PROVISIONING, stage=Stage.MATCHING, at=at, data=told)
    return "placed"


async def _expire(session: AsyncSession, rental: RentalRow, *, at: datetime) -> str:
    if rental.queued_until is not None and rental.queued_until > at:
        return "moved_on"
    await close_meter(session, rental, end=at, at=at, because="no_capacity")
    rental.next_at, rental.ended_at, rental.settled_at = None, at, at
    rental.failure = failure("no_capacity", stage=None, message="Nothing that fits came up in time.")
    await move(session, rental, Status.FAILED, at=at, data={"reason": "no_capacity"})
    return "expired"
