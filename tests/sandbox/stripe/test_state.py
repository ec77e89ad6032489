"""What time does to the account, and what a restart leaves of it."""

from dataclasses import replace

import httpx
import pytest
import stripe

from app.sandbox.stripe.store import Store
from tests.sandbox.stripe.conftest import CONFIG, opened, talking_to


@pytest.fixture
def at_home(tmp_path):
    return replace(CONFIG, home=tmp_path)


async def test_a_restart_keeps_everything(at_home, endpoint, order):
    del order["customer"]
    config = replace(at_home, stripe_webhook_url=endpoint.url)
    async with opened(config) as sandbox, talking_to(sandbox) as client:
        customer = await client.v1.customers.create_async({"email": "payer@example.com"})
        order["customer"] = customer.id
        open_session = await client.v1.checkout.sessions.create_async(order, {"idempotency_key": "chk_1"})
        paid_session = await client.v1.checkout.sessions.create_async(order)
        await sandbox.stripe.pay(paid_session.id)
        endpoint.answers[:] = [500] * 100
        await client.v1.refunds.create_async({"payment_intent": sandbox.stripe.truth().payments[0].id, "amount": 5})
        truth, card = sandbox.stripe.truth(), next(sandbox.stripe.books.store.all("payment_method"))
    endpoint.answers.clear()
    async with opened(config) as sandbox, talking_to(sandbox) as client:
        assert sandbox.stripe.truth() == truth
        again = await client.v1.checkout.sessions.create_async(order, {"idempotency_key": "chk_1"})
        assert (again.id, again.last_response.headers["idempotent-replayed"]) == (open_session.id, "true")
        await sandbox.stripe.pay(open_session.id)
        charge = {"amount": 100, "currency": "usd", "customer": customer.id, "payment_method": card["id"]}
        intent = await client.v1.payment_intents.create_async(charge | {"confirm": True, "off_session": True})
        assert intent.status == "succeeded"
        await sandbox.stripe.webhooks.drained()
        assert {"refund.created", "charge.refunded"} <= set(endpoint.types)
        assert (await client.v1.events.list_async({"delivery_success": False})).data == []


async def test_what_was_answered_survives_a_kill_and_a_torn_last_line(at_home, tmp_path):
    async with opened(at_home) as sandbox, talking_to(sandbox) as client:
        customer = await client.v1.customers.create_async({"email": "payer@example.com"})
        journal = (tmp_path / "stripe.jsonl").read_text()
    (tmp_path / "stripe.jsonl").write_text(journal + '[["cus_half", {"id": "cus_ha')
    async with opened(at_home) as sandbox, talking_to(sandbox) as client:
        assert [row.id for row in (await client.v1.customers.list_async()).data] == [customer.id]


async def test_a_sandbox_without_a_home_keeps_nothing(sandbox, client, customer):
    assert not sandbox.stripe.books.store._file


def test_a_journal_forgets_what_was_removed(tmp_path):
    path = tmp_path / "j"
    store = Store()
    store.open(path)
    first, second = (store.add({"object": "customer", "id": f"cus_{number}"}, colour="red") for number in range(2))
    store.commit()
    store.remove(first)
    second["name"] = "New"
    store.touch(second)
    store.close()
    again = Store()
    again.open(path)
    assert list(again.all("customer")) == [second]
    assert again.notes(second) == {"colour": "red"}
    again.close()
    assert len(path.read_text().splitlines()) == 1


@pytest.fixture
async def timed(clock, endpoint):
    """A sandbox whose time a test moves."""
    config = replace(CONFIG, stripe_settle_seconds=60.0, stripe_webhook_url=endpoint.url)
    async with opened(config, clock=clock) as sandbox, talking_to(sandbox) as client:
        yield sandbox.stripe, client.v1


async def test_time_ends_sessions_and_settles_what_takes_its_time(timed, clock, order):
    merchant, client = timed
    order["customer"] = (await client.customers.create_async({})).id
    waiting, slow, debit = [await client.checkout.sessions.create_async(order) for _ in range(3)]
    await merchant.pay(slow.id, "4000000000005126")
    await merchant.pay(debit.id, "bank")
    refund = merchant.refund((await client.checkout.sessions.retrieve_async(slow.id)).payment_intent)
    await clock.advance(61)
    assert (await client.refunds.retrieve_async(refund["id"])).status == "failed"
    assert (await client.checkout.sessions.retrieve_async(debit.id)).payment_status == "paid"
    await clock.advance(86_400)
    assert (await client.checkout.sessions.retrieve_async(waiting.id)).status == "expired"
    names = {row.type for row in (await client.events.list_async({"limit": 100})).data}
    assert {"checkout.session.expired", "checkout.session.async_payment_succeeded", "refund.failed"} <= names


async def test_events_are_told_for_30_days_and_keys_kept_for_one(timed, clock):
    _, client = timed
    first = await client.customers.create_async({}, {"idempotency_key": "k"})
    [event] = (await client.events.list_async()).data
    await clock.advance(86_401)
    assert (await client.customers.create_async({}, {"idempotency_key": "k"})).id != first.id
    await clock.advance(30 * 86_400 + 1)
    assert (await client.events.list_async()).data == []
    with pytest.raises(stripe.InvalidRequestError):
        await client.events.retrieve_async(event.id)
    with pytest.raises(stripe.InvalidRequestError):
        await client.events.list_async({"ending_before": event.id})


async def test_balances_become_available_and_taxes_are_added(clock, endpoint, order):
    config = replace(CONFIG, stripe_tax_basis_points=825)
    async with opened(config, clock=clock) as sandbox, talking_to(sandbox) as client:
        order["customer"] = (await client.v1.customers.create_async({})).id
        session = await client.v1.checkout.sessions.create_async(order | {"automatic_tax": {"enabled": True}})
        assert (session.amount_subtotal, session.total_details.amount_tax, session.amount_total) == (2500, 206, 2706)
        await sandbox.stripe.pay(session.id)
        [row] = (await client.v1.balance_transactions.list_async()).data
        assert (row.amount, row.status) == (2706, "pending")
        await clock.advance(3 * 86_400)
        assert (await client.v1.balance_transactions.retrieve_async(row.id)).status == "available"
        async with httpx.AsyncClient(base_url=sandbox.url) as browser:
            fresh = await client.v1.checkout.sessions.create_async(order)
            await clock.advance(2 * 86_400)
            assert (await browser.get(f"/c/pay/{fresh.id}")).status_code == 410
