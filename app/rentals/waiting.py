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
from app.rentals.asking import Chosen, restored_wanted
from app.rentals.finding import Queued
from app.rentals.giving_up import failure
from app.rentals.models import RentalRow
from app.rentals.runs import close_meter
from app.rentals.states import Stage, Status, move
from app.rentals.tools import Tools

SEARCHES_MAX: Final = 500
"""How many different wishes are searched for in one round."""
_HOPELESS_SECONDS = 10
"""How long a wish that nothing fitted is not searched for again, where there are more than that."""
_PAGE = 500


class Turn(NamedTuple):
    """A rental whose turn has come: to be placed, or without a listing to be given up."""

    account_id: str
    rental_id: str
    bucket: int
    chosen: Chosen | None


@dataclass(slots=True)
class Hopeless:
    """What one worker remembers of a round that had too many wishes: those that nothing fitted, and until when."""

    until: dict[str, datetime] = field(default_factory=dict)

    def forget(self, at: datetime) -> None:
        """Drop what is to be searched for again."""
        self.until = {wish: until for wish, until in self.until.items() if until > at}


async def find(tools: Tools, memory: Hopeless, this: Round, limit: int) -> list[Turn]:
    """Return this worker's rentals whose turn has come, or whose wait is over."""
    memory.forget(this.at)
    mine = set(this.holding.buckets)
    turns: list[Turn] = []
    async with tools.db.begin_unscoped() as session:
        round_ = _Round(session, memory, this.at, taken=await finding.list_admitted(session))
        after: tuple[datetime, str] | None = None
        while len(turns) < limit and (page := await finding.list_queued(session, after=after, limit=_PAGE)):
            after = (page[-1].created_at, page[-1].id)
            for waiting in page:
                over = waiting.queued_until <= this.at
                chosen = None if over else await round_.choose(waiting)
                if waiting.bucket in mine and (over or chosen is not None):
                    turns.append(Turn(waiting.account_id, waiting.id, waiting.bucket, chosen))
        if round_.searches >= SEARCHES_MAX:  # so that the next one comes to those behind them
            until = this.at + timedelta(seconds=_HOPELESS_SECONDS)
            memory.until.update(dict.fromkeys(round_.hopeless, until))
    return turns[:limit]


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


class _Round:
    """One way through the queue: what was given to those before, and what was found to fit nobody."""

    def __init__(self, session: AsyncSession, memory: Hopeless, at: datetime, *, taken: Sequence[str]) -> None:
        self._session, self._memory, self._at = session, memory, at
        self._taken = list(taken)
        self.searches = 0
        self.hopeless: set[str] = set()

    async def choose(self, waiting: Queued) -> Chosen | None:
        wish = json.dumps(waiting.wanted, sort_keys=True)
        if wish in self.hopeless or wish in self._memory.until or self.searches >= SEARCHES_MAX:
            return None
        self.searches += 1
        wanted = restored_wanted(waiting.wanted, exclude_listing_ids=tuple(self._taken))
        # Families that were named as fallbacks are no competitors of the first.
        choices = [replace(wanted, families=(slug,)) for slug in wanted.families] if wanted.families else [wanted]
        for choice in choices:
            if matches := await catalog.cheapest(self._session, choice, at=self._at, limit=1):
                self._taken.append(matches[0].listing.id)
                return Chosen.of(matches[0])
        self.hopeless.add(wish)
        return None


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
