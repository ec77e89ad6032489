"""Invariants: what must always be true, as queries that name what breaks them.

A room's ``invariants.py`` holds one statement that takes an array of accounts and returns rows of (name, account_id,
what): nothing when all is well. The worker runs it on a schedule, and every database test ends with it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.db import driver
from app.kit.ids import AccountId

SAMPLE_MAX = 10
"""How many cases are kept of each broken invariant in one account; every account that breaks it is named."""


@dataclass(frozen=True, slots=True)
class Case:
    """One place where an invariant does not hold."""

    account_id: AccountId
    what: str
    """An id or a number within the account: a rental, a ``seq``, a level."""


@dataclass(frozen=True, slots=True)
class Broken:
    """An invariant that does not hold, with some of the places."""

    name: str
    sample: tuple[Case, ...]


async def broken_among(session: AsyncSession, statement: str, account_ids: Sequence[AccountId]) -> list[Broken]:
    """Run a room's statement for some accounts."""
    cases: dict[str, list[Case]] = defaultdict(list)
    kept: Counter[tuple[str, str]] = Counter()
    for row in await driver(session).fetch(statement, list(account_ids)):
        place = (row["name"], row["account_id"])
        kept[place] += 1
        if kept[place] <= SAMPLE_MAX:
            cases[row["name"]].append(Case(AccountId(row["account_id"]), row["what"]))
    return [Broken(name, tuple(found)) for name, found in sorted(cases.items())]
