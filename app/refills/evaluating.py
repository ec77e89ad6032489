"""Whether a wallet asks its card for more: in the transaction of each decrease, under the wallet's lock."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy.ext.asyncio import AsyncSession

from app import ledger
from app.kit.db import driver
from app.kit.ids import AccountId, TopupId
from app.kit.leases import bucket_of
from app.kit.money import dollars
from app.refills import queries
from app.refills.keeping import change, find_rule
from app.refills.states import COOL_DOWN, capped, day_of, lapsed, month_of, rested
from app.refills.telling import tell
from app.refills.terms import Reason, Rule, State, charge_for

CHARGES_PER_DAY = 10


class Trigger(StrEnum):
    """What made us look."""

    DECREASE = "decrease"
    CONFIG = "config"
    INSUFFICIENT_BALANCE = "insufficient_balance"
    SWEEP = "sweep"


@dataclass(frozen=True, slots=True)
class Below:
    """A wallet below its threshold whose rule may ask now."""

    account_id: AccountId
    only_while_running: bool


@dataclass(frozen=True, slots=True)
class Charged:
    """What was charged and is in flight. Amounts in micro-dollars."""

    incoming: int
    """On its way into the wallet, payments by hand included."""
    in_flight: bool
    """Whether an attempt is open."""
    month_total: int
    """Charged and in flight in this month of UTC."""
    day_count: int
    """Charges asked for on this day of UTC."""
    succeeded_at: datetime | None
    """When the last charge succeeded."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Everything a rule is held against. Amounts in micro-dollars."""

    available: int
    owed: int
    frozen: bool
    live: bool
    """Something runs, or is being started."""
    charged: Charged
    need: int = 0
    """What something that is being started costs."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was decided: an attempt, or why there is none."""

    rule: Rule
    amount: int = 0
    because: str | None = None
    """Why nothing is charged; None when ``amount`` is."""
    attempt_id: TopupId | None = None


async def find_below(session: AsyncSession, account_ids: Sequence[AccountId], *, at: datetime) -> list[Below]:
    """Return those of the wallets that stand below their rule's threshold while the rule may ask: hardly ever any."""
    rows = await driver(session).fetch(queries.FIND_BELOW, list(account_ids), at)
    return [Below(AccountId(row["account_id"]), row["only_while_running"]) for row in rows]


async def ask(
    session: AsyncSession,
    account_ids: Sequence[AccountId],
    *,
    live: Collection[AccountId],
    at: datetime,
    trigger: Trigger = Trigger.DECREASE,
    need: int = 0,
) -> list[Verdict]:
    """Judge the rules of some wallets, and write an attempt for each that fires. Locks the wallets.

    ``live`` names the accounts in which something runs or is being started. One attempt is open in a wallet at most,
    and what is charged and in flight in a month stays within the cap: both are counted under the lock.
    """
    wallets = await ledger.lock_wallets(session, account_ids)
    verdicts = []
    for account_id in wallets:
        rule = await find_rule(session, account_id=account_id)
        if rule is None:
            continue
        standing = await get_standing(session, account_id, live=account_id in live, need=need, at=at)
        verdicts.append(await _act(session, rule, standing, trigger=trigger, at=at))
    return verdicts


async def get_charged(session: AsyncSession, *, account_id: AccountId, at: datetime) -> Charged:
    """Return what an account's attempts have charged and have in flight. Exact under the wallet's lock."""
    row = await driver(session).fetchrow(queries.READ_CHARGED, account_id, month_of(at), day_of(at))
    return Charged(**dict(row or {}))


async def get_standing(
    session: AsyncSession, account_id: AccountId, *, live: bool, at: datetime, need: int = 0
) -> Standing:
    """Return everything a rule is held against. Locks the wallet."""
    wallet = await ledger.lock_wallet(session, account_id)
    return Standing(
        available=wallet.available,
        owed=wallet.owed,
        frozen=wallet.frozen or wallet.restricted,
        live=live,
        charged=await get_charged(session, account_id=account_id, at=at),
        need=need,
    )


def judge(rule: Rule, standing: Standing, at: datetime) -> Verdict:
    """Decide: the rule fires iff it is active, the wallet is below its threshold, and nothing speaks against it."""
    rule = lapsed(rule, at)
    have = standing.available + standing.charged.incoming
    if rule.state is not State.ACTIVE or rule.card is None:
        return Verdict(rule, because=rule.state)
    refusals = {
        "in_flight": standing.charged.in_flight,
        "owed": standing.owed > 0,
        "frozen": standing.frozen,
        "above_threshold": have >= rule.terms.threshold,
        "nothing_running": rule.terms.only_while_running and not standing.live,
    }
    for because, refused in refusals.items():
        if refused:
            return Verdict(rule, because=because)
    if standing.charged.succeeded_at is not None and at < standing.charged.succeeded_at + COOL_DOWN:
        return _waiting(rested(rule, Reason.SUCCESS, until=standing.charged.succeeded_at + COOL_DOWN))
    if standing.charged.day_count >= CHARGES_PER_DAY:
        return _waiting(rested(rule, Reason.DAILY_LIMIT, until=day_of(at) + timedelta(days=1)))
    room = rule.terms.monthly_cap - standing.charged.month_total
    amounts = [charge_for(rule.terms, have=have, need=need) for need in (standing.need, 0)]
    fitting = [amount for amount in amounts if amount <= room]
    if not fitting:
        return _waiting(capped(rule, at))
    return Verdict(rule, amount=fitting[0])


def _waiting(rule: Rule) -> Verdict:
    return Verdict(rule, because=rule.state)


async def _act(session: AsyncSession, rule: Rule, standing: Standing, *, trigger: Trigger, at: datetime) -> Verdict:
    verdict = judge(rule, standing, at)
    verdict = replace(verdict, rule=await change(session, rule, verdict.rule, at=at))
    card = verdict.rule.card
    if not verdict.amount or card is None:
        return verdict
    account_id, attempt_id = rule.account_id, TopupId.new()
    await driver(session).execute(
        queries.INSERT_ATTEMPT,
        account_id,
        attempt_id,
        bucket_of(account_id),
        verdict.amount,
        rule.terms.monthly_cap,
        standing.charged.month_total + verdict.amount,
        card.payment_method_id,
        card.fingerprint,
        trigger,
        at,
    )
    told = {
        "attempt_id": attempt_id,
        "amount": dollars(verdict.amount),
        "available": dollars(standing.available),
        "threshold": dollars(rule.terms.threshold),
        "trigger": trigger,
    }
    await tell(session, account_id, "auto_topup.created", told, at=at)
    return replace(verdict, attempt_id=attempt_id)
