"""Hard budgets: what runs on one is capped at the very second at which it is used up, and stops then.

The caps are reckoned anew in the transaction of every change: a rental that starts, stops or changes its rate, a policy
that is set. So they are right at every moment, and no worker need be awake when one comes.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from app import wallet
from app.events import Event, record
from app.kit.clock import rfc3339
from app.kit.db import driver
from app.kit.ids import AccountId, RentalId
from app.kit.money import dollars
from app.policies.budgets import queries
from app.policies.budgets.judging import Mark, crossed, marked
from app.policies.budgets.marks import Which, look_at, read_marks, save_marks
from app.policies.budgets.news import event_of
from app.policies.budgets.spending import Books, read_books
from app.policies.standing import Budget

BECAUSE: Final = "budget_exceeded"
"""Why a rental ends that a budget ends."""


async def recap(session: AsyncSession, *, account_id: AccountId, at: datetime) -> None:
    """Cap what runs on hard budgets, for something has changed; one cheap question where there is no budget at all.

    Locks the wallet where there is any. Doing so again changes nothing.
    """
    [has] = await driver(session).fetch(queries.HAS_BUDGETS, account_id)
    if has["hard"]:
        await cap(session, await read_books(session, account_id=account_id, at=at), account_id=account_id, at=at)
    if has["any"] or has["hard"]:
        await look_at(session, at, account_id=account_id)


async def cap(session: AsyncSession, books: Books, *, account_id: AccountId, at: datetime) -> None:
    """Write down for each hard budget when it is used up, and cap each rental by the first of its own."""
    marks = await read_marks(session, account_id=account_id)
    caps = {RentalId(meter.rental_id): wallet.Cap() for meter in books.meters}
    saved: dict[Which, Mark] = {}
    missed: list[Event] = []
    for used in (one for one in books.used if one.is_hard):
        which = Which(used.budget.subject, used.budget.name)
        crosses_at = used.reaches(used.budget.amount, at=at) if used.meters else None
        before = marks.get(which)
        mark = marked(before, used.budget, spent=used.spent(at))
        saved[which] = crossed(mark, crosses_at, at=at)
        if before is not None and before.was_missed(mark):
            missed.append(_late_word(account_id, used.budget, before, at=at))
        if crosses_at is not None:
            for meter in used.meters:
                caps[RentalId(meter.rental_id)] = _sooner(caps[RentalId(meter.rental_id)], crosses_at)
    await save_marks(session, saved, account_id=account_id)
    await wallet.cap(session, caps, account_id=account_id, at=at)
    await record(session, *missed)


def _late_word(account_id: AccountId, budget: Budget, mark: Mark, *, at: datetime) -> Event:
    """Return the news of a period that was over before anybody looked: its budget had ended what ran."""
    told = {"limit": dollars(mark.amount), "since": rfc3339(mark.since), "until": rfc3339(budget.since)}
    return event_of(account_id, budget, "exceeded", at=at, percent=100, **told)


def _sooner(cap: wallet.Cap, crosses_at: datetime) -> wallet.Cap:
    if cap.stop_by is not None and cap.stop_by <= crosses_at:
        return cap
    return wallet.Cap(crosses_at, BECAUSE)
