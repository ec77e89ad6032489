"""Stripe's own client makes every call; and every object has what merchants look at in it."""

import json

import pytest

from app.sandbox import Fault
from app.sandbox.faults import OPERATIONS

LOOKED_AT = {
    "customer": "email name description metadata invoice_settings address phone",
    "checkout.session": (
        "amount_subtotal amount_total cancel_url client_reference_id currency customer customer_details metadata "
        "payment_intent setup_intent status success_url total_details url ui_mode"
    ),
    "setup_intent": "customer last_setup_error metadata next_action payment_method client_secret",
    "payment_method": "allow_redisplay card customer metadata type billing_details",
    "payment_intent": (
        "canceled_at cancellation_reason customer description last_payment_error latest_charge next_action "
        "payment_method receipt_email setup_future_usage"
    ),
    "charge": (
        "balance_transaction customer failure_code failure_message outcome payment_intent payment_method "
        "payment_method_details receipt_email receipt_url"
    ),
    "refund": "balance_transaction charge metadata payment_intent reason status",
    "dispute": "payment_intent payment_method_details network_reason_code",
    "balance_transaction": "description exchange_rate source",
    "event": "api_version request",
    "billing_portal.session": "flow return_url",
    "radar.early_fraud_warning": "payment_intent",
}
"""Fields that the library calls optional, though Stripe always sends them."""


async def test_every_call_is_made_by_stripe_s_own_client(sandbox, client, merchant, customer, order, charge_of):
    v1 = client
    session = await v1.checkout.sessions.create_async(order)
    await v1.checkout.sessions.line_items.list_async(session.id)
    other = await v1.checkout.sessions.create_async(
        {"mode": "setup", "customer": customer.id, "currency": "usd", "success_url": order["success_url"]}
    )
    await v1.setup_intents.retrieve_async(other.setup_intent)
    await v1.setup_intents.list_async({"customer": customer.id})
    await v1.checkout.sessions.expire_async(other.id)
    await v1.checkout.sessions.list_async({"customer": customer.id})
    await merchant.pay(session.id, "4000000000005423")
    paid = await v1.checkout.sessions.retrieve_async(session.id, {"expand": ["payment_intent", "customer"]})
    card = await v1.payment_methods.attach_async("pm_card_visa", {"customer": customer.id})
    await v1.payment_methods.update_async(card.id, {"metadata": {"a": "b"}})
    await v1.payment_methods.retrieve_async(card.id)
    await v1.payment_methods.list_async({"customer": customer.id})
    waiting = await v1.payment_intents.create_async(
        {"amount": 500, "currency": "usd", "customer": customer.id, "description": "later"}
    )
    await v1.payment_intents.update_async(waiting.id, {"amount": 600, "receipt_email": "payer@example.com"})
    done = await v1.payment_intents.confirm_async(waiting.id, {"payment_method": card.id, "off_session": True})
    assert done.amount_received == 600
    second = await v1.payment_intents.create_async(charge_of({"id": card.id}))
    idle = await v1.payment_intents.create_async({"amount": 500, "currency": "usd"})
    await v1.payment_intents.cancel_async(idle.id, {"cancellation_reason": "abandoned"})
    await v1.payment_intents.retrieve_async(second.id)
    await v1.payment_intents.list_async({"customer": customer.id})
    await v1.payment_intents.search_async({"query": f"customer:'{customer.id}'"})
    await v1.charges.retrieve_async(second.latest_charge)
    await v1.charges.list_async({"payment_intent": second.id})
    refund = await v1.refunds.create_async({"payment_intent": second.id, "amount": 100})
    await v1.refunds.update_async(refund.id, {"metadata": {"a": "b"}})
    await v1.refunds.retrieve_async(refund.id)
    await v1.refunds.list_async({"payment_intent": second.id})
    merchant.dispute(second.id)
    [dispute] = (await v1.disputes.list_async({"charge": second.latest_charge})).data
    await v1.disputes.retrieve_async(dispute.id)
    [warning] = (await v1.radar.early_fraud_warnings.list_async()).data
    assert (await v1.radar.early_fraud_warnings.retrieve_async(warning.id)).payment_intent == paid.payment_intent.id
    [moved, *_] = (await v1.balance_transactions.list_async({"source": refund.id})).data
    await v1.balance_transactions.retrieve_async(moved.id)
    [event, *_] = (await v1.events.list_async()).data
    await v1.events.retrieve_async(event.id)
    await v1.billing_portal.sessions.create_async({"customer": customer.id})
    await v1.payment_methods.detach_async(card.id)
    await v1.customers.update_async(customer.id, {"description": "known"})
    await v1.customers.retrieve_async(customer.id)
    await v1.customers.list_async({"email": customer.email})
    await v1.customers.delete_async(customer.id)
    made = {call.operation for call in sandbox.calls if call.provider == "stripe" and call.status == 200}
    assert made == {name for name in OPERATIONS if name.startswith("stripe.")}
    for kind, names in LOOKED_AT.items():
        for obj in merchant.books.store.all(kind):
            assert set(names.split()) <= set(obj), kind


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (Fault("unauthorized", "stripe.list_customers"), 401),
        (Fault("rate_limited", "stripe.list_customers", after_effect=True), 429),
        (Fault("server_error", "*", provider="stripe"), 500),
        (Fault("server_error", "stripe.list_customers", status=502), 502),
    ],
)
async def test_stripe_answers_badly_when_told_to(sandbox, browser, fault, status):
    sandbox.faults.add(fault)
    key = {"Authorization": f"Bearer {sandbox.config.stripe_key}"}
    bad = await browser.get("/v1/customers", headers=key)
    assert (bad.status_code, bad.headers["request-id"][:4]) == (status, "req_")
    assert (status == 502) is bad.text.startswith("<html>")
    assert (await browser.get("/v1/customers", headers=key)).status_code == 200


@pytest.mark.parametrize("mode", ["truncated", "html", "empty", "types"])
async def test_stripe_s_answer_is_garbage_when_told_to(sandbox, browser, client, mode):
    sandbox.faults.add(Fault("malformed", "stripe.create_customer", mode=mode))
    key = {"Authorization": f"Bearer {sandbox.config.stripe_key}"}
    answer = await browser.post("/v1/customers", data={"email": "a@example.com"}, headers=key)
    assert answer.status_code == 200
    with pytest.raises((json.JSONDecodeError, AssertionError)):
        assert answer.json()["email"] == "a@example.com"
    assert len((await client.customers.list_async()).data) == 1


async def test_a_full_refund_ends_an_inquiry(client, merchant, paid):
    inquiry = merchant.dispute(paid, inquiry=True)
    await client.refunds.create_async({"payment_intent": paid})
    assert (await client.disputes.retrieve_async(inquiry["id"])).status == "warning_closed"
