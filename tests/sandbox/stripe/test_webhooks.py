import asyncio

import pytest
import stripe

from app.sandbox.stripe.signing import signature


async def test_events_are_signed_as_stripe_signs(endpoint):
    body = b'{"object": "event", "a": "\xc3\xa4"}'
    mark = signature(body, ["whsec_a", "whsec_b"], at=1_700_000_000)
    for secret in ("whsec_a", "whsec_b"):
        one = stripe.WebhookSignature.generate_signature_header(body.decode(), secret, 1_700_000_000)
        assert one.partition(",")[2] in mark
        stripe.WebhookSignature.verify_header(body, mark, secret, tolerance=None)
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.WebhookSignature.verify_header(body, mark, "whsec_c", tolerance=None)


async def test_what_is_not_taken_is_sent_again_until_it_is(client, merchant, endpoint, paid):
    await merchant.webhooks.drained()
    endpoint.answers[:] = [500, 302, 404]
    refund = await client.refunds.create_async({"payment_intent": paid})
    await merchant.webhooks.drained()
    assert sorted(endpoint.types[-2:]) == ["charge.refunded", "refund.created"]
    tries = [sent.status for sent in list(merchant.webhooks.sent)[-5:]]
    assert sorted(tries) == [200, 200, 302, 404, 500]
    assert len(set(endpoint.signatures)) >= 1
    event = await client.events.retrieve_async(endpoint.last("refund.created").id)
    assert (event.pending_webhooks, event.data.object.id) == (0, refund.id)


async def test_an_endpoint_that_is_away_gets_its_events_later(client, merchant, endpoint, customer, order):
    url, merchant.webhooks.url = merchant.webhooks.url, "http://127.0.0.1:9/"
    session = await client.checkout.sessions.create_async(order)
    await merchant.pay(session.id)
    await asyncio.sleep(0.05)
    assert endpoint.events == []
    merchant.webhooks.url = url
    await merchant.webhooks.drained()
    assert set(endpoint.types) == {"payment_intent.succeeded", "checkout.session.completed"}


async def test_a_lost_event_is_never_sent_unless_asked_for(client, merchant, endpoint, paid):
    await merchant.webhooks.drained()
    merchant.webhooks.trouble("lose", times=2)
    await client.refunds.create_async({"payment_intent": paid, "amount": 100})
    await client.refunds.create_async({"payment_intent": paid, "amount": 200})
    await merchant.webhooks.drained()
    [undelivered, lost] = (await client.events.list_async({"delivery_success": False})).data
    assert [event.data.object.amount for event in endpoint.events if event.type == "refund.created"] == [200]
    merchant.webhooks.resend(lost.id)
    await merchant.webhooks.drained()
    assert endpoint.events[-1].id == lost.id
    assert [row.id for row in (await client.events.list_async({"delivery_success": False})).data] == [undelivered.id]
    with pytest.raises(LookupError):
        merchant.webhooks.resend("evt_unknown")


async def test_an_event_comes_twice(client, merchant, endpoint, paid):
    merchant.webhooks.trouble("duplicate", type="refund.created")
    await client.refunds.create_async({"payment_intent": paid})
    await merchant.webhooks.drained()
    twins = [event.id for event in endpoint.events if event.type == "refund.created"]
    assert len(twins) == 2
    assert len(set(twins)) == 1


async def test_events_come_in_another_order(client, merchant, endpoint, paid):
    await merchant.webhooks.drained()
    endpoint.events.clear()
    merchant.webhooks.trouble("reorder", times=3)
    dispute = merchant.dispute(paid)
    assert endpoint.events == []
    merchant.close_dispute(dispute["id"], won=False)
    await merchant.webhooks.drained()
    assert endpoint.types == [
        "charge.dispute.closed", "charge.dispute.funds_withdrawn", "charge.dispute.created",
    ]  # fmt: skip
    merchant.webhooks.trouble("reorder", times=9)
    merchant.warn(paid)
    await merchant.webhooks.drained()
    assert len(endpoint.events) == 3
    merchant.webhooks.clear()
    await merchant.webhooks.drained()
    assert endpoint.types[-1] == "radar.early_fraud_warning.created"


async def test_an_event_comes_late(client, merchant, endpoint, paid):
    await merchant.webhooks.drained()
    merchant.webhooks.trouble("delay", seconds=0.2, type="refund.created")
    await client.refunds.create_async({"payment_intent": paid})
    await merchant.webhooks.drained()
    assert endpoint.types[-2:] == ["charge.refunded", "refund.created"]


async def test_nothing_is_sent_during_a_pause(client, merchant, endpoint, paid):
    await merchant.webhooks.drained()
    merchant.webhooks.pause()
    merchant.warn(paid)
    await asyncio.sleep(0.05)
    assert "radar.early_fraud_warning.created" not in endpoint.types
    merchant.webhooks.resume()
    await merchant.webhooks.drained()
    assert endpoint.types[-1] == "radar.early_fraud_warning.created"


async def test_an_endpoint_may_listen_to_everything_or_to_little(client, merchant, endpoint, order):
    merchant.webhooks.types = {"*"}
    session = await client.checkout.sessions.create_async(order)
    await merchant.pay(session.id)
    await merchant.webhooks.drained()
    assert {"payment_intent.created", "charge.succeeded", "payment_method.attached"} <= set(endpoint.types)
    merchant.webhooks.types = {"charge.refunded"}
    endpoint.events.clear()
    await client.refunds.create_async({"payment_intent": merchant.truth().payments[0].id})
    await merchant.webhooks.drained()
    assert endpoint.types == ["charge.refunded"]


async def test_a_rolled_secret_signs_beside_the_old_one(client, merchant, endpoint, paid):
    await merchant.webhooks.drained()
    merchant.webhooks.secrets = ("whsec_new", endpoint.secret)
    merchant.warn(paid)
    await merchant.webhooks.drained()
    assert endpoint.signatures[-1].count("v1=") == 2
    endpoint.secret = "whsec_new"
    merchant.warn(paid)
    await merchant.webhooks.drained()
    assert endpoint.types[-2:] == ["radar.early_fraud_warning.created"] * 2


async def test_there_is_no_other_trouble(merchant):
    with pytest.raises(ValueError, match="one of"):
        merchant.webhooks.trouble("eat")
