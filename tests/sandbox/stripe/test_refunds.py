import pytest
import stripe

from app.sandbox.answers import Refusal


async def test_refunds_add_up_to_the_charge_and_no_further(client, merchant, endpoint, paid):
    first = await client.refunds.create_async(
        {"payment_intent": paid, "amount": 1000, "reason": "requested_by_customer", "metadata": {"refund_id": "rfd_1"}}
    )
    assert (first.status, first.amount, first.metadata.refund_id) == ("succeeded", 1000, "rfd_1")
    intent = await client.payment_intents.retrieve_async(paid, {"expand": ["latest_charge.refunds"]})
    assert (intent.latest_charge.amount_refunded, intent.latest_charge.refunded) == (1000, False)
    assert [row.id for row in intent.latest_charge.refunds.data] == [first.id]
    with pytest.raises(stripe.InvalidRequestError, match="greater than unrefunded amount"):
        await client.refunds.create_async({"payment_intent": paid, "amount": 1501})
    rest = await client.refunds.create_async({"charge": intent.latest_charge.id})
    assert rest.amount == 1500
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await client.refunds.create_async({"payment_intent": paid})
    assert caught.value.code == "charge_already_refunded"
    await merchant.webhooks.drained()
    event = endpoint.last("charge.refunded")
    assert (event.data.object.amount_refunded, event.data.object.refunded) == (2500, True)
    assert event.data.previous_attributes.to_dict() == {"amount_refunded": 1000, "refunded": False}
    [payment] = merchant.truth().payments
    assert (payment.received, payment.refunded, payment.kept) == (2500, 2500, 0)
    listed = await client.refunds.list_async({"payment_intent": paid})
    assert [row.id for row in listed.data] == [rest.id, first.id]


async def with_card(client, merchant, order, number):
    session = await client.checkout.sessions.create_async(order)
    await merchant.pay(session.id, number)
    return (await client.checkout.sessions.retrieve_async(session.id)).payment_intent


async def test_a_refund_may_take_its_time(client, merchant, endpoint, order):
    paid = await with_card(client, merchant, order, "4000000000007726")
    refund = await client.refunds.create_async({"payment_intent": paid, "amount": 500})
    assert (refund.status, refund.pending_reason) == ("pending", "processing")
    merchant.settle_refund(refund.id)
    now = await client.refunds.retrieve_async(refund.id)
    assert (now.status, now.pending_reason) == ("succeeded", None)
    await merchant.webhooks.drained()
    assert endpoint.last("refund.updated").data.previous_attributes.status == "pending"


@pytest.mark.parametrize(("number", "first"), [("4000000000005126", "succeeded"), ("4000000000007726", "pending")])
async def test_a_refund_may_fail_afterwards(client, merchant, endpoint, order, number, first):
    paid = await with_card(client, merchant, order, number)
    refund = await client.refunds.create_async({"payment_intent": paid, "amount": 500})
    assert refund.status == first
    merchant.settle_refund(refund.id, ok=False)
    now = await client.refunds.retrieve_async(refund.id, {"expand": ["failure_balance_transaction", "charge"]})
    assert (now.status, now.failure_reason) == ("failed", "expired_or_canceled_card")
    assert now.failure_balance_transaction.amount == 500
    assert now.charge.amount_refunded == 0
    with pytest.raises(Refusal):
        merchant.settle_refund(refund.id, ok=True)
    await merchant.webhooks.drained()
    assert {"refund.updated", "refund.failed"} <= set(endpoint.types)


async def test_the_dashboard_refunds_as_well(client, merchant, paid):
    refund = merchant.refund(paid, 700)
    assert (await client.refunds.retrieve_async(refund["id"])).amount == 700
    [event] = (await client.events.list_async({"type": "refund.created"})).data
    assert event.request.id is None
    with pytest.raises(Refusal):
        merchant.refund(paid, 1801)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"amount": 0}, "parameter_invalid_integer"),
        ({"payment_intent": "pi_unknown"}, "resource_missing"),
        ({"payment_intent": ""}, "parameter_missing"),
        ({"reason": "boredom"}, None),
    ],
)
async def test_a_refund_that_makes_no_sense_is_refused(client, paid, change, code):
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await client.refunds.create_async({"payment_intent": paid} | change)
    assert caught.value.code == code


async def test_what_was_not_paid_is_not_refunded(client, merchant, customer, charge_of):
    card = merchant.add_card(customer.id, "4000000000000341")
    with pytest.raises(stripe.CardError) as caught:
        await client.payment_intents.create_async(charge_of(card))
    with pytest.raises(stripe.InvalidRequestError, match="successful charge"):
        await client.refunds.create_async({"payment_intent": caught.value.error.payment_intent.id})
