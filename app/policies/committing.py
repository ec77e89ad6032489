"""Admission: decided under the wallet's lock and counted in the same transaction, so that none share one budget.

Who begins something that spends holds the wallet's lock and lets ``admit`` write it: the decision, the row that counts
it and the rows of what it is are one statement. ``end`` counts it no more. ``require`` decides alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.db import driver
from app.kit.ids import AccountId, ApiKeyId, RentalId, TeamId, UserId
from app.policies import queries
from app.policies.deciding import Verdict, Wish, decide
from app.policies.reading import Rules, standing_terms_for
from app.policies.spenders import Spender
from app.policies.standing import Inquiry, Standing, stand, whose


@dataclass(frozen=True, slots=True)
class Rows:
    """What something that spends begins with: the parts of a WITH, each an INSERT, and the values of $1 and so on."""

    parts: str
    values: tuple[object, ...]


async def admit(
    session: AsyncSession, rules: Rules, wish: Wish, *, rental_id: RentalId, rows: Rows, at: datetime
) -> None:
    """Write a rental and count it, and pass when its spender may have it. The caller holds the wallet's lock.

    All that a statement reads is as it was before it, so that what is written does not count against itself.

    Raises:
        PolicyViolation, BudgetExceeded, ProvisioningPaused, KeyLimitExceeded: a policy says no. It is written all the
            same: the caller undoes the transaction.
    """
    taken, counted = len(rows.values), (wish.family, wish.gpu_count, at)
    if not rules.says_anything:
        statement = queries.counting(rows.parts, taken=taken)
        await driver(session).execute(statement, *rows.values, *whose(rules.spender), rental_id, *counted)
        return
    inquiry = Inquiry.of(rules, at=at, but=rental_id)
    statement = queries.counting_and_standing(rows.parts, taken=taken, of_account=rules.is_of_account)
    [row] = await driver(session).fetch(statement, *rows.values, *inquiry.values, *counted)
    standing = inquiry.told(await inquiry.proved(session, row))
    standing = await _of_now(session, rules, standing, at=at, but=rental_id)
    _pass(decide(standing, wish, at=at))


async def require(session: AsyncSession, rules: Rules, wish: Wish, *, at: datetime) -> None:
    """Pass when a spender may have so much, or so much more, now. The caller holds the wallet's lock.

    Raises:
        PolicyViolation, BudgetExceeded, ProvisioningPaused, KeyLimitExceeded: a policy says no.
    """
    if rules.says_anything:
        _pass(await check(session, rules, wish, at=at))


async def check(session: AsyncSession, rules: Rules, wish: Wish, *, at: datetime) -> Verdict:
    """Return what the decision would be right now. Nothing is locked or written."""
    standing = await _of_now(session, rules, await stand(session, rules, at=at), at=at)
    return decide(standing, wish, at=at)


async def end(session: AsyncSession, *, account_id: AccountId, rental_id: RentalId, at: datetime) -> None:
    """Count a rental no more: it is over. Harmless to repeat."""
    await driver(session).execute(queries.END_COMMITMENT, account_id, rental_id, at)


async def find_spender(session: AsyncSession, *, account_id: AccountId, rental_id: RentalId) -> Spender | None:
    """Return on whose account a rental runs, without its key's limit; None where it is not counted."""
    row = await driver(session).fetchrow(queries.FIND_COMMITMENT, account_id, rental_id)
    if row is None:
        return None
    return Spender(
        account_id=account_id,
        team_id=row["team_id"] and TeamId(row["team_id"]),
        user_id=row["user_id"] and UserId(row["user_id"]),
        key_id=row["key_id"] and ApiKeyId(row["key_id"]),
    )


async def _of_now(
    session: AsyncSession, rules: Rules, standing: Standing, *, at: datetime, but: RentalId | None = None
) -> Standing:
    """Return the standing by the policies of this very moment: those that were read may have changed meanwhile."""
    while standing.states != rules.states:
        rules = await standing_terms_for(session, rules.spender)
        standing = await stand(session, rules, at=at, but=but)
    return standing


def _pass(verdict: Verdict) -> None:
    if not verdict.allowed:
        raise verdict.error()
