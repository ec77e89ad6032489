"""How an attempt ends, and what that means for its rule: in one transaction, told by an event and by mail.

Every function locks the wallet first and may be called again: an end that is known already changes nothing. Money is
posted by whoever calls ``succeed``, in the same transaction and before it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from app import ledger
from app.kit.clock import rfc3339
from app.kit.ids import AccountId
from app.kit.money import dollars
from app.refills import states
from app.refills.attempts import Attempt, find_open, lock_attempt, move
from app.refills.keeping import change, find_rule
from app.refills.mailing import write_mail
from app.refills.states import AttemptState
from app.refills.telling import tell
from app.refills.terms import Reason, Rule, State


async def succeed(
    session: AsyncSession,
    *,
    account_id: AccountId,
    attempt_id: str,
    payment_id: str,
    payment_intent_id: str,
    at: datetime,
    last4: str | None = None,
    receipt_url: str | None = None,
) -> bool:
    """The charge of an attempt has come in: cool down, and tell. Returns whether that was news."""
    attempt = await lock_attempt(session, account_id=account_id, attempt_id=attempt_id)
    if attempt.state is AttemptState.SUCCEEDED:
        return False
    paid = replace(attempt, payment_id=payment_id, payment_intent_id=payment_intent_id)
    if paid.state is AttemptState.CREATED:  # its try was committed nowhere that we can see: the money is there
        paid = replace(paid, state=AttemptState.SUBMITTED)
    await move(session, paid, AttemptState.SUCCEEDED, at=at)
    wallet = await ledger.lock_wallet(session, account_id)
    told = _of(attempt) | {"payment_id": payment_id, "last4": last4, "available": dollars(wallet.available)}
    await tell(session, account_id, "auto_topup.succeeded", told, at=at)
    await _change(
        session,
        account_id,
        lambda rule: states.after_success(states.lapsed(rule, at), at, fingerprint=attempt.card_fingerprint),
        at=at,
    )
    mailed = told | {"receipt_url": receipt_url}
    await write_mail(session, "auto_topup_succeeded", mailed, account_id=account_id, cause=attempt.id, at=at)
    return True


async def decline(
    session: AsyncSession,
    attempt: Attempt,
    *,
    decline_code: str | None,
    advice_code: str | None,
    payment_intent_id: str | None,
    at: datetime,
    last4: str | None = None,
) -> bool:
    """The card was declined: back off, or leave it alone. Returns whether that was news."""
    attempt = await lock_attempt(session, account_id=attempt.account_id, attempt_id=attempt.id)
    if not attempt.is_open:
        return False
    account_id = attempt.account_id
    why: dict[str, Any] = {"decline_code": decline_code, "advice_code": advice_code}
    attempt = replace(attempt, **why, payment_intent_id=payment_intent_id or attempt.payment_intent_id)
    await move(session, attempt, AttemptState.DECLINED, at=at)
    told = _of(attempt) | why | {"last4": last4}
    await tell(session, account_id, "auto_topup.declined", told, at=at)
    rule = await _change(
        session,
        account_id,
        lambda rule: states.after_decline(states.lapsed(rule, at), at, **why, fingerprint=attempt.card_fingerprint),
        at=at,
    )
    again = rule is not None and rule.state is State.BACKING_OFF and rule.until
    wallet = await ledger.lock_wallet(session, account_id)
    mailed = told | {"reason": decline_code or "declined", "available": dollars(wallet.available)}
    mailed["next_try_at"] = rfc3339(again) if again else None
    await write_mail(session, "auto_topup_declined", mailed, account_id=account_id, cause=attempt.id, at=at)
    return True


async def need_action(
    session: AsyncSession,
    attempt: Attempt,
    *,
    checkout_id: str | None,
    url: str | None,
    at: datetime,
    last4: str | None = None,
    expires_at: datetime | None = None,
) -> bool:
    """The bank wants the card's owner: suspend, and tell where to confirm. Returns whether that was news."""
    attempt = await lock_attempt(session, account_id=attempt.account_id, attempt_id=attempt.id)
    if not attempt.is_open:
        return False
    attempt = replace(attempt, checkout_id=checkout_id)
    account_id = attempt.account_id
    await move(session, attempt, AttemptState.ACTION_REQUIRED, at=at)
    told = _of(attempt) | {"checkout_id": checkout_id, "last4": last4}
    await tell(session, account_id, "auto_topup.action_required", told, at=at)

    def suspend(rule: Rule) -> Rule:
        is_its_card = rule.card is not None and rule.card.fingerprint == attempt.card_fingerprint
        return states.suspended(rule, Reason.ACTION_REQUIRED) if is_its_card else rule

    await _change(session, account_id, suspend, at=at)
    if url is not None:
        mailed = told | {"url": url, "expires_at": expires_at and rfc3339(expires_at)}
        await write_mail(session, "auto_topup_action_required", mailed, account_id=account_id, cause=attempt.id, at=at)
    return True


