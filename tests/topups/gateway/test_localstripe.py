"""Another Stripe, written by others: what we send is understood there, and what it says and signs is understood here.

It has no Checkout, no disputes and no idempotency, and refuses some parameters; those are left out of what it is asked.
"""

import asyncio
import json
import os
import socket
import sys
from asyncio.subprocess import DEVNULL
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from app.kit.clock import SystemClock
from app.topups import Stripe
from app.topups.gateway import params as stripe_params
from app.topups.gateway import reading
from app.topups.gateway.errors import StripeRefused
from app.topups.gateway.facts import ChargeOrder, RefundOrder
from app.topups.gateway.signatures import InvalidSignature

PROGRAM = Path(sys.prefix) / "localstripe" / "bin" / "localstripe"
SECRET = "whsec_of_another"
UNKNOWN_THERE = ("description", "automatic_payment_methods", "expand")

pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason="localstripe is not installed: make install-localstripe")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
async def peer(tmp_path_factory):
    """Its address, once it answers. What it remembers lies in a folder of this test's own."""
    port = free_port()
    environment = dict(os.environ, TMPDIR=str(tmp_path_factory.mktemp("localstripe")))
    process = await asyncio.create_subprocess_exec(
        PROGRAM, "--port", str(port), "--from-scratch", env=environment, stdout=DEVNULL, stderr=DEVNULL
    )
    url = f"http://127.0.0.1:{port}"
    try:
        async with httpx.AsyncClient() as http:
            for _ in range(300):
                assert process.returncode is None, "localstripe ended at its start"
                try:
                    await http.get(f"{url}/v1/customers", auth=("sk_test_1", ""))
                    break
                except httpx.TransportError:
                    await asyncio.sleep(0.1)
        yield url
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), 10)


@pytest.fixture
async def stripe(peer):
    gateway = Stripe("sk_test_peer", base_url=peer, webhook_secrets=(SECRET,), deployment="peer")
    yield gateway
    await gateway.aclose()


@pytest.fixture
def sdk(stripe):
    """The same client below the gateway, for what this peer does in a way of its own."""
    return stripe._wire.client.v1


@pytest.fixture
async def customer(stripe):
    return await stripe.create_customer(account_id="acct_1", email="payer@example.com", name="Payer")


async def saved_card(sdk, customer, number):
    card = {"number": number, "exp_month": 12, "exp_year": 2040, "cvc": "123"}
    made = await sdk.payment_methods.create_async({"type": "card", "card": card})
    await sdk.payment_methods.attach_async(made.id, {"customer": customer})
    return made.id


def asked(order):
    params = stripe_params.charge(order, deployment="peer")
    return {name: value for name, value in params.items() if name not in UNKNOWN_THERE}


def charge_order(customer, card, attempt="tup_1"):
    return ChargeOrder(attempt, "acct_1", customer, card, 25_000_000, "Auto-top-up")


async def test_customer_is_made_and_found_by_what_we_wrote_on_it(stripe, customer, sdk):
    assert customer.startswith("cus_")
    told = await sdk.customers.retrieve_async(customer)
    assert told.metadata["account_id"] == "acct_1"
    assert told.email == "payer@example.com"


async def test_card_is_set_up_for_later(stripe, customer, sdk):
    made = await sdk.setup_intents.create_async({"customer": customer, "usage": "off_session"})
    card = {"type": "card", "card": {"number": "4242424242424242", "exp_month": 12, "exp_year": 2040, "cvc": "123"}}
    await sdk.setup_intents.confirm_async(made.id, {"payment_method_data": card})
    setup = await stripe.get_setup(made.id)
    assert setup.status == "succeeded"
    saved = await stripe.get_card(setup.payment_method_id)
    assert (saved.brand, saved.last4) == ("visa", "4242")
    await stripe.detach_card(await saved_card(sdk, customer, "4242424242424242"))


async def test_saved_card_pays_while_its_owner_is_away(customer, sdk):
    card = await saved_card(sdk, customer, "4242424242424242")
    made = await sdk.payment_intents.create_async(asked(charge_order(customer, card)))
    told = {"amount_received": made.amount, **made.to_dict()}  # newer than the version that it speaks
    brief = reading.payment_brief(told)
    assert (brief.status, brief.amount, brief.customer_id) == ("succeeded", 25_000_000, customer)
    assert brief.metadata["attempt_id"] == "tup_1"


async def test_declined_card_is_told_as_a_decline(stripe, customer, sdk):
    card = await saved_card(sdk, customer, "4000000000000341")
    order = charge_order(customer, card, "tup_2")

    async def call():
        return await sdk.payment_intents.create_async(asked(order))

    with pytest.raises(StripeRefused) as refused:
        await stripe._wire.change("charge", call, reading.payment_brief)
    assert refused.value.code == "card_declined"


async def test_what_it_refuses_outright_is_a_refusal_and_no_doubt(stripe, customer, sdk):
    card = await saved_card(sdk, customer, "4242424242424242")
    with pytest.raises(StripeRefused):
        await stripe.charge(charge_order(customer, card, "tup_3"))
    made = await sdk.payment_intents.create_async(asked(charge_order(customer, card, "tup_4")))
    refund = RefundOrder("rfd_1", "acct_1", made.id, 5_000_000, "requested_by_customer")
    with pytest.raises(StripeRefused):
        await stripe.create_refund(refund)
    params = stripe_params.refund(refund, deployment="peer")
    told = await sdk.refunds.create_async({name: value for name, value in params.items() if name != "reason"})
    assert reading.refund(told.to_dict()).amount == 5_000_000


async def test_its_signed_messages_are_read_and_damaged_ones_are_not(peer, stripe, customer, sdk):
    received: asyncio.Queue[tuple[bytes, str]] = asyncio.Queue()
    server = await asyncio.start_server(lambda reader, writer: take(reader, writer, received), "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    async with httpx.AsyncClient(base_url=peer, auth=("sk_test_peer", "")) as http:
        await http.post("/_config/webhooks/ours", data={"url": url, "secret": SECRET})
    card = await saved_card(sdk, customer, "4242424242424242")
    await sdk.payment_intents.create_async(asked(charge_order(customer, card, "tup_5")))
    at = SystemClock().now()
    seen = {}
    async with asyncio.timeout(20):
        while "payment_intent.succeeded" not in seen:
            body, signature = await received.get()
            event = stripe.construct_event(body, signature, at=at)
            seen[event.type] = event
    with pytest.raises(InvalidSignature):
        stripe.construct_event(json.dumps(json.loads(body)).encode(), signature, at=at)
    with pytest.raises(InvalidSignature):
        stripe.construct_event(body, signature, at=datetime(2040, 1, 1, tzinfo=UTC))
    server.close()


async def take(reader, writer, received):
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    headers = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head.splitlines()[1:])
    }
    body = await reader.readexactly(int(headers["content-length"]))
    await received.put((body, headers["stripe-signature"]))
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    await writer.drain()
    writer.close()
