"""The one writer of wallets and transfers."""

from __future__ import annotations

import hashlib
from base64 import b32encode
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import asyncpg
from prometheus_client import Counter as Metric
from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.db import driver
from app.kit.ids import AccountId, RentalId, TransferId
from app.kit.leases import bucket_of
from app.kit.money import MICROS_MAX
from app.ledger import queries
from app.ledger.errors import (
    FrozenError,
    KeyReusedError,
    NoWalletError,
    OverdrawnError,
    RestrictedError,
    TwinPostedError,
)
from app.ledger.kinds import ENTRIES, PAID_FROM, Bucket, Kind, deltas

_MOVEMENTS = Metric("hourglass_wallet_movements", "Movements posted, by kind", ["kind"])
_POSTED = {kind: _MOVEMENTS.labels(kind) for kind in Kind}

_CROCKFORD = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", b"0123456789ABCDEFGHJKMNPQRSTVWXYZ")
_KEY_CONSTRAINT = "uq_transfers_account_id_id"


@dataclass(frozen=True, slots=True)
class Usage:
    """Which seconds a capture pays: from (exclusive) to (inclusive) second of the rental, at a rate per hour."""

    rate: int
    from_s: int
    to_s: int
    base_s: int | None = None
    """From which second on this rate holds, where it is not the rental's first: n seconds of it cost ⌊rate x n / 3600⌋."""


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
    """The bucket that pays, for the kinds that may be paid from several."""
    reference: str | None = None
    """The payment, refund, dispute, top-up or lot of credit that it belongs to."""

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


def transfer_id_of(account_id: AccountId, idempotency_key: str) -> TransferId:
    """Return the id under which a movement stands in the ledger: it follows from the account and the key.

    So one unique index makes posting twice harmless and finds a transfer by its id. The body is a ULID in form, 128 bits
    of SHA-256 less the two that the form has no room for; it tells no time, ``seq`` is the order.
    """
    digest = hashlib.sha256(f"{account_id} {idempotency_key}".encode()).digest()
    body = b32encode(bytes((digest[0] & 0x3F,)) + digest[1:20])[:26]
    return TransferId("led_" + body.translate(_CROCKFORD).decode())


async def open_wallet(session: AsyncSession, *, account_id: AccountId, at: datetime) -> None:
    """Make an account's wallet, empty. Harmless to repeat."""
    await driver(session).execute(queries.OPEN_WALLET, account_id, bucket_of(account_id), at)


async def post(session: AsyncSession, movement: Movement) -> Balances:
    """Move money: one statement that changes the wallet and inserts the transfer, or does neither.

    Posting a key again returns the first outcome with ``replayed``.

    Raises:
        TwinPostedError: a twin committed in this very moment; the transaction, run again whole, replays.
        OverdrawnError: a bucket would fall below zero, or ``available`` would rise while something is owed.
        KeyReusedError: the key stands for another movement.
        FrozenError: the wallet is frozen and this would reserve from it.
        RestrictedError: a payment is disputed and this would reserve from the wallet.
        NoWalletError: there is no such wallet.
    """
    return await _post(session, movement, queries.POST_ONE, _columns(movement))


async def reserve(
    session: AsyncSession, *, account_id: AccountId, rental_id: RentalId, amount: int, at: datetime, actor: str
) -> Balances:
    """Reserve for a rental that this very transaction makes: like `post`, but its key is not looked for first.

    Raises:
        TwinPostedError: the rental has been reserved for; the transaction has failed.
        OverdrawnError: less is available.
        FrozenError: the wallet is frozen.
        RestrictedError: a payment is disputed.
        NoWalletError: there is no such wallet.
    """
    key = f"reserve:{rental_id}"
    movement = Movement(account_id, Kind.RESERVE, amount, key, at, actor=actor, rental_id=rental_id)
    transfer_id = transfer_id_of(account_id, key)
    return await _post(session, movement, queries.RESERVE, (account_id, amount, key, transfer_id, at, rental_id, actor))


