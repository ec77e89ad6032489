"""What is to be told of a budget: 50, 75, 90 % and all of it, and that it will not last; each once a period. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, NamedTuple

from app.policies.standing import Budget

LEVELS: Final = (50, 75, 90, 100)
"""Per cent of a budget; at 100 it is used up."""

_MARGIN_PERCENT: Final = 10
"""A budget will not last if it ends so much of what is left of its period before the period does."""


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a budget has come in a period, as far as that was told."""

    since: datetime
    amount: int
    percent: int = 0
    burning: bool = False
    crosses_at: datetime | None = None
    """When it ends what runs, where it is hard."""

    def is_over(self, at: datetime) -> bool:
        """Say whether it has ended what ran."""
        return self.crosses_at is not None and self.crosses_at <= at

    def was_missed(self, now: Mark) -> bool:
        """Say whether it ended what ran in a period that is over by ``now``'s without a word of it."""
        return now.since > self.since and self.is_over(now.since) and self.percent < LEVELS[-1]


class News(NamedTuple):
    """Something to tell: ``threshold``, ``exceeded`` or ``burn_rate``, with the level in per cent."""

    happened: str
    percent: int


def marked(mark: Mark | None, budget: Budget, *, spent: int) -> Mark:
    """Return the mark of a budget's present period: a fresh one in a new period.

    Another amount begins anew at the level that is reached, without a word of those below that were told before.
    """
    if mark is None or mark.since != budget.since:
        return Mark(budget.since, budget.amount)
    if mark.amount == budget.amount:
        return mark
    return Mark(budget.since, budget.amount, percent=min(mark.percent, level_of(spent, budget.amount)))


def crossed(mark: Mark, crosses_at: datetime | None, *, at: datetime) -> Mark:
    """Return a hard budget's mark with when it ends what runs; a moment that has passed stays."""
    return mark if mark.is_over(at) else replace(mark, crosses_at=crosses_at)


def judge(
    mark: Mark, budget: Budget, *, spent: int, crosses_at: datetime | None, at: datetime
) -> tuple[Mark, list[News]]:
    """Return what is to be told now, and the mark after it. Of several levels passed at once the highest is told.

    Args:
        mark: of the present period.
        budget: the budget.
        spent: what is gone of it at ``at``.
        crosses_at: when it will be used up, were all to go on as it is; None where that is far.
        at: the present moment.
    """
    news: list[News] = []
    level = 100 if mark.is_over(at) else level_of(spent, budget.amount)
    if level > mark.percent:
        news.append(News("exceeded" if level == LEVELS[-1] else "threshold", level))
        mark = replace(mark, percent=level)
    if not mark.burning and mark.percent < LEVELS[-1] and _will_not_last(budget, crosses_at, at=at):
        news.append(News("burn_rate", mark.percent))
        mark = replace(mark, burning=True)
    return mark, news


def level_of(spent: int, amount: int) -> int:
    """Return the highest level that is reached; a budget of nothing has none to reach."""
    return max((level for level in LEVELS if amount and spent * 100 >= amount * level), default=0)


def next_level(percent: int) -> int | None:
    """Return the level above one, or None."""
    return next((level for level in LEVELS if level > percent), None)


def _will_not_last(budget: Budget, crosses_at: datetime | None, *, at: datetime) -> bool:
    if crosses_at is None or budget.until is None or not budget.amount:
        return False
    return budget.until - crosses_at >= (budget.until - at) * _MARGIN_PERCENT / 100
