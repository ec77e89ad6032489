"""A look at an account's budgets: tell what is to be told, pause what is new, and lift a pause that is over.

A team's leads learn that half, three quarters, nine tenths and all of a budget are gone, and that it will not last.
A budget that is used up pauses what is new until its next period begins, unless it only tells. The pause ends sooner
when the budget is raised above what is gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from app.events import Event, record
from app.kit.clock import rfc3339
from app.kit.ids import AccountId
from app.kit.money import dollars
from app.policies.budgets.enforcing import cap
from app.policies.budgets.judging import LEVELS, Mark, News, judge, marked, next_level
from app.policies.budgets.marks import Which, look_at, read_marks, save_marks
from app.policies.budgets.news import PERIODS, event_of, team_of
from app.policies.budgets.pausing import pause, resume
from app.policies.budgets.spending import Books, Used, read_books
from app.policies.standing import BudgetName
from app.policies.terms import OnExceeded

_PATIENCE: Final = timedelta(minutes=10)
"""How long nobody looks while something runs: what changes without a word, such as a refund, is seen then."""
_PATIENCE_HARD: Final = timedelta(minutes=1)
"""The same while something runs on a hard budget: a key's limit that was changed counts then."""


async def look(session: AsyncSession, *, account_id: AccountId, at: datetime) -> int:
    """Look at every budget of an account, and say when to look again. Returns how much was told. Twice tells once."""
    books = await read_books(session, account_id=account_id, at=at)
    await cap(session, books, account_id=account_id, at=at)
    before = await read_marks(session, account_id=account_id)
    after: dict[Which, Mark] = {}
    events: list[Event] = []
    for used in books.used:
        which, spent = _which(used), used.spent(at)
        mark = marked(before.get(which), used.budget, spent=spent)
        crosses_at = mark.crosses_at or used.reaches(used.budget.amount, at=at)
        after[which], news = judge(mark, used.budget, spent=spent, crosses_at=crosses_at, at=at)
        events += [_told(account_id, used, one, spent=spent, crosses_at=crosses_at, at=at) for one in news]
    changed = {which: mark for which, mark in after.items() if mark != before.get(which)}
    await save_marks(session, changed, account_id=account_id)
    events += await _pause_and_resume(session, books, after, account_id=account_id, at=at)
    await record(session, *events)
    await look_at(session, _next_look(books, after, at=at), account_id=account_id)
    return len(events)


async def _pause_and_resume(
    session: AsyncSession, books: Books, marks: Mapping[Which, Mark], *, account_id: AccountId, at: datetime
) -> list[Event]:
    """Make each policy paused exactly while one of its budgets is used up, until the last of those begins anew."""
    events: list[Event] = []
    for policy in books.policies.values():
        over = [used for used in books.used if used.budget.subject == policy.subject and _pauses(used, marks)]
        used = max(over, key=_ends, default=None)
        if used is not None and policy.paused_until != used.budget.until:
            because = f"its {PERIODS[used.budget.name]} budget of ${dollars(used.budget.amount)} is used up"
            await pause(session, policy, _ends(used), because, account_id=account_id, at=at)
            events.append(
                event_of(account_id, used.budget, "paused", at=at, until=rfc3339(_ends(used)), because=because)
            )
        elif used is None and policy.paused_until is not None:
            await resume(session, policy, account_id=account_id)
            events.append(
                Event(account_id, policy.subject, "budget.resumed", at, data={"team_id": team_of(policy.subject)})
            )
    return events


def _pauses(used: Used, marks: Mapping[Which, Mark]) -> bool:
    mark = marks[_which(used)]
    return (
        used.budget.on_exceeded is not OnExceeded.ALERT
        and used.budget.name is not BudgetName.LIMIT
        and mark.percent == LEVELS[-1]
    )


def _ends(used: Used) -> datetime:
    if used.budget.until is None:
        raise ValueError("a policy's budget has an end")
    return used.budget.until


def _next_look(books: Books, marks: Mapping[Which, Mark], *, at: datetime) -> datetime | None:
    """Return when something may be to tell next; None while nothing runs and nothing is paused."""
    moments: list[datetime] = []
    for used in books.used:
        level = next_level(marks[_which(used)].percent)
        if used.meters:
            moments.append(at + (_PATIENCE_HARD if used.is_hard else _PATIENCE))
            moments += [used.budget.until] if used.budget.until is not None else []
            if level is not None and used.budget.amount:
                reached = used.reaches(-(-used.budget.amount * level // 100), at=at)
                moments += [reached + timedelta(seconds=1)] if reached is not None else []
        if _pauses(used, marks):
            moments.append(_ends(used))
    return max(at + timedelta(seconds=1), min(moments)) if moments else None


def _told(
    account_id: AccountId, used: Used, news: News, *, spent: int, crosses_at: datetime | None, at: datetime
) -> Event:
    more = {} if news.happened != "burn_rate" or crosses_at is None else {"crosses_at": rfc3339(crosses_at)}
    return event_of(account_id, used.budget, news.happened, at=at, spent=dollars(spent), percent=news.percent, **more)


def _which(used: Used) -> Which:
    return Which(used.budget.subject, used.budget.name)
