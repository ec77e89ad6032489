"""Where a spender stands with every policy that applies to it, at one moment: one statement, one snapshot."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Final

import asyncpg
from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.days import day_around, day_of, month_around, week_around, zone_named
from app.kit.db import driver
from app.policies import queries
from app.policies.reading import Rules
from app.policies.spenders import Spender
from app.policies.terms import UTC_NAME, OnExceeded, Policy, SubjectKind
from app.web.principal import SpendLimit

_EVER: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ORDER: Final = (SubjectKind.ACCOUNT, SubjectKind.TEAM, SubjectKind.USER, SubjectKind.KEY)
_COLUMNS: Final = 3


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
    versions: tuple[str, ...]
    """Of the policies, as they were at that moment."""


def budgets_of(policy: Policy, *, at: datetime) -> list[Budget]:
    """Return a policy's budgets for the periods in which ``at`` lies."""
    zone = zone_named(policy.time_zone)
    found = []
    for name, amount, around in (
        (BudgetName.DAILY, policy.terms.daily_budget_micros, day_around),
        (BudgetName.MONTHLY, policy.terms.monthly_budget_micros, month_around),
    ):
        if amount is not None:
            since, until = around(at, zone)
            on_exceeded = policy.terms.on_budget_exceeded
            found.append(
                Budget(policy.subject, name, amount, since, until, day_of(since, zone), policy.time_zone, on_exceeded)
            )
    return found


def limit_budget(subject: str, limit: SpendLimit, *, at: datetime) -> Budget:
    """Return a key's own limit for the period of UTC in which ``at`` lies: a budget that ends what runs."""
    zone = zone_named(UTC_NAME)
    around = {"daily": day_around, "weekly": week_around, "monthly": month_around}
    since, until = around[limit.reset](at, zone) if limit.reset else (_EVER, None)
    return Budget(subject, BudgetName.LIMIT, limit.micros, since, until, since.date(), on_exceeded=OnExceeded.STOP_ALL)


async def stand(session: AsyncSession, rules: Rules, *, at: datetime) -> Standing:
    """Return where a spender stands. Under the wallet's lock nothing of it can change until the transaction ends."""
    spender = rules.spender
    budgets = [budget for policy in rules.policies for budget in budgets_of(policy, at=at)]
    if spender.key_id is not None and spender.limit is not None:
        budgets.append(limit_budget(spender.key_id, spender.limit, at=at))
    row = await _read(session, rules, budgets, from_days=True)
    if [budget.time_zone for budget in budgets] != row[
        "zones"
    ]:  # the days were counted elsewhere, until they are again
        row = await _read(session, rules, budgets, from_days=False)
    opened = _opened(spender, row["opened"], of_account=_counts_account(rules))
    spent = [
        Spent(budget, settled, opened[budget.subject].held)
        for budget, settled in zip(budgets, row["spent"], strict=True)
    ]
    return Standing(rules.policies, opened, tuple(spent), tuple(row["versions"]))


async def _read(session: AsyncSession, rules: Rules, budgets: list[Budget], *, from_days: bool) -> asyncpg.Record:
    spender = rules.spender
    of_account = _counts_account(rules)
    [row] = await driver(session).fetch(
        queries.standing(of_account=of_account, from_days=from_days),
        spender.account_id,
        spender.team_id,
        spender.user_id,
        spender.key_id,
        [budget.subject for budget in budgets],
        [budget.first_day for budget in budgets],
        [budget.since for budget in budgets],
    )
    return row


def _counts_account(rules: Rules) -> bool:
    """Say whether everything open on the account is to be counted: not for a team's caps alone."""
    return any(policy.kind is SubjectKind.ACCOUNT for policy in rules.binding or rules.policies)


def _opened(spender: Spender, counts: tuple[int, ...], *, of_account: bool) -> dict[str, Open]:
    ids = (of_account and spender.account_id, spender.team_id, spender.user_id, spender.key_id)
    return {
        subject: Open(*map(int, counts[n * _COLUMNS : (n + 1) * _COLUMNS])) for n, subject in enumerate(ids) if subject
    }
