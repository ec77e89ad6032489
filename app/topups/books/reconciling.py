"""A day's comparison of our books with Stripe's, both ways.

From Stripe's side: every payment, refund and dispute of the day. From ours: everything for which the ledger moved card
money on the day. What either names is fetched anew and laid beside the ledger, payment by payment; what differs is given
to ``apply_payment``, the only way in which money is ever moved here, and what differs still is reported.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final, TypeVar

import structlog
from prometheus_client import Counter as Metric

from app.kit.ids import AccountId
from app.kit.money import dollars
from app.topups.books.balancing import Balance, balance_of
from app.topups.books.comparing import Line, PaymentBooks, lines
from app.topups.books.ledger import find_touched, read_books
from app.topups.edge import stripe_of
from app.topups.gateway.account import Stripe
from app.topups.gateway.errors import StripeMissing
from app.topups.gateway.facts import FactsPage, PaymentFacts
from app.topups.payments.applying import Outcome, apply_payment
from app.topups.payments.guarding import account_named
from app.topups.tools import TopupTools

log = structlog.get_logger(__name__)

DIFFERENCES = Metric(
    "hourglass_reconciliation_differences", "Where our books and Stripe's said different things", ["what", "state"]
)

LOOK_BACK: Final = timedelta(days=3)
"""A payment is listed on the day it was begun; its money may come days later."""
_AT_ONCE = 4

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Difference:
    """One object on which the books differed."""

    line: Line
    account_id: str | None
    mended: bool
    """It agrees now; otherwise a person must look."""
    reason: str
    """Why it could not be mended, or what mended it."""


@dataclass(frozen=True, slots=True)
class DayReport:
    """What the comparison of a day found."""

    day: date
    checked: Counter[str]
    """How many objects were compared, by kind."""
    foreign: int
    """How many payments at Stripe are not of this deployment."""
    differences: tuple[Difference, ...]
    dangling: tuple[tuple[AccountId, str], ...]
    """Postings whose payment, refund or dispute we have no record of."""
    balance: Balance

    @property
    def ok(self) -> bool:
        """Say whether the books agree now."""
        return not self.dangling and all(found.mended for found in self.differences) and not self.balance.differences

    def document(self) -> dict[str, Any]:
        """Return it as JSON, amounts in dollars."""
        return {
            "day": self.day.isoformat(),
            "checked": dict(self.checked),
            "foreign": self.foreign,
            "differences": [_told(found) for found in self.differences],
            "dangling": [{"account_id": account_id, "reference": name} for account_id, name in self.dangling],
            "balance": self.balance.document(),
        }


async def reconcile_day(tools: TopupTools, day: date, *, at: datetime) -> DayReport:
    """Compare one UTC day and mend what can be mended. Harmless to repeat.

    Raises:
        StripeUnavailable, StripeBusy, StripeUnauthorized: Stripe did not answer; nothing is concluded from half of it.
    """
    stripe = stripe_of(tools)
    since = datetime.combine(day, time.min, UTC)
    until = since + timedelta(days=1)
    touched = await find_touched(tools.db, since=since, until=until)
    listed = await _listed(stripe, tools.deployment, since=since, until=until)
    gate = asyncio.Semaphore(_AT_ONCE)

    async def check(payment_intent_id: str) -> _Checked:
        async with gate:
            return await _check(tools, payment_intent_id, at=at)

    names = sorted(touched.payment_intent_ids | listed.ours)
    checked = dict(zip(names, await asyncio.gather(*(check(name) for name in names)), strict=True))
    moved = [
        one
        async for one in _every(lambda after: stripe.list_balance_transactions(since=since, until=until, after=after))
    ]
    report = DayReport(
        day,
        Counter(line.what.value for one in checked.values() for line in one.lines),
        len(listed.foreign | {name for name, one in checked.items() if one.is_foreign}),
        tuple(found for one in checked.values() for found in one.differences),
        touched.dangling,
        balance_of(moved, [one.facts for one in checked.values() if one.facts is not None and not one.is_foreign]),
    )
    _tell(report)
    return report


@dataclass(frozen=True, slots=True)
class _Listed:
    ours: frozenset[str]
    foreign: frozenset[str]


async def _listed(stripe: Stripe, deployment: str, *, since: datetime, until: datetime) -> _Listed:
    """Return the payments that Stripe's own lists of a day name, as far as they may be ours."""
    ours: set[str] = set()
    foreign: set[str] = set()
    begun = since - LOOK_BACK
    async for payment in _every(lambda after: stripe.list_payments(since=begun, until=until, after=after)):
        if payment.metadata.get("deployment") == deployment:
            ours.add(payment.payment_intent_id)
        elif payment.created_at >= since:
            foreign.add(payment.payment_intent_id)
    async for refund in _every(lambda after: stripe.list_refunds(since=since, until=until, after=after)):
        ours |= await _payment_of(stripe, refund.payment_intent_id, refund.charge_id)
    async for dispute in _every(lambda after: stripe.list_disputes(since=since, until=until, after=after)):
        ours |= await _payment_of(stripe, dispute.payment_intent_id, dispute.charge_id)
    return _Listed(frozenset(ours), frozenset(foreign))


