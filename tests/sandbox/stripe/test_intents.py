import pytest
import stripe


async def test_a_saved_card_is_charged_without_its_holder(client, merchant, endpoint, customer, charge_of):
    card = merchant.add_card(customer.id)
    intent = await client.payment_intents.create_async(charge_of(card), {"idempotency_key": "tup_1"})
    assert (intent.status, intent.amount_received, intent.customer) == ("succeeded", 1000, customer.id)
    charge = await client.charges.retrieve_async(intent.latest_charge)
    assert charge.payment_method_details.card.fingerprint == card["card"]["fingerprint"]
    assert (charge.paid, charge.receipt_url.startswith("http")) == (True, True)
    await merchant.webhooks.drained()
    event = endpoint.last("payment_intent.succeeded")
    assert (event.data.object.id, event.request.idempotency_key) == (intent.id, "tup_1")
    assert event.request.id == intent.last_response.headers["request-id"]


@pytest.mark.parametrize(
    ("number", "decline_code", "advice_code"),
    [
        ("4000000000000341", "generic_decline", "try_again_later"),
        ("4000000000009995", "insufficient_funds", "try_again_later"),
        ("4000000000009987", "lost_card", "do_not_try_again"),
        ("4000000000000069", "expired_card", "confirm_card_data"),
    ],
)
async def test_a_decline_is_a_402_with_the_intent_in_it(
    client, merchant, endpoint, customer, charge_of, number, decline_code, advice_code
):
    card = merchant.add_card(customer.id)
    merchant.change_card(card["id"], number)
    with pytest.raises(stripe.CardError) as caught:
        await client.payment_intents.create_async(charge_of(card))
    error = caught.value.error
    assert (error.decline_code, error.advice_code) == (decline_code, advice_code)
    assert error.payment_intent.status == "requires_payment_method"
    assert error.payment_intent.last_payment_error.decline_code == decline_code
    charge = await client.charges.retrieve_async(error.charge)
    assert (charge.status, charge.paid, charge.failure_code) == ("failed", False, error.code)
    await merchant.webhooks.drained()
    assert endpoint.types == ["payment_intent.payment_failed"]
    assert [payment.received for payment in merchant.truth().payments] == [0]


async def test_a_question_to_an_absent_holder_is_a_402(client, merchant, customer, charge_of):
    card = merchant.add_card(customer.id, "4000002760003184")
    with pytest.raises(stripe.CardError) as caught:
        await client.payment_intents.create_async(charge_of(card))
    assert caught.value.http_status == 402
    assert caught.value.code == "authentication_required"
    intent = caught.value.error.payment_intent
    assert (intent.status, intent.next_action) == ("requires_payment_method", None)
    asked = await client.payment_intents.confirm_async(intent.id, {"payment_method": card["id"]})
    assert (asked.status, asked.next_action.type) == ("requires_action", "use_stripe_sdk")
    assert (await client.payment_intents.cancel_async(intent.id)).status == "canceled"


async def test_a_card_that_was_set_up_needs_its_holder_no_more(client, merchant, customer, charge_of):
    wanted = {"mode": "setup", "customer": customer.id, "currency": "usd", "success_url": "https://m.example/"}
    session = await client.checkout.sessions.create_async(wanted)
    await merchant.pay(session.id, "4000002500003155")
    [card] = (await client.customers.payment_methods.list_async(customer.id)).data
    assert (await client.payment_intents.create_async(charge_of({"id": card.id}))).status == "succeeded"
    raw = merchant.add_card(customer.id, "4000002500003155", was_set_up=False)
    with pytest.raises(stripe.CardError) as caught:
        await client.payment_intents.create_async(charge_of(raw))
    assert caught.value.code == "authentication_required"


async def test_a_new_card_confirms_a_declined_intent(client, merchant, customer, charge_of):
    bad, good = merchant.add_card(customer.id, "4000000000000341"), merchant.add_card(customer.id)
    with pytest.raises(stripe.CardError) as caught:
        await client.payment_intents.create_async(charge_of(bad))
    intent = caught.value.error.payment_intent
    done = await client.payment_intents.confirm_async(intent.id, {"payment_method": good["id"], "off_session": True})
    assert (done.status, done.last_payment_error) == ("succeeded", None)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await client.payment_intents.cancel_async(intent.id)
    assert refused.value.code == "payment_intent_unexpected_state"


@pytest.mark.parametrize(
    ("change", "code", "param"),
    [
        ({"amount": 49}, "amount_too_small", "amount"),
        ({"amount": 100_000_000}, "amount_too_large", "amount"),
        ({"amount": "12.5"}, "parameter_invalid_integer", "amount"),
        ({"payment_method": "pm_unknown"}, "resource_missing", "payment_method"),
        ({"customer": "cus_unknown"}, None, "payment_method"),
        ({"confirm": False}, None, "off_session"),
        ({"currency": ""}, "parameter_missing", "currency"),
        ({"tip": 5}, "parameter_unknown", "tip"),
    ],
)
async def test_a_charge_that_makes_no_sense_is_refused(client, merchant, customer, charge_of, change, code, param):
    card = merchant.add_card(customer.id)
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await client.payment_intents.create_async(charge_of(card) | change)
    assert (caught.value.code, caught.value.param, caught.value.http_status) == (code, param, 400)
    assert merchant.truth().payments == []


async def test_a_card_of_another_or_detached_card_is_not_charged(client, merchant, endpoint, customer, charge_of):
    other = await client.customers.create_async({"email": "other@example.com"})
    card = merchant.add_card(other.id)
    with pytest.raises(stripe.InvalidRequestError, match="does not belong"):
        await client.payment_intents.create_async(charge_of(card))
    assert (await client.payment_methods.detach_async(card["id"])).customer is None
    with pytest.raises(stripe.InvalidRequestError, match="detached"):
        await client.payment_intents.create_async(charge_of(card))
    with pytest.raises(stripe.InvalidRequestError):
        await client.payment_methods.detach_async(card["id"])
    await merchant.webhooks.drained()
    event = endpoint.last("payment_method.detached")
    assert (event.data.object.customer, event.data.previous_attributes.customer) == (None, other.id)


async def test_intents_are_found_by_list_and_by_metadata(client, merchant, customer, charge_of):
    card = merchant.add_card(customer.id)
    made = [
        await client.payment_intents.create_async(charge_of(card, metadata={"attempt_id": f"tup_{number}"}))
        for number in range(3)
    ]
    query = f"customer:'{customer.id}' AND metadata['attempt_id']:'tup_1'"
    assert [row.id for row in (await client.payment_intents.search_async({"query": query})).data] == [made[1].id]
    listed = await client.payment_intents.list_async(
        {"customer": customer.id, "created": {"gte": made[0].created}, "expand": ["data.latest_charge"]}
    )
    assert [row.id for row in listed.data] == [row.id for row in reversed(made)]
    assert listed.data[0].latest_charge.amount == 1000
    assert (await client.payment_intents.list_async({"created": {"gt": made[2].created + 60}})).data == []
    with pytest.raises(stripe.InvalidRequestError):
        await client.payment_intents.search_async({"query": "anything goes"})


async def test_metadata_is_merged_and_removed(client, merchant, customer):
    intent = await client.payment_intents.create_async(
        {"amount": 500, "currency": "usd", "customer": customer.id, "metadata": {"a": "1", "b": "2"}}
    )
    changed = await client.payment_intents.update_async(intent.id, {"metadata": {"a": "", "c": "3"}})
    assert changed.metadata.to_dict() == {"b": "2", "c": "3"}
