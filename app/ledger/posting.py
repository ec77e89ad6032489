"""The one writer of wallets and transfers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.db import driver
from app.kit.ids import AccountId, RentalId, TransferId
from app.kit.leases import bucket_of
from app.kit.money import MICROS_MAX
from app.ledger import queries
from app.ledger.errors import FrozenError, KeyReusedError, NoWalletError, OverdrawnError
from app.ledger.kinds import ENTRIES, Bucket, Kind, deltas


@dataclass(frozen=True, slots=True)
class Usage:
    """Which seconds a capture pays: from (exclusive) to (inclusive) second of the rental, at a rate per hour."""

    rate: int
    from_s: int
    to_s: int


@dataclass(frozen=True, slots=True)
class Movement:
    """What to move, and why. The key derives from the cause, so that posting twice moves once."""

    account_id: AccountId
    kind: Kind
    amount: int
    """Micro-dollars, more than zero."""
    idempotency_key: str
    at: datetime
    actor: str = "system"
    description: str = ""
    rental_id: RentalId | None = None
    usage: Usage | None = None
    paid_from: Bucket | None = None
    """For ``debt_repaid`` alone: the bucket that pays."""

    @property
    def entry(self) -> tuple[Bucket, Bucket]:
        """The buckets debited and credited."""
        debit, credit = ENTRIES[self.kind]
        return (self.paid_from or debit, credit)


@dataclass(frozen=True, slots=True)
class Balances:
    """A wallet's three buckets after a movement, in micro-dollars."""

    available: int
    reserved: int
    owed: int
    seq: int
    alert_due: bool = False
    """Available has come down to where warnings may be due."""
    replayed: bool = False
    """The movement had been posted before; these are the balances right after it."""


async def open_wallet(session: AsyncSession, *, account_id: AccountId, at: datetime) -> None:
    """Make an account's wallet, empty. Harmless to repeat."""
    await driver(session).execute(queries.OPEN_WALLET, account_id, bucket_of(account_id), at)


async def post(session: AsyncSession, movement: Movement) -> Balances:
    """Move money: one statement that changes the wallet and inserts the transfer, or does neither.

    Posting a key again returns the first outcome with ``replayed``. A twin that commits in the same moment ends this
    transaction with a unique violation; run again whole, it replays.

    Raises:
        OverdrawnError: a bucket would fall below zero, or ``available`` would rise while something is owed.
        KeyReusedError: the key stands for another movement.
        FrozenError: the wallet is frozen and this would reserve from it.
        NoWalletError: there is no such wallet.
    """
    _check(movement)
    debit, credit = movement.entry
    usage = movement.usage
    row = await driver(session).fetchrow(
        queries.POST_ONE,
        movement.account_id,
        *deltas(debit, credit, movement.amount),
        movement.idempotency_key,
        TransferId.new(),
        movement.kind,
        debit,
        credit,
        movement.amount,
        movement.at,
        movement.rental_id,
        movement.actor,
        movement.description,
        usage.rate if usage else None,
        usage.from_s if usage else None,
        usage.to_s if usage else None,
    )
    if row is None:
        return await _explain(session, movement)
    return Balances(*row)


async def post_many(session: AsyncSession, movements: Sequence[Movement]) -> None:
    """Move money in many wallets at once, in the order given within each: one statement for all.

    The caller has locked the wallets (``lock_wallets``) and computed from what it read there; keys must be new.
    All or nothing: a bucket below zero or a used key fails the transaction.
    """
    for movement in movements:
        _check(movement)
    if not movements:
        return
    entries = [movement.entry for movement in movements]
    changes = [deltas(*entry, movement.amount) for entry, movement in zip(entries, movements, strict=True)]
    usages = [movement.usage for movement in movements]
    await driver(session).execute(
        queries.POST_MANY,
        [movement.account_id for movement in movements],
        [change[0] for change in changes],
        [change[1] for change in changes],
        [change[2] for change in changes],
        [movement.idempotency_key for movement in movements],
        [TransferId.new() for _ in movements],
        [movement.kind for movement in movements],
        [entry[0] for entry in entries],
        [entry[1] for entry in entries],
        [movement.amount for movement in movements],
        [movement.at for movement in movements],
        [movement.rental_id for movement in movements],
        [movement.actor for movement in movements],
        [movement.description for movement in movements],
        [usage.rate if usage else None for usage in usages],
        [usage.from_s if usage else None for usage in usages],
        [usage.to_s if usage else None for usage in usages],
    )


@dataclass(frozen=True, slots=True)
class LockedWallet:
    """A wallet's balances under its row lock."""

    available: int
    reserved: int
    owed: int
    frozen: bool


async def lock_wallets(session: AsyncSession, account_ids: Sequence[AccountId]) -> dict[AccountId, LockedWallet]:
    """Lock wallets in id order until the transaction ends, and return what stands on them.

    Wallets come before rentals and holds in the order of locks.
    """
    rows = await driver(session).fetch(queries.LOCK_WALLETS, sorted(set(account_ids)))
    return {
        AccountId(row["account_id"]): LockedWallet(row["available"], row["reserved"], row["owed"], row["frozen"])
        for row in rows
    }


async def watch(session: AsyncSession, *, account_id: AccountId, alert_below: int) -> None:
    """Have movements that leave so much or less available say that warnings may be due."""
    await driver(session).execute(queries.WATCH, account_id, alert_below)


def inflow(movement: Movement, *, owed: int) -> list[Movement]:
    """Split an inflow so that a debt is paid before anything becomes available. ``owed`` is read under the lock."""
    repaid = min(owed, movement.amount)
    parts = []
    if repaid:
        parts.append(
            Movement(
                account_id=movement.account_id,
                kind=Kind.DEBT_REPAID,
                amount=repaid,
                idempotency_key=f"{movement.idempotency_key}:debt",
                at=movement.at,
                actor=movement.actor,
                description=movement.description,
                rental_id=movement.rental_id,
                paid_from=movement.entry[0],
            )
        )
    if movement.amount > repaid:
        parts.append(
            Movement(
                account_id=movement.account_id,
                kind=movement.kind,
                amount=movement.amount - repaid,
                idempotency_key=movement.idempotency_key,
                at=movement.at,
                actor=movement.actor,
                description=movement.description,
                rental_id=movement.rental_id,
                usage=movement.usage,
            )
        )
    return parts


def _check(movement: Movement) -> None:
    if not 0 < movement.amount <= MICROS_MAX:
        raise ValueError("a movement's amount is more than zero and within bounds")
    if movement.paid_from is not None and movement.kind is not Kind.DEBT_REPAID:
        raise ValueError("only a repaid debt names the bucket that pays")


async def _explain(session: AsyncSession, movement: Movement) -> Balances:
    connection = driver(session)
    posted = await connection.fetchrow(queries.FIND_POSTED, movement.account_id, movement.idempotency_key)
    if posted is not None:
        if (posted["kind"], posted["amount"]) != (movement.kind, movement.amount):
            raise KeyReusedError(movement.idempotency_key)
        after = (posted["available_after"], posted["reserved_after"], posted["owed_after"], posted["seq"])
        return Balances(*after, replayed=True)
    wallet = await connection.fetchrow(queries.READ_WALLET, movement.account_id)
    if wallet is None:
        raise NoWalletError(movement.account_id)
    if wallet["frozen_at"] is not None and movement.kind is Kind.RESERVE:
        raise FrozenError(movement.account_id)
    raise OverdrawnError(available=wallet["available"], reserved=wallet["reserved"], owed=wallet["owed"])
