import pytest
import stripe


@pytest.fixture
async def made(client):
    return [(await client.customers.create_async({"email": f"n{number}@example.com"})).id for number in range(7)]


async def test_lists_are_newest_first_and_paged_both_ways(client, made):
    page = await client.customers.list_async({"limit": 3})
    assert ([row.id for row in page.data], page.has_more) == (made[:3:-1], True)
    page = await client.customers.list_async({"limit": 3, "starting_after": made[4]})
    assert ([row.id for row in page.data], page.has_more) == ([made[3], made[2], made[1]], True)
    page = await client.customers.list_async({"limit": 3, "starting_after": made[1]})
    assert ([row.id for row in page.data], page.has_more) == ([made[0]], False)
    page = await client.customers.list_async({"limit": 2, "ending_before": made[2]})
    assert ([row.id for row in page.data], page.has_more) == ([made[4], made[3]], True)
    found = [row.id async for row in page.auto_paging_iter()]
    assert found == made[3:]


@pytest.mark.parametrize(
    "wrong",
    [{"limit": 0}, {"limit": 101}, {"starting_after": "cus_x"}, {"starting_after": "a", "ending_before": "b"}],
)
async def test_a_page_that_is_not_there_is_refused(client, made, wrong):
    with pytest.raises(stripe.InvalidRequestError):
        await client.customers.list_async(wrong)


async def test_events_are_filtered_by_type_and_by_delivery(client, merchant, endpoint, paid):
    await merchant.webhooks.drained()
    wanted = ["payment_intent.succeeded", "checkout.session.completed"]
    page = await client.events.list_async({"types": wanted})
    assert [row.type for row in page.data] == wanted[::-1]
    merchant.webhooks.trouble("lose", type="refund.created")
    refund = await client.refunds.create_async({"payment_intent": paid})
    await merchant.webhooks.drained()
    [lost] = (await client.events.list_async({"delivery_success": False})).data
    assert (lost.type, lost.data.object.id, lost.pending_webhooks) == ("refund.created", refund.id, 1)
    later = await client.events.list_async({"types": ["refund.created"], "ending_before": page.data[0].id})
    assert [row.id for row in later.data] == [lost.id]
    with pytest.raises(stripe.InvalidRequestError, match="20"):
        await client.events.list_async({"types": ["charge.refunded"] * 21})
    assert (await client.events.retrieve_async(lost.id)).id == lost.id


async def test_balance_transactions_tell_every_movement(client, merchant, paid):
    await client.refunds.create_async({"payment_intent": paid, "amount": 500})
    dispute = merchant.dispute(paid)
    merchant.close_dispute(dispute["id"], won=True)
    rows = (await client.balance_transactions.list_async({"limit": 100})).data
    assert [(row.reporting_category, row.amount, row.fee) for row in reversed(rows)] == [
        ("charge", 2500, 103),
        ("refund", -500, 0),
        ("dispute", -2000, 1500),
        ("dispute_reversal", 2000, 0),
    ]
    [only] = (await client.balance_transactions.list_async({"type": "refund", "expand": ["data.source"]})).data
    assert only.source.amount == 500
    assert (await client.balance_transactions.retrieve_async(only.id)).id == only.id


async def test_what_cannot_be_expanded_is_refused(client, paid):
    for wrong in ("amount", "customer.banana", "a.b.c.d.e"):
        with pytest.raises(stripe.InvalidRequestError):
            await client.payment_intents.retrieve_async(paid, {"expand": [wrong]})


async def test_a_deleted_customer_is_little_more_than_an_id(client, merchant, customer):
    changed = await client.customers.update_async(customer.id, {"name": "New", "metadata": {"a": "1"}})
    assert (changed.name, changed.metadata.a) == ("New", "1")
    card = merchant.add_card(customer.id)
    await client.customers.update_async(customer.id, {"invoice_settings": {"default_payment_method": card["id"]}})
    assert (await client.customers.delete_async(customer.id)).deleted is True
    gone = await client.customers.retrieve_async(customer.id)
    assert gone.to_dict() == {"id": customer.id, "object": "customer", "deleted": True}
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await client.customers.update_async(customer.id, {"name": "Newer"})
    assert (caught.value.http_status, caught.value.code) == (404, "resource_missing")
    assert (await client.customers.list_async()).data == []


async def test_cards_are_attached_listed_changed_and_detached(client, customer):
    card = await client.payment_methods.attach_async("pm_card_visa", {"customer": customer.id})
    changed = await client.payment_methods.update_async(card.id, {"allow_redisplay": "always", "metadata": {"a": "1"}})
    assert (changed.allow_redisplay, changed.metadata.a) == ("always", "1")
    listed = await client.payment_methods.list_async({"customer": customer.id, "type": "card"})
    assert [row.id for row in listed.data] == [card.id]
    within = await client.customers.payment_methods.retrieve_async(customer.id, card.id)
    assert within.id == (await client.payment_methods.retrieve_async(card.id)).id
    await client.payment_methods.detach_async(card.id)
    assert (await client.payment_methods.retrieve_async(card.id)).customer is None
    with pytest.raises(stripe.InvalidRequestError):
        await client.payment_methods.attach_async(card.id, {"customer": customer.id})