async def post_many(session: AsyncSession, movements: Sequence[Movement]) -> None:
    """Move money in many wallets at once, in the order given within each: one statement for all.

    The caller has locked the wallets (``lock_wallets``) and computed from what it read there; keys must be new.
    All or nothing: a bucket below zero or a used key fails the transaction.

    Raises:
        NoWalletError: one of the wallets does not exist.
        TwinPostedError: one of the keys was posted before.
    """
    for movement in movements:
        _check(movement)
    if not movements:
        return
    with _telling_twins():
        done = await driver(session).execute(queries.POST_MANY, *zip(*map(_columns, movements), strict=True))
    if done != f"INSERT 0 {len(movements)}":
        raise NoWalletError("a movement names an account without a wallet")
    for kind, count in Counter(movement.kind for movement in movements).items():
        _POSTED[kind].inc(count)


@dataclass(frozen=True, slots=True)
class LockedWallet:
    """A wallet's balances under its row lock."""

    available: int
    reserved: int
    owed: int
    frozen: bool
    restricted: bool

    @property
    def renewable(self) -> int:
        """What holds may be renewed with: nothing while something is owed, or the wallet is frozen or restricted."""
        return 0 if self.owed or self.frozen or self.restricted else self.available


async def lock_wallet(session: AsyncSession, account_id: AccountId) -> LockedWallet:
    """Lock one wallet until the transaction ends, and return what stands on it.

    Raises:
        NoWalletError: there is no such wallet.
    """
    found = (await lock_wallets(session, [account_id])).get(account_id)
    if found is None:
        raise NoWalletError(account_id)
    return found


async def lock_wallets(session: AsyncSession, account_ids: Sequence[AccountId]) -> dict[AccountId, LockedWallet]:
    """Lock wallets in id order until the transaction ends, and return what stands on them.

    Wallets come before rentals and holds in the order of locks.
    """
    rows = await driver(session).fetch(queries.LOCK_WALLETS, sorted(set(account_ids)))
    return {
        AccountId(account_id): LockedWallet(available, reserved, owed, frozen, restricted)
        for account_id, available, reserved, owed, frozen, restricted in rows
    }


async def watch(session: AsyncSession, *, account_id: AccountId, alert_below: int) -> None:
    """Have movements that leave so much or less available say that warnings may be due."""
    await driver(session).execute(queries.WATCH, account_id, alert_below)


async def _post(session: AsyncSession, movement: Movement, statement: str, values: Sequence[object]) -> Balances:
    _check(movement)
    with _telling_twins():
        row = await driver(session).fetchrow(statement, *values)
    if row is None:
        return await _explain(session, movement)
    _POSTED[movement.kind].inc()
    return Balances(*row)


def _columns(movement: Movement) -> tuple[object, ...]:
    debit, credit = movement.entry
    usage = movement.usage
    return (
        movement.account_id,
        *deltas(debit, credit, movement.amount),
        movement.idempotency_key,
        transfer_id_of(movement.account_id, movement.idempotency_key),
        movement.kind,
        debit,
        credit,
        movement.amount,
        movement.at,
        movement.rental_id,
        movement.actor,
        movement.description,
        usage and usage.rate,
        usage and usage.from_s,
        usage and usage.to_s,
        movement.reference,
        usage and usage.base_s,
    )


@contextmanager
def _telling_twins() -> Iterator[None]:
    try:
        yield
    except asyncpg.UniqueViolationError as error:
        if error.constraint_name != _KEY_CONSTRAINT:
            raise
        raise TwinPostedError("another transaction has posted the same key") from None


def _check(movement: Movement) -> None:
    if not 0 < movement.amount <= MICROS_MAX:
        raise ValueError("a movement's amount is more than zero and within bounds")
    if movement.paid_from is not None and movement.paid_from not in PAID_FROM.get(movement.kind, ()):
        raise ValueError("this kind of movement is not paid from that bucket")


async def _explain(session: AsyncSession, movement: Movement) -> Balances:
    connection = driver(session)
    posted = await connection.fetchrow(
        queries.FIND_POSTED, movement.account_id, transfer_id_of(movement.account_id, movement.idempotency_key)
    )
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
    if wallet["restricted_at"] is not None and movement.kind is Kind.RESERVE:
        raise RestrictedError(movement.account_id)
    raise OverdrawnError(available=wallet["available"], reserved=wallet["reserved"], owed=wallet["owed"])
