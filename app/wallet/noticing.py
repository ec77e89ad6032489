"""What follows from a movement, in its own transaction: warnings that are due, and a card that is asked for more."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from app import refills
from app.kit.db import driver
from app.kit.ids import AccountId
from app.kit.money import Money, dollars
from app.wallet import alerts, queries
from app.wallet.errors import InsufficientBalance


async def notice(session: AsyncSession, account_ids: Sequence[AccountId], *, at: datetime) -> None:
    """Tell the warnings that these wallets have come down to, and let the rules of those that are low ask their cards.

    The caller holds the wallets' locks. Costs two statements, whatever the number of wallets, unless something is due.
    """
    await alerts.cross_levels(session, account_ids, at=at)
    await refill(session, account_ids, at=at)


async def refill(
    session: AsyncSession,
    account_ids: Sequence[AccountId],
    *,
    at: datetime,
    trigger: refills.Trigger = refills.Trigger.DECREASE,
) -> list[refills.Verdict]:
    """Let rules ask for more where a wallet is below its threshold; return what was decided for those that are."""
    below = await refills.find_below(session, account_ids, at=at)
    if not below:
        return []
    low = [found.account_id for found in below]
    rows = await driver(session).fetch(queries.FIND_LIVE, low)
    return await refills.ask(session, low, live={AccountId(row["account_id"]) for row in rows}, at=at, trigger=trigger)


async def reconsider(
    session: AsyncSession, *, account_id: AccountId, at: datetime, trigger: refills.Trigger
) -> refills.Verdict | None:
    """Judge an account's rule whatever its balance, and let a wait that is over end; None without a rule."""
    live = [account_id] if await is_live(session, account_id=account_id) else []
    verdicts = await refills.ask(session, [account_id], live=live, at=at, trigger=trigger)
    return verdicts[0] if verdicts else None


async def is_live(session: AsyncSession, *, account_id: AccountId) -> bool:
    """Say whether anything runs, or is being started: whether a hold is open."""
    return await driver(session).fetchrow(queries.FIND_LIVE, [account_id]) is not None


def asking_after(
    refused: InsufficientBalance, *, account_id: AccountId, at: datetime
) -> Callable[[AsyncSession], Awaitable[None]]:
    """Return what to do once a refusal is undone: ask the card, and say in the refusal what came of it.

    What was refused counts as live: it is being started. The charge covers its cost as well, where the cap leaves room.
    """
    need = Money.parse(str(refused.extra["required"])).micros

    async def ask(session: AsyncSession) -> None:
        told: dict[str, object] = {"state": refills.State.OFF}
        rule = await refills.find_rule(session, account_id=account_id)
        if rule is not None and rule.state is not refills.State.OFF:
            [verdict] = await refills.ask(
                session,
                [account_id],
                live={account_id},
                at=at,
                trigger=refills.Trigger.INSUFFICIENT_BALANCE,
                need=need,
            )
            told = {"state": verdict.rule.state}
            if (attempt := await refills.find_open(session, account_id=account_id)) is not None:
                told |= {"attempt_id": attempt.id, "amount": dollars(attempt.amount)}
            elif verdict.because is not None and verdict.because != verdict.rule.state:
                told["because"] = verdict.because
        refused.extra["auto_topup"] = told

    return ask
