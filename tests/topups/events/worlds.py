"""A world of its own for scenes about Stripe's events: a Stripe, a database, a worker's tools and the webhook."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx
import stripe

from app import ledger, tenancy, wallet
from app.kit.db import driver
from app.kit.ids import AccountId
from app.kit.leases import BUCKETS, Holding, bucket_name, hold_share
from app.kit.reconcile import Round, Runner
from app.sandbox import Sandbox
from app.topups import TopupTools
from app.topups.events.endpoints import router
from app.topups.events.pointing import TYPES
from app.topups.events.reconcilers import handling
from app.topups.visits.checkouts import Purpose, Wish, open_checkout
from tests.applications import new_app

CENT = 10_000
SECRET = "whsec_sandbox"
DEPLOYMENT = "scenes"
NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)


@dataclass
class HandClock:
    """Product time, ours and Stripe's alike, moved by hand."""

    at: datetime = NOW

    def now(self) -> datetime:
        return self.at

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(min(seconds, 0.2))

    def move(self, **span: float) -> datetime:
        self.at += timedelta(**span)
        return self.at


@dataclass
class State:
    """What the webhook's application has."""

    topups: TopupTools
    clock: HandClock


@dataclass
class World:
    """One deployment, and the Stripe account that it takes cards with."""

    sandbox: Sandbox
    clock: HandClock
    tools: TopupTools
    client: httpx.AsyncClient
    holding: Holding

    @property
    def stripe(self):
        return self.sandbox.stripe

    @property
    def round(self) -> Round:
        return Round(self.clock.now(), self.holding)

    async def account(self, *, micros: int = 0) -> AccountId:
        """Open an account, with some money that no card brought."""
        async with self.tools.db.begin_unscoped() as session:
            email = f"{uuid4().hex}@example.com"
            opened = await tenancy.open_account(session, name="Test", email=email, at=self.clock.now())
            await wallet.open_wallet(session, account_id=opened.account_id, at=self.clock.now())
            if micros:
                await wallet.credit_adjustment(
                    session,
                    account_id=opened.account_id,
                    amount=micros,
                    reference="opening",
                    reason="opening credit",
                    actor="test",
                    at=self.clock.now(),
                )
        return opened.account_id

    async def checkout(self, account: AccountId, cents: int):
        """Open a visit to the page."""
        wish = Wish(Purpose.DEPOSIT, key=uuid4().hex, created_by="test", amount=cents * CENT)
        return (await open_checkout(self.tools, wish, account_id=account, at=self.clock.now())).row

    async def paid(self, account: AccountId, cents: int, *, card: str = "4242424242424242") -> str:
        """Pay at the page and return the payment's id; nothing of ours has heard of it yet."""
        row = await self.checkout(account, cents)
        session = await self.stripe.pay(row.session_id, card)
        return session["payment_intent"]

    def events(self) -> list[dict]:
        """What Stripe has to tell, oldest first."""
        return [event for event in self.stripe.books.store.all("event") if event["type"] in TYPES]

    async def send(self, event: dict, *, secret: str = SECRET, at: datetime | None = None) -> int:
        """Send an event to the webhook, as Stripe would."""
        body = json.dumps(event, indent=2)
        second = int((at or self.clock.now()).timestamp())
        header = stripe.WebhookSignature.generate_signature_header(body, secret, second)
        answer = await self.client.post(
            "/v1/webhooks/stripe", content=body.encode(), headers={"Stripe-Signature": header}
        )
        return answer.status_code

    async def tell(self, *events: dict) -> None:
        """Send events, each of which is taken."""
        for event in events:
            assert await self.send(event) == 200

    async def handle(self) -> Counter[str]:
        """Let the worker handle what is in the queue."""
        return await Runner(handling(self.tools)).run_once(self.round)

    async def rows(self) -> dict[str, dict]:
        """The queue, by event."""
        async with self.tools.db.begin_unscoped() as session:
            return {row["id"]: dict(row) for row in await driver(session).fetch("SELECT * FROM stripe_events")}

    async def ledger(self, account: AccountId) -> list[tuple[str, int, str | None]]:
        """What was posted for an account, in order: kind, amount, reference's kind."""
        async with self.tools.db.begin_unscoped() as session:
            found = await driver(session).fetch(
                "SELECT kind, amount, reference FROM transfers WHERE account_id = $1 ORDER BY seq", account
            )
        return [(row["kind"], row["amount"], row["reference"] and row["reference"].partition("_")[0]) for row in found]

    async def money(self, account: AccountId) -> tuple[int, int, int]:
        """Available, reserved and owed."""
        async with self.tools.db.begin_unscoped() as session:
            found = await ledger.lock_wallet(session, account)
        return found.available, found.reserved, found.owed


async def opened_world(databases, *, deployment: str = DEPLOYMENT, **config):
    """A world on a database; use it in ``async with aclosing``-like fixtures and end it with ``closed``."""
    from app.sandbox.config import SandboxConfig
    from app.topups import Stripe

    clock = HandClock()
    sandbox = await Sandbox.start(
        SandboxConfig(stripe_webhook_secret=SECRET, ssh_port=0, price_step_seconds=0, **config), clock=clock
    )
    gateway = Stripe("sk_test_sandbox", base_url=sandbox.url, webhook_secrets=(SECRET,), deployment=deployment)
    tools = TopupTools(databases.worker, gateway, clock, "http://test", deployment)
    app = new_app(State(TopupTools(databases.api, gateway, clock, "http://test", deployment), clock), router)
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")
    holding = await hold_share(databases.worker, "worker", [bucket_name(bucket) for bucket in range(BUCKETS)])
    return World(sandbox, clock, tools, client, holding)


async def closed(world: World) -> None:
    await world.client.aclose()
    await world.tools.stripe.aclose()
    await world.sandbox.aclose()
