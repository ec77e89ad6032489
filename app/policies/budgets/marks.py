"""The marks of an account's budgets, read and written; and when its budgets are looked at again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.db import driver
from app.kit.ids import AccountId
from app.kit.leases import bucket_of
from app.policies.budgets import queries
from app.policies.budgets.judging import Mark


class Which(NamedTuple):
    """A budget of a subject."""

    subject: str
    name: str


class Look(NamedTuple):
    """An account whose budgets are due for a look."""

    account_id: AccountId
    bucket: int

    def __str__(self) -> str:
        """Name it for the runner."""
        return self.account_id


async def read_marks(session: AsyncSession, *, account_id: AccountId) -> dict[Which, Mark]:
    """Return the marks of an account's budgets."""
    rows = await driver(session).fetch(queries.READ_MARKS, account_id)
    return {Which(row[0], row[1]): Mark(*row[2:]) for row in rows}


async def save_marks(session: AsyncSession, marks: Mapping[Which, Mark], *, account_id: AccountId) -> None:
    """Write marks. The caller holds the wallet's lock."""
    if not marks:
        return
    await driver(session).execute(
        queries.SAVE_MARKS,
        account_id,
        [which.subject for which in marks],
        [which.name for which in marks],
        [mark.since for mark in marks.values()],
        [mark.amount for mark in marks.values()],
        [mark.percent for mark in marks.values()],
        [mark.burning for mark in marks.values()],
        [mark.crosses_at for mark in marks.values()],
    )


async def look_at(session: AsyncSession, next_at: datetime | None, *, account_id: AccountId) -> None:
    """Have an account's budgets looked at then, or not by themselves."""
    await driver(session).execute(queries.LOOK_AT, account_id, bucket_of(account_id), next_at)


async def find_looks(session: AsyncSession, *, at: datetime, buckets: Sequence[int], limit: int) -> list[Look]:
    """Return accounts whose budgets are due for a look, the longest overdue first."""
    rows = await driver(session).fetch(queries.FIND_LOOKS, at, list(buckets), limit)
    return [Look(AccountId(row[0]), row[1]) for row in rows]
