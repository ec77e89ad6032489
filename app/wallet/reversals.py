"""Refunds and disputes: money held, taken and given back for payments that are reversed.

Each function works inside the caller's transaction, locks the wallet first, then the reversal's hold, posts once per
cause, and returns what moved in micro-dollars: 0 for a repeat. A refund: held, then finished or released. A dispute:
held (which restricts the wallet), perhaps debited, perhaps reversed, in the end released, whoever won.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from app import ledger, lots
from app.kit.ids import AccountId, DisputeId, PaymentId, RefundId
from app.ledger import Kind, Movement
from app.wallet import owing, reversal_holds
from app.wallet.errors import InsufficientBalance
from app.wallet.noticing import notice
from app.wallet.receiving import receive
from app.wallet.renewing import renew_drained
from app.wallet.reversal_holds import ReversalHold


async def hold_refund(
    session: AsyncSession,
    *,
    account_id: AccountId,
    refund_id: RefundId,
    payment_id: PaymentId,
    amount: int,
    at: datetime,
    actor: str,
) -> int:
    """Hold money for a refund of a payment: of what is left of that payment, and available.

    Raises:
        InsufficientBalance: less is left of the payment, or available; nothing was changed.
        KeyReusedError: the refund was held for with another amount.
    """
    free = await owing.takeable(session, account_id=account_id)
    known = await reversal_holds.find(session, account_id=account_id, reference=refund_id)
    if known is not None:
        if known.asked != amount:
            raise ledger.KeyReusedError(refund_id)
        return 0
    eligible = min(free, await lots.unspent(session, account_id=account_id, reference=payment_id))
    if amount > eligible:
        raise InsufficientBalance.of_refund(required=amount, available=eligible)
    hold = ReversalHold(account_id, refund_id, "refund", payment_id, asked=amount, held=amount)
    await reversal_holds.open_hold(session, hold, at=at)
    await ledger.post(session, _movement(hold, Kind.REFUND_HOLD, amount, "hold", at=at, actor=actor))
    await notice(session, [account_id], at=at)
    return amount


async def finish_refund(
    session: AsyncSession, *, account_id: AccountId, refund_id: RefundId, at: datetime, actor: str = "system"
) -> int:
    """Let the money that is held for a refund leave: it is on its way to the card."""
    await ledger.lock_wallet(session, account_id)
    hold = await reversal_holds.find_open(session, account_id=account_id, reference=refund_id)
    if hold is None:
        return 0
    await ledger.post(session, _movement(hold, Kind.REFUND, hold.held, "finish", at=at, actor=actor))
    await reversal_holds.save(session, replace(hold, held=0, debited=hold.held, open=False), at=at)
    await notice(session, [account_id], at=at)
    return hold.held


async def release_refund(
    session: AsyncSession, *, account_id: AccountId, refund_id: RefundId, at: datetime, actor: str = "system"
) -> int:
    """Give back what is held for a refund that will not happen: debt first."""
    await ledger.lock_wallet(session, account_id)
    hold = await reversal_holds.find_open(session, account_id=account_id, reference=refund_id)
    if hold is None:
        return 0
    await reversal_holds.save(session, replace(hold, held=0, open=False), at=at)
    await receive(session, _movement(hold, Kind.REFUND_RELEASE, hold.held, "release", at=at, actor=actor))
    return hold.held


async def hold_dispute(
    session: AsyncSession,
    *,
    account_id: AccountId,
    dispute_id: DisputeId,
    payment_id: PaymentId,
    amount: int,
    at: datetime,
    actor: str = "system",
) -> int:
    """Hold money for a disputed payment, as far as it is available and no promotion, and restrict the wallet.

    Until the dispute is released nothing new is reserved and no hold is renewed; what runs keeps the hour it has.
    """
    free = await owing.takeable(session, account_id=account_id)
    if await reversal_holds.find(session, account_id=account_id, reference=dispute_id) is not None:
        return 0
    held = min(free, amount)
    hold = ReversalHold(account_id, dispute_id, "dispute", payment_id, asked=amount, held=held)
    await reversal_holds.open_hold(session, hold, at=at)
    await ledger.restrict(session, account_id=account_id, at=at)
    if held:
        await ledger.post(session, _movement(hold, Kind.DISPUTE_HOLD, held, "hold", at=at, actor=actor))
    await notice(session, [account_id], at=at)
    return held


async def debit_dispute(
    session: AsyncSession,
    *,
    account_id: AccountId,
    dispute_id: DisputeId,
    amount: int,
    at: datetime,
    actor: str = "system",
    before: int = 0,
) -> int:
    """Let disputed money leave: what is held for it first, then what is available and no promotion; the rest is owed.

    ``before`` is what was debited for this dispute earlier, and tells one debit from the next.

    Raises:
        LookupError: the dispute was never held for.
    """
    await ledger.lock_wallet(session, account_id)
    hold = await _dispute(session, account_id, dispute_id)
    if hold.debited != before:
        return _replayed(hold.debited, before + amount)
    of_held = min(hold.held, amount)
    if of_held:
        debit = _movement(hold, Kind.DISPUTE_DEBIT, of_held, f"debit:{before}", at=at, actor=actor)
        await ledger.post(session, debit)
    await reversal_holds.save(session, replace(hold, held=hold.held - of_held, debited=before + amount), at=at)
    if amount > of_held:
        rest = _movement(hold, Kind.CLAWBACK, amount - of_held, f"take:{before}", at=at, actor=actor)
        await owing.take_back(session, rest)
    await notice(session, [account_id], at=at)
    return amount


async def reverse_dispute(
    session: AsyncSession,
    *,
    account_id: AccountId,
    dispute_id: DisputeId,
    amount: int,
    at: datetime,
    actor: str = "system",
    before: int = 0,
) -> int:
    """Take in disputed money that was debited and came back: debt first.

    ``before`` is what was reversed for this dispute earlier, and tells one reversal from the next.

    Raises:
        LookupError: the dispute was never held for.
        ValueError: more would come back than was debited.
    """
    await ledger.lock_wallet(session, account_id)
    hold = await _dispute(session, account_id, dispute_id)
    if hold.returned != before:
        return _replayed(hold.returned, before + amount)
    if before + amount > hold.debited:
        raise ValueError("more would come back than was debited")
    await reversal_holds.save(session, replace(hold, returned=before + amount), at=at)
    await receive(session, _movement(hold, Kind.DISPUTE_REVERSAL, amount, f"reverse:{before}", at=at, actor=actor))
    return amount


async def release_dispute(
    session: AsyncSession, *, account_id: AccountId, dispute_id: DisputeId, at: datetime, actor: str = "system"
) -> int:
    """End a dispute, won or lost: what is still held comes back, debt first; with the last one the restriction goes."""
    await ledger.lock_wallet(session, account_id)
    hold = await reversal_holds.find_open(session, account_id=account_id, reference=dispute_id)
    if hold is None:
        return 0
    await reversal_holds.save(session, replace(hold, held=0, open=False), at=at)
    if not await reversal_holds.is_disputed(session, account_id=account_id):
        await ledger.unrestrict(session, account_id=account_id)
    if hold.held:
        release = _movement(hold, Kind.DISPUTE_RELEASE, hold.held, "release", at=at, actor=actor)
        await ledger.post_inflow(session, release)
    await owing.restore(session, account_id=account_id, at=at)
    await renew_drained(session, account_id=account_id, at=at)
    await notice(session, [account_id], at=at)
    return hold.held


async def give_back(
    session: AsyncSession,
    *,
    account_id: AccountId,
    amount: int,
    reference: str,
    reason: str,
    at: datetime,
    actor: str = "system",
) -> bool:
    """Take in a refund's money that came back, since it failed after it had left: debt first. Once per reference.

    The movement is a ``refund_reversal``: no deposit, since nobody paid. Returns whether anything moved.
    """
    back = Movement(
        account_id=account_id,
        kind=Kind.REFUND_REVERSAL,
        amount=amount,
        idempotency_key=f"refund_reversal:{reference}",
        at=at,
        actor=actor,
        description=reason,
        reference=reference,
    )
    return await receive(session, back)


async def _dispute(session: AsyncSession, account_id: AccountId, dispute_id: DisputeId) -> ReversalHold:
    hold = await reversal_holds.find(session, account_id=account_id, reference=dispute_id)
    if hold is None:
        raise LookupError(f"{dispute_id} was never held for")
    return hold


def _replayed(posted: int, wanted: int) -> int:
    """Return 0 for what was posted before.

    Raises:
        ValueError: something between was never posted.
    """
    if posted < wanted:
        raise ValueError("what was posted before is not what the caller says")
    return 0


def _movement(hold: ReversalHold, kind: Kind, amount: int, step: str, *, at: datetime, actor: str) -> Movement:
    return Movement(
        account_id=hold.account_id,
        kind=kind,
        amount=amount,
        idempotency_key=f"{hold.kind}:{hold.reference}:{step}",
        at=at,
        actor=actor,
        reference=hold.reference,
    )
