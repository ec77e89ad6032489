import pytest
import stripe

from app.sandbox.answers import Refusal
from app.sandbox.stripe import CardDeclined


async def test_a_paid_session_is_complete_and_its_money_is_there(client, merchant, endpoint, order):
    session = await client.checkout.sessions.create_async(order, {"idempotency_key": "chk_1"})
    assert (session.status, session.payment_status, session.amount_total) == ("open", "unpaid", 2500)
    assert session.payment_intent is None
    assert session.url.endswith(f"/c/pay/{session.id}")
    await merchant.pay(session.id)
    done = await client.checkout.sessions.retrieve_async(
        session.id, {"expand": ["payment_intent.latest_charge.balance_transaction", "line_items"]}
    )
    assert (done.status, done.payment_status, done.url) == ("complete", "paid", None)
    assert done.line_items.data[0].amount_total == 2500
    intent = done.payment_intent
    assert (intent.status, intent.amount_received) == ("succeeded", 2500)
    assert intent.metadata.checkout_id == "chk_1"
    assert intent.latest_charge.receipt_email == "payer@example.com"
    moved = intent.latest_charge.balance_transaction
    assert (moved.amount, moved.fee, moved.net, moved.reporting_category) == (2500, 103, 2397, "charge")
    await merchant.webhooks.drained()
    assert sorted(endpoint.types) == ["checkout.session.completed", "payment_intent.succeeded"]
    assert endpoint.last("checkout.session.completed").data.object.payment_status == "paid"


@pytest.mark.parametrize(
    ("number", "code", "decline_code", "advice_code"),
    [
        ("4000000000000002", "card_declined", "generic_decline", "try_again_later"),
        ("4000000000000341", "card_declined", "generic_decline", "try_again_later"),
        ("4000000000009995", "card_declined", "insufficient_funds", "try_again_later"),
        ("4000000000009987", "card_declined", "lost_card", "do_not_try_again"),
        ("4000000000009979", "card_declined", "stolen_card", "do_not_try_again"),
        ("4000000000000069", "expired_card", "expired_card", "confirm_card_data"),
        ("4000000000000127", "incorrect_cvc", "incorrect_cvc", "confirm_card_data"),
        ("4000000000000119", "processing_error", "processing_error", "try_again_later"),
    ],
)
async def test_a_declined_card_leaves_the_session_open(
    client, merchant, order, number, code, decline_code, advice_code
):
    session = await client.checkout.sessions.create_async(order)
    with pytest.raises(CardDeclined):
        await merchant.pay(session.id, number)
    now = await client.checkout.sessions.retrieve_async(session.id, {"expand": ["payment_intent.latest_charge"]})
    assert (now.status, now.payment_status) == ("open", "unpaid")
    error = now.payment_intent.last_payment_error
    assert (error.code, error.decline_code, error.advice_code) == (code, decline_code, advice_code)
    assert now.payment_intent.latest_charge.outcome.advice_code == advice_code
    await merchant.pay(session.id)
    paid = await client.checkout.sessions.retrieve_async(session.id, {"expand": ["payment_intent"]})
    assert paid.payment_intent.id == now.payment_intent.id
    assert paid.payment_intent.last_payment_error is None
    assert [payment.charges for payment in merchant.truth().payments] == [2]


async def test_a_card_is_kept_only_where_it_was_asked_for(client, merchant, customer, order):
    del order["payment_intent_data"]["setup_future_usage"]
    session = await client.checkout.sessions.create_async(order)
    await merchant.pay(session.id, save=True)
    assert (await client.payment_methods.list_async({"customer": customer.id})).data == []
    order["saved_payment_method_options"] = {"payment_method_save": "enabled"}
    for ticked, kept in ((False, 0), (True, 1)):
        session = await client.checkout.sessions.create_async(order)
        await merchant.pay(session.id, save=ticked)
        assert len((await client.customers.payment_methods.list_async(customer.id)).data) == kept


async def test_a_setup_session_keeps_a_card(client, merchant, endpoint, customer, order):
    wanted = {"mode": "setup", "customer": customer.id, "currency": "usd", "success_url": order["success_url"]}
    session = await client.checkout.sessions.create_async(wanted | {"setup_intent_data": {"metadata": {"a": "b"}}})
    assert session.payment_status == "no_payment_required"
    await merchant.pay(session.id, exp_month=4, exp_year=2040)
    intent = await client.setup_intents.retrieve_async(session.setup_intent, {"expand": ["payment_method"]})
    assert (intent.status, intent.usage, intent.metadata.a) == ("succeeded", "off_session", "b")
    card = intent.payment_method.card
    assert (card.last4, card.exp_month, card.exp_year, intent.payment_method.customer) == (
        "4242", 4, 2040, customer.id,
    )  # fmt: skip
    await merchant.webhooks.drained()
    assert endpoint.types == ["setup_intent.succeeded", "checkout.session.completed"]