async def give_up(session: AsyncSession, attempt: Attempt, *, reason: str, at: datetime) -> bool:
    """Nothing was charged and nothing will be: end the attempt, and wait a little. Returns whether that was news."""
    attempt = await lock_attempt(session, account_id=attempt.account_id, attempt_id=attempt.id)
    if not attempt.is_open:
        return False
    await withdraw(session, attempt, reason=reason, at=at)
    await _change(session, attempt.account_id, lambda rule: states.after_no_outcome(rule, at), at=at)
    return True


async def withdraw(session: AsyncSession, attempt: Attempt, *, reason: str, at: datetime) -> None:
    """End an attempt of which nothing is at Stripe. The caller holds the wallet's lock."""
    await move(session, attempt, AttemptState.CANCELED, at=at)
    await tell(session, attempt.account_id, "auto_topup.canceled", _of(attempt) | {"reason": reason}, at=at)


async def cancel_unsent(session: AsyncSession, *, account_id: AccountId, reason: str, at: datetime) -> None:
    """End an attempt that was not sent yet. One that was goes on to its outcome. The caller holds the wallet's lock."""
    attempt = await find_open(session, account_id=account_id)
    if attempt is not None and attempt.state is AttemptState.CREATED:
        await withdraw(session, attempt, reason=reason, at=at)


async def is_needed(session: AsyncSession, attempt: Attempt) -> bool:
    """Say whether a wallet is still below the threshold for which an attempt was written. Locks the wallet."""
    wallet = await ledger.lock_wallet(session, attempt.account_id)
    rule = await find_rule(session, account_id=attempt.account_id)
    return rule is not None and wallet.available < rule.terms.threshold and not wallet.owed


async def suspend(session: AsyncSession, *, account_id: AccountId, reason: Reason, at: datetime) -> None:
    """Charge nothing until a person acts: a dispute, an inquiry, a warning of fraud. Harmless to repeat."""
    await ledger.lock_wallet(session, account_id)
    await _change(session, account_id, lambda rule: states.suspended(rule, reason), at=at)


async def note_detached_card(
    session: AsyncSession, *, account_id: AccountId, payment_method_id: str, at: datetime
) -> None:
    """A saved card is gone: a rule that charged it has none."""
    await ledger.lock_wallet(session, account_id)
    await _change(session, account_id, lambda rule: states.card_gone(rule, payment_method_id), at=at)


async def note_payment_by_hand(
    session: AsyncSession, *, account_id: AccountId, fingerprint: str | None, at: datetime
) -> None:
    """A payment on a page succeeded: a rule that its card had suspended goes on."""
    await ledger.lock_wallet(session, account_id)
    await _change(session, account_id, lambda rule: states.paid_by_hand(rule, fingerprint=fingerprint), at=at)


async def _change(
    session: AsyncSession, account_id: AccountId, to: Callable[[Rule], Rule], *, at: datetime
) -> Rule | None:
    before = await find_rule(session, account_id=account_id)
    if before is None:
        return None
    after = to(before)
    await change(session, before, after, at=at)
    if after.state in (State.OFF, State.SUSPENDED):
        await cancel_unsent(session, account_id=account_id, reason=after.reason or after.state, at=at)
    return after


def _of(attempt: Attempt) -> dict[str, Any]:
    return {"attempt_id": attempt.id, "amount": dollars(attempt.amount)}