async def _payment_of(stripe: Stripe, payment_intent_id: str | None, charge_id: str | None) -> set[str]:
    if payment_intent_id is None and charge_id is not None:
        payment_intent_id = await stripe.get_payment_of_charge(charge_id)
    return {payment_intent_id} if payment_intent_id else set()


@dataclass(frozen=True, slots=True)
class _Checked:
    facts: PaymentFacts | None = None
    is_foreign: bool = False
    lines: tuple[Line, ...] = ()
    differences: tuple[Difference, ...] = ()


async def _check(tools: TopupTools, payment_intent_id: str, *, at: datetime) -> _Checked:
    facts, books = await _both(tools, payment_intent_id)
    if books.payment_id is None and (facts is None or account_named(facts, deployment=tools.deployment) is None):
        return _Checked(facts, is_foreign=True)
    before = lines(payment_intent_id, facts, books)
    if all(line.agrees for line in before):
        return _Checked(facts, lines=tuple(before))
    applied = await apply_payment(tools, payment_intent_id, at=at)
    facts, books = await _both(tools, payment_intent_id)
    after = {(line.what, line.stripe_id): line for line in lines(payment_intent_id, facts, books)}
    differences = [
        Difference(
            line,
            books.account_id or applied.account_id,
            (now := after.get((line.what, line.stripe_id))) is None or now.agrees,
            applied.reason or applied.outcome.value,
        )
        for line in before
        if not line.agrees
    ]
    # What agrees now although nothing was posted was on its way when we looked first.
    kept = [found for found in differences if not found.mended or applied.outcome is Outcome.APPLIED]
    return _Checked(facts, lines=tuple(before), differences=tuple(kept))


async def _both(tools: TopupTools, payment_intent_id: str) -> tuple[PaymentFacts | None, PaymentBooks]:
    """Read Stripe's side first: ours can only know as much or more by then, and what it knows more is looked up again."""
    try:
        facts = await stripe_of(tools).get_payment(payment_intent_id)
    except StripeMissing:
        facts = None
    async with tools.db.begin_unscoped() as session:
        return facts, await read_books(session, payment_intent_id)


async def _every(part: Callable[[str | None], Awaitable[FactsPage[Item]]]) -> AsyncIterator[Item]:
    after: str | None = None
    while True:
        page = await part(after)
        for item in page.items:
            yield item
        if (after := page.after) is None:
            return


def _tell(report: DayReport) -> None:
    for found in report.differences:
        DIFFERENCES.labels(found.line.what.value, "mended" if found.mended else "left").inc()
        tell = log.warning if found.mended else log.error
        tell("stripe.books_differ", day=report.day.isoformat(), **_told(found))
    for account_id, reference in report.dangling:
        DIFFERENCES.labels("posting", "left").inc()
        log.error("stripe.posting_without_record", account_id=account_id, reference=reference)
    for one in report.balance.differences:
        DIFFERENCES.labels("balance", "left").inc()
        log.error("stripe.balance_differs", transaction=one.id, source=one.source_id, amount=dollars(one.amount))


def _told(found: Difference) -> dict[str, Any]:
    return {
        "what": found.line.what.value,
        "stripe_id": found.line.stripe_id,
        "our_id": found.line.our_id,
        "account_id": found.account_id,
        "ours": dollars(found.line.ours),
        "theirs": dollars(found.line.theirs),
        "mended": found.mended,
        "reason": found.reason,
    }
