"""A Stripe to pay at, the room's tools, and one worker that holds everything."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from app import lots, wallet
from app.events import list_events
from app.kit.clock import SystemClock
from app.kit.db import driver
from app.kit.ids import AccountId, PaymentId, RefundId, RentalId
from app.kit.leases import BUCKETS, Holding, bucket_name
from app.kit.reconcile import Round
from app.ledger import invariants as ledger_invariants
from app.sandbox.config import SandboxConfig
from app.sandbox.server import Sandbox
from app.topups.gateway.account import Stripe
from app.topups.models import CheckoutRow, DisputeRow, PaymentRow, RefundRow
from app.topups.payments import invariants
from app.topups.payments.applying import Applied, apply_payment
from app.topups.payments.refund_asking import AskedRefund, RefundWish, ask_refund
from app.topups.payments.refunding import DueRefund, step
from app.topups.tools import TopupTools
from app.topups.visits.checkouts import Purpose, Wish, open_checkout
from app.wallet import invariants as wallet_invariants

DEPLOYMENT = "test"
ROOMS = (ledger_invariants, wallet_invariants, invariants)
DOLLAR = 1_000_000


@dataclass
class Till:
    """Accounts that pay at the sandbox's Stripe, and everything that can be asked of them."""

    sandbox: Sandbox
    tools: TopupTools
    holding: Holding
    at: datetime
    numbers: int = 0
    accounts: set[AccountId] = field(default_factory=set)
    """Who has paid here."""

    @property
    def bank(self) -> Any:
        """Stripe, as its owner and the cards' banks steer it."""
        return self.sandbox.stripe

    def later(self, **by: float) -> datetime:
        self.at += timedelta(**by)
        return self.at

    async def open(self, account: AccountId, dollars: int = 25) -> CheckoutRow:
        self.numbers += 1
        self.accounts.add(account)
        wish = Wish(Purpose.DEPOSIT, f"key-{self.numbers}", "test", amount=dollars * DOLLAR)
        return (await open_checkout(self.tools, wish, account_id=account, at=self.at)).row

    async def pay(self, account: AccountId, dollars: int = 25, card: str = "4242424242424242") -> str:
        """Pay at Stripe's page; nothing here knows of it yet."""
        checkout = await self.open(account, dollars)
        session = await self.bank.pay(checkout.session_id, card)
        return session["payment_intent"]

    async def apply(self, payment_intent_id: str) -> Applied:
        return await apply_payment(self.tools, payment_intent_id, at=self.at)

    async def deposit(self, account: AccountId, dollars: int = 25, card: str = "4242424242424242") -> PaymentRow:
        applied = await self.apply(await self.pay(account, dollars, card))
        assert applied.credited == dollars * DOLLAR
        return (await self.payments(account))[-1]

    async def ask(
        self, account: AccountId, payment: PaymentRow, dollars: float | None = None, **more: Any
    ) -> RefundRow:
        return (await self.asked(account, payment, dollars, **more)).row

    async def asked(
        self, account: AccountId, payment: PaymentRow, dollars: float | None = None, *, key: str | None = None
    ) -> AskedRefund:
        self.numbers += 1
        amount = None if dollars is None else round(dollars * DOLLAR)
        wish = RefundWish(
            PaymentId(payment.id), amount, "requested_by_customer", key or f"refund-{self.numbers}", "test"
        )
        async with self.tools.db.begin(account) as session:
            return await ask_refund(session, wish, account_id=account, at=self.at)

    async def step(self, refund: RefundRow, tools: TopupTools | None = None) -> str:
        due = DueRefund(AccountId(refund.account_id), RefundId(refund.id), refund.bucket)
        return await step(tools or self.tools, Round(self.at, self.holding), due)

    async def refund(self, account: AccountId, payment: PaymentRow, dollars: float | None = None) -> RefundRow:
        """Ask for a refund and carry it out."""
        row = await self.ask(account, payment, dollars)
        await self.step(row)
        return await self.refund_of(account, row.id)

    async def refund_of(self, account: AccountId, refund_id: str) -> RefundRow:
        return next(row for row in await self.refunds(account) if row.id == refund_id)

    async def payments(self, account: AccountId) -> list[PaymentRow]:
        return await self._rows(PaymentRow, account)

    async def refunds(self, account: AccountId) -> list[RefundRow]:
        return await self._rows(RefundRow, account)

    async def disputes(self, account: AccountId) -> list[DisputeRow]:
        return await self._rows(DisputeRow, account)

    async def _rows(self, model: Any, account: AccountId) -> list[Any]:
        async with self.tools.db.begin(account) as session:
            return list(await session.scalars(select(model).where(model.account_id == account).order_by(model.id)))

    async def balance(self, account: AccountId) -> wallet.Balance:
        async with self.tools.db.begin(account) as session:
            return await wallet.get_balance(session, account_id=account, at=self.at)

    async def transfers(self, account: AccountId) -> list[tuple[str, float, str | None]]:
        """Every movement: its kind, dollars, and what it belongs to."""
        async with self.tools.db.begin(account) as session:
            rows = await driver(session).fetch(
                "SELECT kind, amount, reference FROM transfers WHERE account_id = $1 ORDER BY seq", account
            )
        return [(row["kind"], row["amount"] / DOLLAR, row["reference"]) for row in rows]

    async def kinds(self, account: AccountId) -> list[str]:
        return [kind for kind, _, _ in await self.transfers(account)]

    async def events(self, account: AccountId) -> list[str]:
        async with self.tools.db.begin(account) as session:
            rows = await list_events(session, account_id=account, subject=account, limit=500)
        return [row.type for row in rows]

    async def mails(self, account: AccountId) -> list[str]:
        async with self.tools.db.begin(account) as session:
            rows = await driver(session).fetch(
                "SELECT template FROM mails WHERE account_id = $1 ORDER BY created_at, id", account
            )
        return [row["template"] for row in rows]

    async def spend(self, account: AccountId, dollars: int) -> None:
        """Use up so much credit: an hour of a rental at that rate."""
        rental, rate = RentalId.new(), dollars * DOLLAR
        async with self.tools.db.begin(account) as session:
            await wallet.hold(session, account_id=account, rental_id=rental, rate=rate, at=self.at, actor="test")
            await wallet.start(session, account_id=account, rental_id=rental, at=self.at)
        self.later(hours=1)
        async with self.tools.db.begin(account) as session:
            end = {"at": self.at, "billable_until": self.at}
            await wallet.close(session, account_id=account, rental_id=rental, **end)

    async def unspent(self, account: AccountId, payment: PaymentRow) -> int:
        async with self.tools.db.begin(account) as session:
            return await lots.unspent(session, account_id=account, reference=payment.id)

    async def restricted(self, account: AccountId) -> bool:
        async with self.tools.db.begin(account) as session:
            found = await driver(session).fetchval(
                "SELECT restricted_at IS NOT NULL FROM wallets WHERE account_id = $1", account
            )
        return bool(found)

    async def broken(self, *accounts: AccountId) -> list[Any]:
        async with self.tools.db.begin_unscoped() as session:
            found = [await room.broken_for(session, list(accounts)) for room in ROOMS]
        return [one for room in found for one in room]

    async def worth(self, account: AccountId) -> int:
        """What Stripe really has kept of an account's payments, in micro-dollars."""
        mine = [one for one in self.bank.truth().payments if one.metadata.get("account_id") == account]
        return sum(one.kept for one in mine) * 10_000


@pytest.fixture(scope="session")
async def sandbox() -> AsyncIterator[Sandbox]:
    config = SandboxConfig(stripe_settle_seconds=None, ssh_port=0, price_step_seconds=0)
    started = await Sandbox.start(config)
    yield started
    await started.aclose()


@pytest.fixture
async def stripe(sandbox: Sandbox) -> AsyncIterator[Stripe]:
    opened = Stripe(sandbox.config.stripe_key, base_url=sandbox.url, deployment=DEPLOYMENT, timeout_seconds=5)
    yield opened
    await opened.aclose()


@pytest.fixture
async def holding(worker_db: Any) -> Holding:
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
async def till(sandbox: Sandbox, stripe: Stripe, worker_db: Any, holding: Holding, at: datetime) -> AsyncIterator[Till]:
    tools = TopupTools(
        db=worker_db, stripe=stripe, clock=SystemClock(), public_url="http://127.0.0.1:1", deployment=DEPLOYMENT
    )
    opened = Till(sandbox, tools, holding, at)
    yield opened
    sandbox.faults.clear()
    assert await opened.broken(*opened.accounts) == []
