"""An early fraud warning: the card's bank suspects a payment. No money moves; the card is charged no more by itself."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from app import ledger
from app.topups.customers import find_customer
from app.topups.edge import stripe_of
from app.topups.gateway.errors import StripeMissing
from app.topups.payments.applying import Applied, Outcome, suspend_refills
from app.topups.payments.guarding import account_named
from app.topups.payments.rows import find_by_intent
from app.topups.payments.telling import News, tell
from app.topups.tools import TopupTools


async def heed_fraud_warning(tools: TopupTools, payment_intent_id: str, *, at: datetime) -> Applied:
    """Suspend auto-top-up of the account whose payment is suspected. Harmless to repeat.

    Raises:
        CardPaymentsNotSetUp: there is no Stripe here.
        GatewayError: Stripe did not answer; nothing was changed.
    """
    try:
        facts = await stripe_of(tools).get_payment(payment_intent_id)
    except StripeMissing:
        return Applied(Outcome.FOREIGN, payment_intent_id, reason="missing")
    account_id = account_named(facts, deployment=tools.deployment)
    if account_id is None:
        return Applied(Outcome.FOREIGN, payment_intent_id, status=facts.status, reason="not_ours")

    async def work(session: AsyncSession) -> Applied:
        customer_id = await find_customer(session, account_id=account_id)
        if customer_id is None or customer_id != facts.customer_id:
            return Applied(Outcome.REFUSED, payment_intent_id, account_id, reason="wrong_customer")
        await ledger.lock_wallet(session, account_id)
        payment = await find_by_intent(session, payment_intent_id, account_id=account_id)
        await suspend_refills(session, account_id=account_id, at=at)
        told = {"payment_id": payment and payment.id, "last4": payment and payment.last4}
        await tell(session, [News("payment.fraud_warning", told)], account_id=account_id, at=at)
        return Applied(Outcome.APPLIED, payment_intent_id, account_id, status=facts.status)

    return await tools.db.run(work, account_id=account_id)
