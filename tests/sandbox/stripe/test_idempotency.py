import asyncio

import httpx
import pytest
import stripe

from app.sandbox import Fault
from tests.sandbox.stripe.conftest import talking_to

AGAIN = {"idempotency_key": "once"}


async def test_a_repeated_call_is_answered_as_the_first_was(client, merchant, customer, charge_of):
    card = merchant.add_card(customer.id)
    first = await client.payment_intents.create_async(charge_of(card), AGAIN)
    second = await client.payment_intents.create_async(charge_of(card), AGAIN)
    assert second.to_dict() == first.to_dict()
    assert "idempotent-replayed" not in first.last_response.headers
    assert second.last_response.headers["idempotent-replayed"] == "true"
    assert second.last_response.headers["original-request"] == first.last_response.headers["request-id"]
    assert len(merchant.truth().succeeded) == 1


async def test_a_decline_is_repeated_too_even_once_the_card_is_good(client, merchant, customer, charge_of):
    card = merchant.add_card(customer.id, "4000000000000341")
    for _ in range(2):
        with pytest.raises(stripe.CardError) as caught:
            await client.payment_intents.create_async(charge_of(card), AGAIN)
        merchant.change_card(card["id"], "4242424242424242")
    assert caught.value.headers["idempotent-replayed"] == "true"
    assert [payment.charges for payment in merchant.truth().payments] == [1]


@pytest.mark.parametrize("change", [{"amount": 1001}, {"metadata": {"attempt_id": "tup_2"}}, {"description": "x"}])
async def test_a_key_is_for_the_same_parameters_only(client, merchant, customer, charge_of, change):
    card = merchant.add_card(customer.id)
    await client.payment_intents.create_async(charge_of(card), AGAIN)
    with pytest.raises(stripe.IdempotencyError) as caught:
        await client.payment_intents.create_async(charge_of(card) | change, AGAIN)
    assert caught.value.http_status == 400
    with pytest.raises(stripe.IdempotencyError):
        await client.customers.create_async({}, AGAIN)


async def test_a_mistake_does_not_use_a_key_up(client, customer):
    wanted = {"amount": 10, "currency": "usd", "customer": customer.id}
    with pytest.raises(stripe.InvalidRequestError):
        await client.payment_intents.create_async(wanted, AGAIN)
    assert (await client.payment_intents.create_async(wanted | {"amount": 100}, AGAIN)).amount == 100


async def test_a_call_that_still_runs_keeps_its_key(sandbox, client):
    sandbox.faults.add(Fault("slow", "stripe.create_customer", seconds=0.3))
    running = asyncio.create_task(client.customers.create_async({"email": "a@example.com"}, AGAIN))
    await asyncio.sleep(0.1)
    with pytest.raises(stripe.APIError) as caught:
        await client.customers.create_async({"email": "a@example.com"}, AGAIN)
    assert (caught.value.http_status, caught.value.error.code) == (409, "idempotency_key_in_use")
    made = await running
    assert (await client.customers.create_async({"email": "a@example.com"}, AGAIN)).id == made.id


async def test_a_hidden_success_is_told_to_the_next_call(sandbox, client, merchant, customer, charge_of):
    card = merchant.add_card(customer.id)
    sandbox.faults.add(Fault("timeout_after_success", "stripe.create_payment_intent", mode="drop"))
    with pytest.raises(stripe.APIConnectionError):
        await client.payment_intents.create_async(charge_of(card), AGAIN)
    intent = await client.payment_intents.create_async(charge_of(card), AGAIN)
    assert intent.status == "succeeded"
    assert len(merchant.truth().payments) == 1


@pytest.mark.parametrize("after_effect", [False, True])
async def test_an_error_that_is_kept_is_repeated_for_ever(sandbox, client, merchant, customer, charge_of, after_effect):
    card = merchant.add_card(customer.id)
    sandbox.faults.add(
        Fault("server_error", "stripe.create_payment_intent", mode="kept", after_effect=after_effect, subject="once")
    )
    for _ in range(3):
        with pytest.raises(stripe.APIError) as caught:
            await client.payment_intents.create_async(charge_of(card), AGAIN)
        assert caught.value.http_status == 500
    assert len(merchant.truth().succeeded) == (1 if after_effect else 0)


async def test_other_errors_are_over_with_the_next_call(sandbox, client, merchant, customer, charge_of):
    card = merchant.add_card(customer.id)
    for status in (500, 503, 409):
        sandbox.faults.add(Fault("server_error", "stripe.create_payment_intent", status=status))
        with pytest.raises(stripe.APIError) as caught:
            await client.payment_intents.create_async(charge_of(card), AGAIN)
        assert caught.value.http_status == status
    sandbox.faults.add(Fault("server_error", "stripe.create_payment_intent", after_effect=True))
    with pytest.raises(stripe.APIError):
        await client.payment_intents.create_async(charge_of(card), AGAIN)
    assert (await client.payment_intents.create_async(charge_of(card), AGAIN)).status == "succeeded"
    assert len(merchant.truth().payments) == 1


async def test_too_many_calls_are_told_when_to_come_back(sandbox, client):
    sandbox.faults.add(Fault("rate_limited", "stripe.list_events", retry_after="2"))
    with pytest.raises(stripe.RateLimitError) as caught:
        await client.events.list_async()
    assert caught.value.headers["retry-after"] == "2"


async def test_the_library_s_own_retries_make_one_payment(sandbox, merchant, customer, charge_of):
    card = merchant.add_card(customer.id)
    sandbox.faults.add(Fault("timeout_after_success", "stripe.create_payment_intent", mode="drop", times=2))
    async with talking_to(sandbox, max_network_retries=3) as patient:
        assert (await patient.v1.payment_intents.create_async(charge_of(card))).status == "succeeded"
    assert len(merchant.truth().payments) == 1


@pytest.mark.parametrize("key", ["", "sk_test_other", "sk_live_0123456789", "rk_live_0123456789"])
async def test_only_the_sandbox_s_own_key_opens_it(sandbox, key):
    async with httpx.AsyncClient(base_url=sandbox.url) as http:
        answer = await http.get("/v1/customers", headers={"Authorization": f"Bearer {key}".strip()})
        assert answer.status_code == 401
        assert key[-9:] not in answer.text or not key
        basic = await http.get("/v1/customers", auth=(sandbox.config.stripe_key, ""))
        assert basic.status_code == 200


async def test_a_path_that_is_not_there_is_told_in_stripe_s_words(client, sandbox):
    with pytest.raises(stripe.InvalidRequestError, match="Unrecognized request URL") as caught:
        await client.invoices.list_async()
    assert caught.value.http_status == 404


async def test_a_key_has_255_characters_at_most(client):
    with pytest.raises(stripe.IdempotencyError):
        await client.customers.create_async({}, {"idempotency_key": "k" * 256})