@pytest.mark.parametrize("number", ["4000000000000002", "4000000000009995"])
async def test_a_card_that_is_declined_is_not_kept(client, merchant, endpoint, customer, number):
    wanted = {"mode": "setup", "customer": customer.id, "currency": "usd", "success_url": "https://m.example/"}
    session = await client.checkout.sessions.create_async(wanted)
    with pytest.raises(CardDeclined):
        await merchant.pay(session.id, number)
    intent = await client.setup_intents.retrieve_async(session.setup_intent)
    assert intent.status == "requires_payment_method"
    assert intent.last_setup_error.code == "card_declined"
    await merchant.webhooks.drained()
    assert endpoint.types == ["setup_intent.setup_failed"]


@pytest.mark.parametrize("number", ["4000002760003184", "4000002500003155"])
async def test_the_holder_is_asked_and_may_refuse(client, merchant, order, number):
    session = await client.checkout.sessions.create_async(order)
    with pytest.raises(CardDeclined, match="payment_intent_authentication_failure"):
        await merchant.pay(session.id, number, challenge=False)
    await merchant.pay(session.id, number, challenge=True)
    done = await client.checkout.sessions.retrieve_async(session.id, {"expand": ["payment_intent.latest_charge"]})
    assert done.payment_status == "paid"
    assert done.payment_intent.latest_charge.payment_method_details.card.three_d_secure.result == "authenticated"


@pytest.mark.parametrize(("ok", "status", "name"), [(True, "paid", "succeeded"), (False, "unpaid", "failed")])
async def test_a_bank_debit_is_paid_or_fails_days_later(client, merchant, endpoint, order, ok, status, name):
    session = await client.checkout.sessions.create_async(order)
    await merchant.pay(session.id, "bank")
    now = await client.checkout.sessions.retrieve_async(session.id, {"expand": ["payment_intent.latest_charge"]})
    assert (now.status, now.payment_status, now.payment_intent.status) == ("complete", "unpaid", "processing")
    assert now.payment_intent.latest_charge.status == "pending"
    merchant.settle_async(session.id, ok=ok)
    with pytest.raises(Refusal):
        merchant.settle_async(session.id, ok=ok)
    now = await client.checkout.sessions.retrieve_async(session.id)
    assert now.payment_status == status
    await merchant.webhooks.drained()
    assert endpoint.types[-1] == f"checkout.session.async_payment_{name}"
    assert [payment.received for payment in merchant.truth().payments] == [2500 if ok else 0]


async def test_a_session_expires_when_told_or_in_time(client, merchant, endpoint, order):
    first = await client.checkout.sessions.create_async(order)
    with pytest.raises(CardDeclined):
        await merchant.pay(first.id, "4000000000000002")
    ended = await client.checkout.sessions.expire_async(first.id)
    assert (ended.status, ended.url) == ("expired", None)
    assert (await client.payment_intents.retrieve_async(ended.payment_intent)).status == "canceled"
    with pytest.raises(stripe.InvalidRequestError, match="expired"):
        await client.checkout.sessions.expire_async(first.id)
    with pytest.raises(Refusal):
        await merchant.pay(first.id)
    second = await client.checkout.sessions.create_async(order)
    merchant.expire(second.id)
    await merchant.webhooks.drained()
    assert endpoint.types.count("checkout.session.expired") == 2
    listed = await client.checkout.sessions.list_async({"customer": order["customer"], "status": "expired"})
    assert [row.id for row in listed.data] == [second.id, first.id]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"mode": "loan"}, None),
        ({"success_url": ""}, "parameter_missing"),
        ({"line_items": []}, "parameter_missing"),
        ({"customer": "cus_nobody"}, "resource_missing"),
        ({"expires_at": 1}, None),
        ({"colour": "red"}, "parameter_unknown"),
        ({"metadata": {"k": "v" * 501}}, None),
        ({"mode": "setup"}, "parameter_missing"),
    ],
)
async def test_a_session_that_makes_no_sense_is_refused(client, order, change, code):
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await client.checkout.sessions.create_async(order | change)
    assert caught.value.code == code


async def test_less_than_half_a_dollar_is_refused(client, order):
    order["line_items"][0]["price_data"]["unit_amount"] = 49
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await client.checkout.sessions.create_async(order)
    assert caught.value.code == "amount_too_small"


async def test_a_card_that_is_no_test_card_is_refused(client, merchant, order):
    session = await client.checkout.sessions.create_async(order)
    with pytest.raises(Refusal):
        await merchant.pay(session.id, "4111111111111111")
    assert merchant.truth().payments == []
