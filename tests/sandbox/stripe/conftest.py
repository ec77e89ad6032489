"""A merchant's account in the sandbox, Stripe's own client to talk to it, and an endpoint for its events.

Whatever passes between them is checked against the annotations of Stripe's library.
"""

from __future__ import annotations

import asyncio
import copy
import json
from contextlib import asynccontextmanager

import httpx
import pytest
import stripe

from app.sandbox import Sandbox, SandboxConfig
from tests.sandbox.stripe.annotations import faults_of
from tests.sandbox.stripe.kinds import KINDS

stripe.enable_telemetry = False
CONFIG = SandboxConfig(
    boot_seconds=0.1, ssh_port=0, price_step_seconds=0, stripe_settle_seconds=None, stripe_retry_seconds=0.02
)
SECRET = CONFIG.stripe_webhook_secret


class CheckedHTTP(stripe.HTTPXClient):
    """Checks every answer; and hands the body over as httpx wants it, which warns of the library's own way."""

    def _get_request_args_kwargs(self, method, url, headers, post_data):
        args, kwargs = super()._get_request_args_kwargs(method, url, headers, post_data)
        content = kwargs.pop("data") or b""
        return args, kwargs | {"content": content}

    async def request_async(self, method, url, headers, post_data=None):
        body, status, answered = await super().request_async(method, url, headers, post_data)
        if status < 500:
            assert faults_of(json.loads(body)) == []
        return body, status, answered


class Endpoint:
    """Takes events as a merchant would: verified by Stripe's own library."""

    def __init__(self) -> None:
        self.url = ""
        self.secret = SECRET
        self.answers: list[int] = []
        """What is answered next; 200 once there is nothing more."""
        self.events: list[stripe.Event] = []
        """Those taken with 200."""
        self.bodies: list[bytes] = []
        self.signatures: list[str] = []

    @property
    def types(self) -> list[str]:
        return [event.type for event in self.events]

    def last(self, name: str) -> stripe.Event:
        return next(event for event in reversed(self.events) if event.type == name)

    async def serve(self, reader, writer) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            headers = dict(line.lower().split(": ", 1) for line in head.decode().split("\r\n")[1:] if line)
            body = await reader.readexactly(int(headers["content-length"]))
            status = self._take(body, headers["stripe-signature"])
            writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def _take(self, body: bytes, signature: str) -> int:
        self.bodies.append(body)
        self.signatures.append(signature)
        assert faults_of(json.loads(body)) == []
        event = stripe.Webhook.construct_event(body, signature, self.secret)
        status = self.answers.pop(0) if self.answers else 200
        if status == 200:
            self.events.append(event)
        return status


@asynccontextmanager
async def opened(config: SandboxConfig, **more):
    """A sandbox whose Stripe objects are all checked at its end."""
    sandbox = await Sandbox.start(config, **more)
    yield sandbox
    await sandbox.aclose()
    store = sandbox.stripe.books.store
    for kind in (
        "customer", "checkout.session", "setup_intent", "payment_method", "payment_intent", "charge", "refund",
        "dispute", "balance_transaction", "event", "billing_portal.session", "radar.early_fraud_warning",
    ):  # fmt: skip
        for obj in store.all(kind):
            assert faults_of({name: value for name, value in obj.items() if name != "deleted"}) == []


@asynccontextmanager
async def talking_to(sandbox: Sandbox, key: str | None = None, **more):
    """Stripe's client for a sandbox."""
    http = CheckedHTTP(timeout=5)
    client = stripe.StripeClient(
        key or sandbox.config.stripe_key, base_addresses={"api": sandbox.url}, http_client=http, **more
    )
    yield client
    await http.close_async()


@pytest.fixture
async def endpoint():
    endpoint = Endpoint()
    server = await asyncio.start_server(endpoint.serve, "127.0.0.1", 0)
    endpoint.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    yield endpoint
    server.close()
    await server.wait_closed()


@pytest.fixture
async def sandbox(endpoint):
    async with opened(CONFIG) as sandbox:
        sandbox.stripe.webhooks.url = endpoint.url
        yield sandbox


@pytest.fixture
def merchant(sandbox):
    return sandbox.stripe


@pytest.fixture
async def client(sandbox):
    async with talking_to(sandbox) as client:
        yield client.v1


@pytest.fixture
async def browser(sandbox):
    async with httpx.AsyncClient(base_url=sandbox.url, follow_redirects=False) as browser:
        yield browser


@pytest.fixture
async def customer(client):
    return await client.customers.create_async({"email": "payer@example.com", "name": "Pat Payer"})


@pytest.fixture
def order(customer):
    """Parameters of a deposit of $25 with a card that is kept."""
    return {
        "mode": "payment",
        "customer": customer.id,
        "client_reference_id": "chk_1",
        "success_url": "https://merchant.example/return?checkout={CHECKOUT_SESSION_ID}",
        "cancel_url": "https://merchant.example/cancel",
        "line_items": [
            {
                "price_data": {"currency": "usd", "unit_amount": 2500, "product_data": {"name": "Credit"}},
                "quantity": 1,
            }
        ],
        "metadata": {"checkout_id": "chk_1"},
        "payment_intent_data": {
            "metadata": {"checkout_id": "chk_1"},
            "receipt_email": "payer@example.com",
            "setup_future_usage": "off_session",
        },
    }


@pytest.fixture
def charge_of(customer):
    """Parameters of an off-session payment with a saved card."""

    def of(card: dict, **more) -> dict:
        return {
            "amount": 1000,
            "currency": "usd",
            "customer": customer.id,
            "payment_method": card["id"],
            "off_session": True,
            "confirm": True,
            "metadata": {"attempt_id": "tup_1"},
            **more,
        }

    return of


@pytest.fixture
async def paid(client, merchant, order):
    """The payment intent of a deposit of $25 that was paid."""
    session = await client.checkout.sessions.create_async(order)
    await merchant.pay(session.id)
    return (await client.checkout.sessions.retrieve_async(session.id)).payment_intent


@pytest.fixture
async def samples(client, merchant, customer, order, charge_of):
    """One object of every kind, as the sandbox makes them."""
    wanted = {"mode": "setup", "customer": customer.id, "currency": "usd", "success_url": "https://m.example/"}
    setup = await client.checkout.sessions.create_async(wanted)
    await merchant.pay(setup.id, "4000000000001976")
    [card] = (await client.customers.payment_methods.list_async(customer.id)).data
    intent = await client.payment_intents.create_async(charge_of({"id": card.id}))
    await client.refunds.create_async({"payment_intent": intent.id, "amount": 100})
    merchant.warn(intent.id)
    await client.billing_portal.sessions.create_async({"customer": customer.id, "return_url": "https://m.example/"})
    return {kind: copy.deepcopy(list(merchant.books.store.all(kind))[-1]) for kind in KINDS}
