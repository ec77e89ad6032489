"""Admission: decided under the wallet's lock and counted in the same transaction, so that none share one budget.

Who begins something that spends holds the wallet's lock, asks ``require``, and writes the row that counts it by
``COUNT_RENTAL`` with the row of what it is: one statement. ``end`` counts it no more.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.db import driver
from app.kit.ids import AccountId, ApiKeyId, RentalId, TeamId, UserId
from app.policies import queries
from app.policies.deciding import Verdict, Wish, decide
from app.policies.reading import Rules, standing_terms_for
from app.policies.spenders import Spender
from app.policies.standing import Standing, stand


async def require(session: AsyncSession, rules: Rules, wish: Wish, *, at: datetime) -> None:
    """Pass when a spender may have so much, or so much more, now. The caller holds the wallet's lock.

    Raises:
        PolicyViolation, BudgetExceeded, ProvisioningPaused, KeyLimitExceeded: a policy says no.
    """
    if not rules.binding and rules.spender.limit is None:
        return
    verdict = decide(await _stand(session, rules, at=at), wish, at=at)
    if not verdict.allowed:
        raise verdict.error()


async def check(session: AsyncSession, rules: Rules, wish: Wish, *, at: datetime) -> Verdict:
    """Return what the decision would be right now. Nothing is locked or written."""
    return decide(await _stand(session, rules, at=at), wish, at=at)


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


async def _stand(session: AsyncSession, rules: Rules, *, at: datetime) -> Standing:
    """Return the standing by the policies of this very moment: those that were read may have changed meanwhile."""
    standing = await stand(session, rules, at=at)
    while standing.versions != rules.versions:
        rules = await standing_terms_for(session, rules.spender)
        standing = await stand(session, rules, at=at)
    return standing
