"""Attempts: written before anything is sent, looked at until their outcome is known. Callers own the transaction."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import asyncpg
from sqlalchemy.ext.asyncio import AsyncSession

from app import ledger
from app.kit.db import driver
from app.kit.ids import AccountId, TopupId
from app.refills import queries
from app.refills.states import ATTEMPT_MOVES, OPEN, AttemptState


@dataclass(frozen=True, slots=True)
class Attempt:
    """One charge that a rule asked for. The amount in micro-dollars, whole cents."""

    account_id: AccountId
    id: TopupId
    bucket: int
    amount: int
    currency: str
    payment_method_id: str
    card_fingerprint: str | None
    state: AttemptState
    decline_code: str | None
    advice_code: str | None
    payment_intent_id: str | None
    payment_id: str | None
    checkout_id: str | None
    params: Mapping[str, Any] | None
    """What is sent, frozen before it is sent for the first time."""
    trigger: str
    created_at: datetime
    submitted_at: datetime | None
    resolved_at: datetime | None
    tries: int
    next_at: datetime | None

    @property
    def is_open(self) -> bool:
        """Whether its outcome is still to come."""
        return self.state in OPEN


@dataclass(frozen=True, slots=True)
class DueAttempt:
    """An open attempt that is to be looked at."""

    account_id: AccountId
    id: TopupId
    bucket: int

    def __str__(self) -> str:
        """Name it for the runner."""
        return self.id


class IllegalMoveError(Exception):
    """A mistake of ours: the table of moves does not allow this one."""


async def find_attempt(session: AsyncSession, *, account_id: AccountId, attempt_id: str) -> Attempt | None:
    """Return an attempt of an account."""
    row = await driver(session).fetchrow(queries.READ_ATTEMPT, account_id, attempt_id)
    return None if row is None else _attempt(row)


async def find_asked(session: AsyncSession, *, account_id: AccountId, attempt_id: str) -> int | None:
    """Return for how much an attempt asked, in micro-dollars; None when the account has no such attempt."""
    found = await find_attempt(session, account_id=account_id, attempt_id=attempt_id)
    return None if found is None else found.amount


async def find_open(session: AsyncSession, *, account_id: AccountId) -> Attempt | None:
    """Return the one attempt of an account whose outcome is still to come."""
    row = await driver(session).fetchrow(queries.FIND_OPEN, account_id)
    return None if row is None else _attempt(row)


async def list_attempts(
    session: AsyncSession, *, account_id: AccountId, before: str | None, limit: int
) -> list[Attempt]:
    """Return an account's attempts, newest first."""
    return [_attempt(row) for row in await driver(session).fetch(queries.LIST_ATTEMPTS, account_id, before, limit)]


async def find_due(session: AsyncSession, *, at: datetime, buckets: Sequence[int], limit: int) -> list[DueAttempt]:
    """Return open attempts that are to be looked at by now, the longest overdue first."""
    rows = await driver(session).fetch(queries.FIND_DUE, at, list(buckets), limit)
    return [DueAttempt(AccountId(row["account_id"]), TopupId(row["id"]), row["bucket"]) for row in rows]


async def lock_attempt(session: AsyncSession, *, account_id: AccountId, attempt_id: str) -> Attempt:
    """Lock the wallet, and with it the account's attempts; return one of them.

    Raises:
        LookupError: there is no such attempt.
    """
    await ledger.lock_wallet(session, account_id)
    found = await find_attempt(session, account_id=account_id, attempt_id=attempt_id)
    if found is None:
        raise LookupError(f"{account_id} has no attempt {attempt_id}")
    return found


async def begin_try(
    session: AsyncSession, attempt: Attempt, *, params: Mapping[str, Any], at: datetime, next_at: datetime
) -> Attempt:
    """Count a try that is about to be made; the first one freezes what is sent. The caller holds the wallet's lock.

    ``next_at`` is when another look is due should nothing more be heard of this try.
    """
    begun = replace(attempt, tries=attempt.tries + 1, next_at=next_at)
    if attempt.state is AttemptState.CREATED:
        begun = replace(begun, params=dict(params), submitted_at=at)
        return await move(session, begun, AttemptState.SUBMITTED, at=at)
    await _save(session, begun)
    return begun


async def keep(
    session: AsyncSession,
    attempt: Attempt,
    *,
    state: AttemptState,
    at: datetime,
    next_at: datetime | None = None,
    payment_intent_id: str | None = None,
    decline_code: str | None = None,
) -> None:
    """Write down what is known of an attempt that was sent and is still open; one that has ended is left as it is."""
    found = await lock_attempt(session, account_id=attempt.account_id, attempt_id=attempt.id)
    if not found.is_open:
        return
    known = replace(
        found,
        next_at=next_at or found.next_at,
        payment_intent_id=payment_intent_id or found.payment_intent_id,
        decline_code=decline_code or found.decline_code,
    )
    if state is found.state:
        await _save(session, known)
    else:
        await move(session, known, state, at=at)


async def move(session: AsyncSession, attempt: Attempt, to: AttemptState, *, at: datetime) -> Attempt:
    """Change an attempt's state, and write everything that is new of it. The caller holds the wallet's lock.

    Raises:
        IllegalMoveError: the move is not in the table.
    """
    if to not in ATTEMPT_MOVES[attempt.state]:
        raise IllegalMoveError(f"{attempt.state} → {to}")
    moved = replace(attempt, state=to)
    if to not in OPEN:
        moved = replace(moved, resolved_at=at, next_at=None)
    await _save(session, moved)
    return moved


async def get_incoming(session: AsyncSession, *, account_id: AccountId) -> int:
    """Return what is on its way into a wallet, in micro-dollars; not spendable yet."""
    return await driver(session).fetchval(queries.SUM_INCOMING, account_id) or 0


async def _save(session: AsyncSession, attempt: Attempt) -> None:
    await driver(session).execute(
        queries.SAVE_ATTEMPT,
        attempt.account_id,
        attempt.id,
        attempt.state,
        attempt.decline_code,
        attempt.advice_code,
        attempt.payment_intent_id,
        attempt.payment_id,
        attempt.checkout_id,
        None if attempt.params is None else json.dumps(dict(attempt.params)),
        attempt.submitted_at,
        attempt.resolved_at,
        attempt.tries,
        attempt.next_at,
    )


def _attempt(row: asyncpg.Record) -> Attempt:
    read = dict(row)
    read["account_id"], read["id"] = AccountId(row["account_id"]), TopupId(row["id"])
    read["state"] = AttemptState(row["state"])
    read["params"] = None if row["params"] is None else json.loads(row["params"])
    return Attempt(**read)
