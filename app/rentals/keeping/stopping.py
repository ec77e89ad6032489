"""Stopping: from the moment a stop is accepted nothing is billed; the machine is doomed and its end verified later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, Literal, NamedTuple

from sqlalchemy.ext.asyncio import AsyncSession

from app import wallet
from app.kit.errors import NotFound
from app.kit.ids import AccountId, RentalId
from app.kit.leases import bucket_name, fenced
from app.kit.reconcile import Round
from app.rentals import finding, queries
from app.rentals.models import RentalRow
from app.rentals.placing.giving_up import doom
from app.rentals.runs import close_meter
from app.rentals.states import TERMINAL, Stage, Status, move
from app.rentals.tools import Tools

EndReason = Literal[
    "user", "max_duration", "idle", "max_spend", "wallet_empty", "budget_exceeded", "policy", "admin", "provider"
]


_REASONS: Final[Mapping[str, EndReason]] = {
    "wallet_empty": "wallet_empty",
    "max_spend": "max_spend",
    "budget_exceeded": "budget_exceeded",
}
"""Why a hold ends → why its rental does."""


class Ending(NamedTuple):
    """A rental whose time or money is over."""

    account_id: str
    rental_id: str
    bucket: int
    reason: EndReason


async def stop(
    session: AsyncSession,
    *,
    account_id: AccountId,
    rental_id: RentalId,
    reason: EndReason,
    actor: str,
    at: datetime,
) -> RentalRow:
    """Accept a stop: capture the last second, give the rest back, doom the machine. Stopping again changes nothing.

    Raises:
        NotFound: there is no such rental.
    """
    await wallet.lock(session, account_id=account_id)
    rental = await queries.lock_rental(session, account_id=account_id, rental_id=rental_id)
    if rental is None:
        raise NotFound("There is no such rental.")
    if rental.status in TERMINAL or rental.status == Status.STOPPING:
        return rental
    # A limit of time or of a budget is exact, however late it is noticed.
    end = await wallet.last_billable(session, account_id=account_id, rental_id=rental_id, at=at)
    end = min(end, rental.stop_at) if rental.stop_at is not None else end
    await close_meter(session, rental, end=end, at=at, because=reason)
    rental.ended_at, rental.settled_at, rental.end_reason, rental.next_at = end, at, reason, None
    attempt = await queries.find_alive(session, account_id=account_id, rental_id=rental_id)
    told = {"end_reason": reason}
    if attempt is None:
        await move(session, rental, Status.STOPPED, at=at, actor=actor, data=told)
    else:
        doom(attempt, at=at, reason=None, message="", nothing_there=False)
        await move(session, rental, Status.STOPPING, stage=Stage.TERMINATING, at=at, actor=actor, data=told)
    return rental


async def find_ending(tools: Tools, this: Round, limit: int) -> list[Ending]:
    """Return running rentals whose money or time is over."""
    async with tools.db.begin_unscoped() as session:
        broke = await wallet.find_ending(session, at=this.at, buckets=this.holding.buckets, limit=limit)
        overdue = await finding.find_overdue(session, at=this.at, buckets=this.holding.buckets, limit=limit)
    return _endings(broke) + [Ending(account, rental, bucket, "max_duration") for account, rental, bucket in overdue]


async def end(tools: Tools, this: Round, item: Ending) -> str:
    """Stop one of them."""
    async with tools.db.begin_unscoped() as session:
        await fenced(session, this.holding, [bucket_name(item.bucket)])
        await stop(
            session,
            account_id=AccountId(item.account_id),
            rental_id=RentalId(item.rental_id),
            reason=item.reason,
            actor="system",
            at=tools.clock.now(),
        )
    return item.reason


def _endings(broke: Sequence[wallet.EndingHold]) -> list[Ending]:
    return [Ending(hold.account_id, hold.rental_id, hold.bucket, _REASONS[hold.because]) for hold in broke]
