"""What budgets have used up, and by whom: read once for an account, under the wallet's lock."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from app import tenancy, wallet
from app.kit.days import day_around, month_around, week_around, zone_named
from app.kit.db import driver
from app.kit.ids import AccountId, RentalId
from app.policies.budgets import queries
from app.policies.budgets.crossing import Around, crossing, used
from app.policies.reading import Rules, get_policies
from app.policies.spenders import Spender
from app.policies.standing import Budget, BudgetName, Inquiry, budgets_of, limit_budget
from app.policies.terms import OnExceeded, Policy, SubjectKind
from app.wallet import Meter

_AROUND: Final = {"daily": day_around, "weekly": week_around, "monthly": month_around}


@dataclass(frozen=True, slots=True)
class Used:
    """A budget, what was captured of it in its period, and what runs on it."""

    budget: Budget
    around: Around | None
    settled: int
    meters: tuple[Meter, ...]

    def spent(self, at: datetime) -> int:
        """Return what is gone at a moment: captured, and used since. Micro-dollars."""
        since = self.budget.since if self.around is not None else None
        return self.settled + used(self.meters, since=since, at=at)

    def reaches(self, amount: int, *, at: datetime) -> datetime | None:
        """Return the last moment at which no more than an amount is gone; None where that is far."""
        return crossing(self.meters, amount=amount, settled=self.settled, around=self.around, at=at)

    @property
    def is_hard(self) -> bool:
        """Whether it ends what runs."""
        return self.budget.on_exceeded is OnExceeded.STOP_ALL


@dataclass(frozen=True, slots=True)
class Books:
    """An account's budgets, everything that runs in it, and whose that is."""

    policies: Mapping[str, Policy]
    used: tuple[Used, ...]
    meters: tuple[Meter, ...]


async def read_books(session: AsyncSession, *, account_id: AccountId, at: datetime) -> Books:
    """Return every budget of an account with what is gone of it. Locks the wallet and what runs."""
    meters = await wallet.lock_running(session, account_id=account_id)
    members = await _members(session, [RentalId(meter.rental_id) for meter in meters], account_id=account_id)
    subjects = [row["subject"] for row in await driver(session).fetch(queries.LIST_SUBJECTS, account_id)]
    policies = await get_policies(session, account_id=account_id, subjects=subjects)
    found: list[tuple[Budget, Around | None]]
    found = [(budget, _around(budget)) for policy in policies for budget in budgets_of(policy, at=at)]
    keys = [subject for subject in subjects if SubjectKind.of(subject) is SubjectKind.KEY]
    for key_id, limit in (await tenancy.key_limits(session, account_id=account_id, key_ids=keys)).items():
        budget = limit_budget(key_id, limit, at=at)
        around = partial(_AROUND[limit.reset], zone=zone_named(budget.time_zone)) if limit.reset else None
        found.append((budget, around))
    settled = await _settled(session, [budget for budget, _ in found], account_id=account_id)
    used_up = tuple(
        Used(budget, around, spent, tuple(one for one in meters if budget.subject in members.get(one.rental_id, ())))
        for (budget, around), spent in zip(found, settled, strict=True)
    )
    return Books({policy.subject: policy for policy in policies}, used_up, tuple(meters))


def _around(budget: Budget) -> Around:
    around = day_around if budget.name is BudgetName.DAILY else month_around
    return partial(around, zone=zone_named(budget.time_zone))


async def _members(
    session: AsyncSession, rental_ids: Sequence[RentalId], *, account_id: AccountId
) -> dict[str, Collection[str]]:
    """Return by rental the subjects whose budgets count it."""
    rows = await driver(session).fetch(queries.READ_MEMBERS, account_id, list(rental_ids))
    return {row["rental_id"]: (account_id, row["team_id"], row["user_id"], row["key_id"]) for row in rows}


async def _settled(session: AsyncSession, budgets: Sequence[Budget], *, account_id: AccountId) -> list[int]:
    if not budgets:
        return []
    inquiry = Inquiry(Rules(Spender(account_id), (), ()), tuple(budgets))
    return list((await inquiry.read(session))["spent"])
