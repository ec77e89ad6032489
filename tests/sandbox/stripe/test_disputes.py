import pytest
import stripe

from app.sandbox.answers import Refusal


async def test_a_dispute_takes_the_money_and_a_fee(client, merchant, endpoint, paid):
    made = merchant.dispute(paid)
    dispute = await client.disputes.retrieve_async(made["id"], {"expand": ["charge"]})
    assert (dispute.status, dispute.amount, dispute.is_charge_refundable) == ("needs_response", 2500, False)
    assert dispute.charge.disputed is True
    [taken] = dispute.balance_transactions
    assert (taken.amount, taken.fee, taken.net, taken.reporting_category) == (-2500, 1500, -4000, "dispute")
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await client.refunds.create_async({"payment_intent": paid})
    assert caught.value.code == "charge_disputed"
    await merchant.webhooks.drained()
    assert endpoint.types[-2:] == ["charge.dispute.created", "charge.dispute.funds_withdrawn"]


@pytest.mark.parametrize(("won", "amount", "kept"), [(True, None, 2500), (True, 1000, 1000), (False, None, 0)])
async def test_a_dispute_is_won_in_part_or_lost(client, merchant, endpoint, paid, won, amount, kept):
    dispute = merchant.dispute(paid)
    merchant.respond(dispute["id"])
    assert (await client.disputes.retrieve_async(dispute["id"])).status == "under_review"
    merchant.close_dispute(dispute["id"], won=won, amount=amount)
    with pytest.raises(Refusal):
        merchant.close_dispute(dispute["id"], won=won)
    now = await client.disputes.retrieve_async(dispute["id"])
    assert (now.status, len(now.balance_transactions)) == (("won", 2) if won else ("lost", 1))
    assert [payment.kept for payment in merchant.truth().payments] == [kept]
    await merchant.webhooks.drained()
    assert endpoint.types[-1] == "charge.dispute.closed"
    assert ("charge.dispute.funds_reinstated" in endpoint.types) is won


async def test_an_inquiry_moves_no_money_until_it_is_a_dispute(client, merchant, endpoint, paid):
    inquiry = merchant.dispute(paid, amount=1200, inquiry=True)
    assert (inquiry["status"], inquiry["balance_transactions"]) == ("warning_needs_response", [])
    assert (await client.refunds.create_async({"payment_intent": paid, "amount": 100})).status == "succeeded"
    merchant.escalate(inquiry["id"])
    [now] = (await client.disputes.list_async({"payment_intent": paid})).data
    assert (now.status, now.balance_transactions[0].amount) == ("needs_response", -1200)
    await merchant.webhooks.drained()
    assert "charge.dispute.funds_withdrawn" in endpoint.types


async def test_an_inquiry_may_just_close(merchant, endpoint, paid):
    inquiry = merchant.dispute(paid, inquiry=True)
    merchant.respond(inquiry["id"])
    assert merchant.close_dispute(inquiry["id"], won=True)["status"] == "warning_closed"
    assert [payment.withdrawn for payment in merchant.truth().payments] == [0]


@pytest.mark.parametrize(
    ("number", "reason", "status"),
    [
        ("4000000000000259", "fraudulent", "needs_response"),
        ("4000000000002685", "product_not_received", "needs_response"),
        ("4000000000001976", "fraudulent", "warning_needs_response"),
    ],
)
async def test_some_cards_bring_a_dispute_with_them(client, merchant, customer, charge_of, number, reason, status):
    card = merchant.add_card(customer.id, number)
    intent = await client.payment_intents.create_async(charge_of(card))
    assert intent.status == "succeeded"
    [dispute] = (await client.disputes.list_async({"payment_intent": intent.id})).data
    assert (dispute.reason, dispute.status) == (reason, status)


async def test_a_card_issuer_warns_of_fraud(client, merchant, endpoint, customer, charge_of):
    card = merchant.add_card(customer.id, "4000000000005423")
    intent = await client.payment_intents.create_async(charge_of(card))
    [warning] = (await client.radar.early_fraud_warnings.list_async({"payment_intent": intent.id})).data
    assert (warning.actionable, warning.charge) == (True, intent.latest_charge)
    assert (await client.radar.early_fraud_warnings.retrieve_async(warning.id)).id == warning.id
    merchant.warn(intent.id)
    await merchant.webhooks.drained()
    assert endpoint.types.count("radar.early_fraud_warning.created") == 2


async def test_no_more_is_disputed_than_was_paid(merchant, paid):
    for amount in (0, 2501):
        with pytest.raises(Refusal):
            merchant.dispute(paid, amount=amount)
