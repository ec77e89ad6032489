"""Each effect becomes movements of the wallet and marks on its rows, in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from app import wallet
from app.kit.ids import AccountId, DisputeId, PaymentId, RefundId
from app.ledger import Kind, Movement
from app.topups.gateway.facts import PaymentFacts
from app.topups.models import DisputeRow, RefundRow
from app.topups.payments.converging import (
    ClawBack,
    Credit,
    DebitDispute,
    Effect,
    FinishRefund,
    GiveBack,
    HoldDispute,
    ReleaseDispute,
    ReverseDispute,
)
from app.topups.payments.rows import CLOSED, OPEN, Books, add_refund

ACTOR = "stripe"
"""Who moves money when Stripe is the cause."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What an effect is worked on with."""

    session: AsyncSession
    books: Books
    facts: PaymentFacts
    at: datetime

    @property
    def account_id(self) -> AccountId:
        """Return whose payment it is."""
        return AccountId(self.books.payment.account_id)

    @property
    def payment_id(self) -> PaymentId:
        """Return our id of the payment."""
        return PaymentId(self.books.payment.id)


async def enact(desk: Desk, effects: Sequence[Effect]) -> None:
    """Post effects in their order. The caller holds the locks of the wallet and of the rows."""
    for effect in effects:
        match effect:
            case Credit():
                await _credit(desk, effect)
            case FinishRefund():
                await _finish_refund(desk, effect)
            case ClawBack():
                await _claw_back(desk, effect)
            case GiveBack():
                await _give_back(desk, effect)
            case _:
                await _dispute(desk, effect)


async def _credit(desk: Desk, effect: Credit) -> None:
    payment = desk.books.payment
    movement = Movement(
        account_id=desk.account_id,
        kind=Kind.AUTO_TOPUP if payment.source == "auto_topup" else Kind.DEPOSIT,
        amount=effect.amount,
        # The money itself is unique, whatever our own rows say.
        idempotency_key=f"payment:{payment.payment_intent_id}",
        at=desk.at,
        actor=ACTOR,
        description="Automatic top-up by card" if payment.source == "auto_topup" else "Payment by card",
        reference=payment.id,
    )
    await wallet.receive(desk.session, movement)
    payment.credited += effect.amount
    payment.succeeded_at = desk.at


async def _finish_refund(desk: Desk, effect: FinishRefund) -> None:
    row = next(row for row in desk.books.refunds if row.id == effect.refund_id)
    await wallet.finish_refund(
        desk.session, account_id=desk.account_id, refund_id=RefundId(row.id), at=desk.at, actor=ACTOR
    )
    row.stripe_refund_id = effect.stripe_refund_id
    desk.books.payment.refunded += effect.amount


async def _claw_back(desk: Desk, effect: ClawBack) -> None:
    row = _refund_row(desk, effect)
    await wallet.claw_back(
        desk.session,
        account_id=desk.account_id,
        amount=effect.amount,
        reference=RefundId(row.id),
        reason="Refunded to the card",
        actor=ACTOR,
        at=desk.at,
        payment_id=desk.payment_id,
        before=effect.before,
    )
    desk.books.payment.refunded += effect.amount


def _refund_row(desk: Desk, effect: ClawBack) -> RefundRow:
    facts = next(refund for refund in desk.facts.refunds if refund.id == effect.stripe_refund_id)
    row = desk.books.refund(facts)
    if row is None:
        row = add_refund(desk.session, desk.books, amount=effect.amount, at=desk.at)
        row.stripe_refund_id = facts.id
    else:
        row.amount += effect.amount
    return row


async def _give_back(desk: Desk, effect: GiveBack) -> None:
    row = next(row for row in desk.books.refunds if row.stripe_refund_id == effect.stripe_refund_id)
    await wallet.give_back(
        desk.session,
        account_id=desk.account_id,
        amount=effect.amount,
        reference=RefundId(row.id),
        reason="The refund to the card failed",
        at=desk.at,
        actor=ACTOR,
    )
    desk.books.payment.refunded -= effect.amount


async def _dispute(desk: Desk, effect: HoldDispute | DebitDispute | ReverseDispute | ReleaseDispute) -> None:
    row = desk.books.dispute(effect.stripe_dispute_id)
    if row is None:
        raise LookupError(f"{effect.stripe_dispute_id} has no row")
    match effect:
        case HoldDispute():
            await _hold_dispute(desk, row, effect.amount)
        case DebitDispute():
            await _debit_dispute(desk, row, effect.amount)
        case ReverseDispute():
            await _reverse_dispute(desk, row, effect.amount)
        case ReleaseDispute():
            await _release_dispute(desk, row)


async def _hold_dispute(desk: Desk, row: DisputeRow, amount: int) -> None:
    await wallet.hold_dispute(
        desk.session,
        account_id=desk.account_id,
        dispute_id=DisputeId(row.id),
        payment_id=desk.payment_id,
        amount=amount,
        at=desk.at,
        actor=ACTOR,
    )
    row.phase, row.closed_at = OPEN, None


async def _debit_dispute(desk: Desk, row: DisputeRow, amount: int) -> None:
    await wallet.debit_dispute(
        desk.session,
        account_id=desk.account_id,
        dispute_id=DisputeId(row.id),
        amount=amount,
        at=desk.at,
        actor=ACTOR,
        before=row.withdrawn,
    )
    row.withdrawn += amount
    desk.books.payment.disputed += amount


async def _reverse_dispute(desk: Desk, row: DisputeRow, amount: int) -> None:
    await wallet.reverse_dispute(
        desk.session,
        account_id=desk.account_id,
        dispute_id=DisputeId(row.id),
        amount=amount,
        at=desk.at,
        actor=ACTOR,
        before=row.reinstated,
    )
    row.reinstated += amount
    desk.books.payment.disputed -= amount


async def _release_dispute(desk: Desk, row: DisputeRow) -> None:
    await wallet.release_dispute(
        desk.session, account_id=desk.account_id, dispute_id=DisputeId(row.id), at=desk.at, actor=ACTOR
    )
    row.phase = CLOSED
