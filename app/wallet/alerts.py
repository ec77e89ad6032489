"""Low-balance warnings: fired once, in the transaction that crosses the level, and re-armed at 110 %."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from app import ledger, refills
from app.events import Event, record
from app.kit.db import driver
from app.kit.ids import AccountId
from app.kit.money import dollars
from app.wallet import queries

LOW_BALANCE = "balance"
"""The customer's own level."""

LEVELS = {"runway_24h": 86_400, "runway_6h": 21_600, "runway_1h": 3_600, "depleted": 0}
"""What every wallet has: seconds of runway, and micro-dollars available."""


@dataclass(frozen=True, slots=True)
class Level:
    """One warning level: micro-dollars for ``balance`` and ``depleted``, seconds for the runways."""

    level: str
    threshold: int
    armed: bool
    fired_at: datetime | None


async def open_levels(session: AsyncSession, *, account_id: AccountId) -> None:
    """Give a new wallet its levels. Harmless to repeat."""
    await driver(session).execute(queries.OPEN_LEVELS, account_id, list(LEVELS), list(LEVELS.values()))


async def set_level(session: AsyncSession, *, account_id: AccountId, level: str, threshold: int) -> None:
    """Set one level and arm it if the wallet stands above it."""
    await driver(session).execute(queries.SET_LEVEL, account_id, level, threshold)
    await watch(session, account_id=account_id)


async def set_low_balance(session: AsyncSession, *, account_id: AccountId, threshold: int | None) -> None:
    """Set the customer's own level, in micro-dollars available, or forget it with None. Locks the wallet."""
    await ledger.lock_wallet(session, account_id)
    if threshold is None:
        await driver(session).execute(queries.DROP_LEVEL, account_id, LOW_BALANCE)
        await watch(session, account_id=account_id)
    else:
        await set_level(session, account_id=account_id, level=LOW_BALANCE, threshold=threshold)


async def watch(session: AsyncSession, *, account_id: AccountId) -> None:
    """Have movements look up when they leave less than a level, or less than the card is asked for more below."""
    levels = await list_levels(session, account_id=account_id)
    watched = [found.threshold for found in levels if not found.level.startswith("runway")]
    watched.append(await refills.get_threshold(session, account_id=account_id))
    await ledger.watch(session, account_id=account_id, alert_below=max(watched))


async def list_levels(session: AsyncSession, *, account_id: AccountId) -> list[Level]:
    """Return an account's levels."""
    rows = await driver(session).fetch(queries.READ_LEVELS, account_id)
    return [Level(*row) for row in rows]


async def cross_levels(session: AsyncSession, account_ids: Sequence[AccountId], *, at: datetime) -> None:
    """Fire every armed level that these wallets have come down to, and re-arm those they rose well above.

    The caller holds the wallets' locks.
    """
    fired = await driver(session).fetch(queries.CROSS_LEVELS, list(account_ids), at)
    await record(
        session,
        *(
            Event(
                account_id=AccountId(row["account_id"]),
                subject=row["account_id"],
                type="wallet.depleted" if row["level"] == "depleted" else "wallet.low",
                at=at,
                data=_told(row["level"], row["threshold"], row["value"])
                | {"available": dollars(row["available"]), "total": dollars(int(row["total"]))},
            )
            for row in fired
        ),
    )


def _told(level: str, threshold: int, value: int) -> dict[str, object]:
    if level.startswith("runway"):
        return {"level": level, "threshold_seconds": threshold, "runway_seconds": value}
    return {"level": level, "threshold": dollars(threshold)}
