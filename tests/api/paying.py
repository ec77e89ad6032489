"""What furnishes a tenant with card money: a deposit with its card, a question about it, a refund, and a rule that charges."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text

from app.topups.payments.applying import apply_payment
from app.topups.visits.syncing import sync_checkout

RULE = {
    "mode": "fixed",
    "threshold": "50.00",
    "amount": "25.00",
    "monthly_cap": "200.00",
    "only_while_running": False,
    "consent": {"text_version": "2026-11", "accepted": True},
}
"""Asks for a charge at once, whatever is there."""
SESSION = text("SELECT session_id FROM checkouts WHERE account_id = :account_id AND id = :id")
PAID = text("SELECT payment_intent_id FROM payments WHERE account_id = :account_id AND id = :id")


async def deposit(world: Any, tenant: Any) -> dict[str, list[str]]:
    """Pay 25 dollars at Stripe's page with a card that is kept; return the ids of what came of it."""
    caller = tenant.caller
    visit = await caller.made("/v1/billing/checkout-sessions", {"amount": "25.00", "save_card": True})
    await world.sandbox.stripe.pay(await _one(world, SESSION, tenant, visit["id"]))
    row = await sync_checkout(world.worker, account_id=tenant.account_id, checkout_id=visit["id"], at=world.clock.now())
    cards = (await caller.ask("GET", "/v1/billing/payment-methods")).json()["data"]
    return {
        "checkout-sessions": [visit["id"]],
        "payments": [row.payment_id],
        "payment-methods": [card["id"] for card in cards],
    }


async def regret(world: Any, tenant: Any, payment_id: str) -> dict[str, list[str]]:
    """Let the card's bank ask about a payment, ask for a part of it back, and let a rule ask for another."""
    caller = tenant.caller
    intent = await _one(world, PAID, tenant, payment_id)
    world.sandbox.stripe.dispute(intent, inquiry=True)
    await apply_payment(world.worker, intent, at=world.clock.now())
    refund = await caller.made("/v1/billing/refunds", {"payment_id": payment_id, "amount": "5.00"})
    rule = await caller.ask("PUT", "/v1/wallet/auto-topup", RULE)
    assert rule.status == 200, rule.text
    disputes = (await caller.ask("GET", "/v1/billing/disputes")).json()["data"]
    return {
        "refunds": [refund["id"]],
        "disputes": [dispute["id"] for dispute in disputes],
        "attempts": [rule.json()["open_attempt_id"]],
    }


async def _one(world: Any, sql: Any, tenant: Any, row_id: str) -> str:
    async with world.databases.api.begin(tenant.account_id) as session:
        return (await session.execute(sql, {"account_id": tenant.account_id, "id": row_id})).one()[0]
