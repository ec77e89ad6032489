"""Accounts that save a card at the sandbox's Stripe and let it be charged; callers who have keys."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from app import refills, wallet
from app.events import list_events
from app.kit.clock import SystemClock
from app.kit.db import Database, driver
from app.kit.ids import AccountId, RentalId
from app.kit.leases import BUCKETS, Holding, bucket_name
from app.kit.reconcile import Reconciler, Round, Runner
from app.kit.vault import Vault
from app.refills import Attempt, Card, Consent, Mode, Rule, Terms
from app.sandbox import Fault, Sandbox, SandboxConfig
from app.tenancy import Authenticator, KeyTerms, create_key
from app.topups import Stripe, TopupTools
from app.topups.charging import endpoints as topup_endpoints
from app.topups.charging.charging import charging
from app.topups.visits.cards import list_cards
from app.topups.visits.checkouts import Purpose, Wish, open_checkout
from app.topups.visits.syncing import sync_checkout
from app.wallet import endpoints as wallet_endpoints
from app.wallet.refilling import refilling
from app.web import SCOPES, Cursors, Limiter
from tests.applications import new_app

PEPPER = b"pepper for tests"
DEPLOYMENT = "charges"
CONFIG = SandboxConfig(ssh_port=0, price_step_seconds=0, stripe_settle_seconds=None)
DOLLAR = 1_000_000


@dataclass
class HandClock:
    """Product time, ours and Stripe's alike, moved by hand."""

    at: datetime

    def now(self) -> datetime:
        return self.at

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(min(seconds, 0.2))


@dataclass
class Till:
    """One deployment that charges cards."""

    sandbox: Sandbox
    tools: TopupTools
    clock: HandClock
    holding: Holding

    @property
    def at(self) -> datetime:
        return self.clock.at

    def later(self, **by: float) -> datetime:
        self.clock.at += timedelta(**by)
        return self.clock.at

    def fault(self, kind: str, call: str, **more: Any) -> None:
        self.sandbox.faults.add(Fault(kind, operation=f"stripe.{call}", **more))

    async def save_card(self, account: AccountId, number: str = "4242424242424242") -> Card:
        """Save a card at Stripe's page, and take note of it."""
        wish = Wish(Purpose.SAVE_CARD, uuid4().hex, "test", save_card=True)
        row = (await open_checkout(self.tools, wish, account_id=account, at=self.at)).row
        await self.sandbox.stripe.pay(row.session_id, number)
        await sync_checkout(self.tools, account_id=account, checkout_id=row.id, at=self.at)
        async with self.tools.db.begin(account) as session:
            saved = (await list_cards(session, account_id=account, limit=1))[0]
        return Card(saved.id, saved.fingerprint)

    async def pay_by_hand(self, account: AccountId, number: str = "4242424242424242", dollars: int = 20) -> None:
        wish = Wish(Purpose.DEPOSIT, uuid4().hex, "test", amount=dollars * DOLLAR)
        row = (await open_checkout(self.tools, wish, account_id=account, at=self.at)).row
        await self.sandbox.stripe.pay(row.session_id, number)
        await sync_checkout(self.tools, account_id=account, checkout_id=row.id, at=self.at)

    async def set_rule(self, account: AccountId, card: Card, **changes: Any) -> Rule:
        """Set a rule as a customer does; it asks at once where the wallet is low."""
        terms = Terms(Mode.FIXED, 10 * DOLLAR, 25 * DOLLAR, None, 500 * DOLLAR, only_while_running=False)
        async with self.tools.db.begin(account) as session:
            consent = Consent("v1", self.at, "test")
            terms = replace(terms, **changes)
            rule = await refills.configure(
                session, account_id=account, terms=terms, card=card, consent=consent, at=self.at
            )
            await wallet.watch(session, account_id=account)
            await wallet.reconsider(session, account_id=account, trigger=refills.Trigger.CONFIG, at=self.at)
        return rule

    async def low(self, account: AccountId, number: str = "4242424242424242", **changes: Any) -> Attempt:
        """Save a card and set a rule that asks at once; return what it asked for."""
        await self.set_rule(account, await self.save_card(account, number), **changes)
        return (await self.attempts(account))[0]

    async def charge(self, account: AccountId, tools: TopupTools | None = None) -> Counter[str]:
        """Let the worker look at everything that is due of an account."""
        return await self.run(charging(tools or self.tools), account)

    async def sweep(self, account: AccountId) -> Counter[str]:
        """Let the worker judge an account's rule, if it would."""
        return await self.run(refilling(self.tools.db), account)

    async def run(self, reconciler: Reconciler, account: AccountId) -> Counter[str]:
        async def find(this: Round, limit: int) -> list[Any]:
            return [found for found in await reconciler.find(this, limit) if found.account_id == account]

        return await Runner(replace(reconciler, find=find)).run_once(Round(self.at, self.holding))

    async def until_rest(self, account: AccountId, *, hours: int = 30) -> None:
        """Let time pass and the worker work until no attempt of an account is open."""
        end = self.at + timedelta(hours=hours)
        while self.at < end:
            await self.charge(account)
            if not any(attempt.is_open for attempt in await self.attempts(account)):
                return
            self.later(minutes=5)
        raise AssertionError("an attempt is still open")

    async def attempts(self, account: AccountId) -> list[Attempt]:
        async with self.tools.db.begin(account) as session:
            return await refills.list_attempts(session, account_id=account, before=None, limit=100)

    async def rule(self, account: AccountId) -> Rule:
        async with self.tools.db.begin(account) as session:
            found = await refills.find_rule(session, account_id=account)
        assert found is not None
        return found

    async def balance(self, account: AccountId) -> wallet.Balance:
        async with self.tools.db.begin(account) as session:
            return await wallet.get_balance(session, account_id=account, at=self.at)

    async def spend(self, account: AccountId, dollars: int) -> None:
        """Hold so much for something that is about to run."""
        async with self.tools.db.begin(account) as session:
            await wallet.hold(
                session,
                account_id=account,
                rental_id=RentalId.new(),
                rate=dollars * DOLLAR,
                at=self.at,
                actor="test",
            )

    async def rows(self, table: str, account: AccountId) -> list[dict[str, Any]]:
        async with self.tools.db.begin(account) as session:
            found = await driver(session).fetch(f"SELECT * FROM {table} WHERE account_id = $1", account)
        return [dict(row) for row in found]

    async def mails(self, account: AccountId) -> list[str]:
        return [row["template"] for row in sorted(await self.rows("mails", account), key=lambda row: row["id"])]

    async def events(self, account: AccountId) -> list[str]:
        async with self.tools.db.begin(account) as session:
            rows = await list_events(session, account_id=account, subject=account, limit=1000)
        return [row.type for row in rows if row.type.startswith("auto_topup.")]

    def intents(self, account: AccountId) -> list[dict[str, Any]]:
        """The PaymentIntents that really are at Stripe for an account's attempts."""
        found = self.sandbox.stripe.books.store.all("payment_intent")
        mine = [one for one in found if one["metadata"].get("account_id") == account]
        return [one for one in mine if one["metadata"].get("attempt_id")]

    def charged(self, account: AccountId) -> int:
        """What Stripe really took for an account's attempts, in micro-dollars."""
        return sum(one["amount_received"] for one in self.intents(account)) * 10_000


