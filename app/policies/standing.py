"""Where a spender stands with every policy that applies to it, at one moment: one statement, one snapshot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

import asyncpg
from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.days import day_around, day_of, month_around, week_around, zone_named
from app.kit.db import driver
from app.kit.ids import RentalId
from app.policies import queries
from app.policies.reading import Rules
from app.policies.spenders import Spender
from app.policies.terms import UTC_NAME, OnExceeded, Policy, SubjectKind
from app.web.principal import SpendLimit

_EVER: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ORDER: Final = (SubjectKind.ACCOUNT, SubjectKind.TEAM, SubjectKind.USER, SubjectKind.KEY)
_COLUMNS: Final = 3
_Around = Callable[[datetime, ZoneInfo], tuple[datetime, datetime]]


class BudgetName(StrEnum):
    """Which budget of a subject; a key's own limit is one of its budgets."""

    DAILY = "daily_budget"
    MONTHLY = "monthly_budget"
    LIMIT = "limit"


@dataclass(frozen=True, slots=True)
class Budget:
    """How much a subject may spend in the present period. ``until`` is None for a key's limit that never resets."""

    subject: str
    name: BudgetName
    amount: int
    since: datetime
    until: datetime | None
    first_day: date
    time_zone: str = UTC_NAME
    on_exceeded: OnExceeded = OnExceeded.PAUSE_NEW


@dataclass(frozen=True, slots=True)
class Spent:
    """A budget and what is gone of it: settled in the period, and held for what is open. Micro-dollars."""

    budget: Budget
    settled: int
    held: int

    @property
    def left(self) -> int:
        """What may still be held; never less than nothing."""
        return max(0, self.budget.amount - self.settled - self.held)


@dataclass(frozen=True, slots=True)
class Open:
    """What a subject has that is not over."""

    instances: int = 0
    gpus: int = 0
    held: int = 0


@dataclass(frozen=True, slots=True)
class Standing:
    """The policies that apply, what is open under each, and every budget with what is gone of it."""

    policies: tuple[Policy, ...]
    open: dict[str, Open]
    """By subject."""
    spent: tuple[Spent, ...]
    states: tuple[str, ...]
    """Of the policies, as they were at that moment."""


def budgets_of(policy: Policy, *, at: datetime) -> list[Budget]:
    """Return a policy's budgets for the periods in which ``at`` lies."""
    found = []
    for name, amount, around in (
        (BudgetName.DAILY, policy.terms.daily_budget_micros, day_around),
        (BudgetName.MONTHLY, policy.terms.monthly_budget_micros, month_around),
    ):
        if amount is not None:
            period = _period(around, policy.time_zone, at.replace(second=0, microsecond=0))
            on_exceeded = policy.terms.on_budget_exceeded
            found.append(Budget(policy.subject, name, amount, *period, policy.time_zone, on_exceeded))
    return found


def limit_budget(subject: str, limit: SpendLimit, *, at: datetime) -> Budget:
    """Return a key's own limit for the period of UTC in which ``at`` lies: a budget that ends what runs."""
    around = {"daily": day_around, "weekly": week_around, "monthly": month_around}
    if limit.reset:
        period = _period(around[limit.reset], UTC_NAME, at.replace(second=0, microsecond=0))
    else:
        period = (_EVER, None, _EVER.date())
    return Budget(subject, BudgetName.LIMIT, limit.micros, *period, on_exceeded=OnExceeded.STOP_ALL)


@lru_cache(maxsize=1024)
def _period(around: _Around, time_zone: str, minute: datetime) -> tuple[datetime, datetime | None, date]:
    """Return since when, until when and from which day on a period goes: the same all through a minute of any zone."""
    zone = zone_named(time_zone)
    since, until = around(minute, zone)
    return since, until, day_of(since, zone)


@dataclass(frozen=True, slots=True)
class Inquiry:
    """What is read to know where a spender stands: by a statement of its own (``read``), or by another beside it."""

    rules: Rules
    budgets: tuple[Budget, ...]
    but: str = ""
    """The rental that begins by this very decision, and is not open before it."""

    @classmethod
    def of(cls, rules: Rules, *, at: datetime, but: RentalId | None = None) -> Inquiry:
        """Return what is to be read at a moment."""
        spender = rules.spender
        budgets = [budget for policy in rules.binding for budget in budgets_of(policy, at=at)]
        if spender.key_id is not None and spender.limit is not None:
            budgets.append(limit_budget(spender.key_id, spender.limit, at=at))
        return cls(rules, tuple(budgets), but or "")

    @property
    def values(self) -> tuple[object, ...]:
        """The parameters of ``queries.standing``."""
        return (
            *whose(self.rules.spender),
            self.but,
            [budget.subject for budget in self.budgets],
            [budget.first_day for budget in self.budgets],
            [budget.since for budget in self.budgets],
        )

    async def read(self, session: AsyncSession) -> asyncpg.Record:
        """Return the row."""
        return await self.proved(session, await self._read(session, from_days=True))

    async def proved(self, session: AsyncSession, row: asyncpg.Record) -> asyncpg.Record:
        """Return the row, or one from the whole ledger while days of another zone than a budget's are counted."""
        zones = dict(row["zones"])
        if all(budget.time_zone == zones.get(budget.subject, UTC_NAME) for budget in self.budgets):
            return row
        return await self._read(session, from_days=False)

    def told(self, row: asyncpg.Record) -> Standing:
        """Return what a row says."""
        account_id, *others = whose(self.rules.spender)
        ids = (self.rules.is_of_account and account_id, *others)
        counts = row["opened"]
        opened = {id_: Open(*counts[n * _COLUMNS : (n + 1) * _COLUMNS]) for n, id_ in enumerate(ids) if id_}
        spent = [
            Spent(budget, settled, opened[budget.subject].held)
            for budget, settled in zip(self.budgets, row["spent"], strict=True)
        ]
        return Standing(self.rules.policies, opened, tuple(spent), tuple(sorted(row["states"])))

    async def _read(self, session: AsyncSession, *, from_days: bool) -> asyncpg.Record:
        statement = queries.standing(of_account=self.rules.is_of_account, from_days=from_days)
        [row] = await driver(session).fetch(statement, *self.values)
        return row


async def stand(session: AsyncSession, rules: Rules, *, at: datetime, but: RentalId | None = None) -> Standing:
    """Return where a spender stands. Under the wallet's lock nothing of it can change until the transaction ends."""
    inquiry = Inquiry.of(rules, at=at, but=but)
    return inquiry.told(await inquiry.read(session))


def whose(spender: Spender) -> tuple[str | None, ...]:
    """Return the account, the team, the person and the key of a spender, as every statement takes them."""
    return spender.account_id, spender.team_id, spender.user_id, spender.key_id