@dataclass
class State:
    """What the application has."""

    db: Database
    authenticator: Authenticator
    clock: HandClock
    topups: TopupTools
    cursors: Cursors = field(default_factory=lambda: Cursors(b"cursor key"))
    limiter: Limiter = field(default_factory=lambda: Limiter(per_key=100_000, per_account=100_000))
    vault: Vault = field(default_factory=lambda: Vault(b"vault key"))

    @property
    def authenticate(self):
        return self.authenticator.authenticate


@pytest.fixture(scope="module")
async def clock() -> HandClock:
    """Noon of the second of a month: days and months end when a test lets them."""
    return HandClock(SystemClock().now().replace(day=2, hour=12, minute=0, second=0, microsecond=0))


@pytest.fixture(scope="module")
async def sandbox(clock: HandClock) -> AsyncIterator[Sandbox]:
    opened = await Sandbox.start(CONFIG, clock=clock)
    yield opened
    await opened.aclose()


@pytest.fixture
async def gateway(sandbox: Sandbox) -> AsyncIterator[Stripe]:
    """Waits for a second, not for twenty."""
    sandbox.faults.clear()
    opened = Stripe(CONFIG.stripe_key, base_url=sandbox.url, timeout_seconds=1.0, deployment=DEPLOYMENT)
    yield opened
    await opened.aclose()
    sandbox.faults.clear()


@pytest.fixture
async def holding(worker_db: Database) -> Holding:
    """Everything there is, held by one worker, under fences higher than any before."""
    names = [bucket_name(bucket) for bucket in range(BUCKETS)]
    async with worker_db.begin_unscoped() as session:
        rows = await driver(session).fetch(
            "INSERT INTO leases (name, owner, fence, expires_at) SELECT name, 'me', 1, now() FROM unnest($1::text[]) AS n(name) "
            "ON CONFLICT (name) DO UPDATE SET owner = 'me', fence = leases.fence + 1 RETURNING name, fence",
            names,
        )
    return Holding("me", {row["name"]: row["fence"] for row in rows})


@pytest.fixture
def till(sandbox: Sandbox, gateway: Stripe, clock: HandClock, worker_db: Database, holding: Holding) -> Till:
    return Till(sandbox, TopupTools(worker_db, gateway, clock, "http://test", DEPLOYMENT), clock, holding)


@pytest.fixture
async def client_for(till: Till, api_db: Database, auth_db: Database, worker_db: Database):
    """Return a client of an account: ``client = await client_for(account)``."""
    state = State(api_db, Authenticator(auth_db, PEPPER), till.clock, replace(till.tools, db=api_db))
    app = new_app(state, topup_endpoints.router, wallet_endpoints.router)
    clients = []

    async def connecting(account: AccountId, *scopes: str) -> httpx.AsyncClient:
        async with worker_db.begin_unscoped() as session:
            terms = KeyTerms("key", frozenset(scopes or SCOPES))
            key = await create_key(session, terms, account_id=account, pepper=PEPPER, at=till.at)
        client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app),
            base_url="http://test",
            headers={"Authorization": f"Bearer {key.secret}"},
        )
        clients.append(client)
        return client

    yield connecting
    for client in clients:
        await client.aclose()
