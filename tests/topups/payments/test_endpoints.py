"""Payments, refunds and disputes over HTTP."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import pytest

from app.kit.ids import PaymentId, RefundId
from app.kit.money import Money
from app.tenancy import Authenticator, KeyTerms, create_key
from app.topups.payments.endpoints import router
from app.topups.tools import TopupTools
from app.web import SCOPES, Cursors, Limiter
from tests.applications import new_app

PEPPER = b"pepper for tests"


@dataclass
class Clock:
    till: Any

    def now(self):
        return self.till.at


@dataclass
class State:
    db: Any
    authenticator: Authenticator
    clock: Clock
    till: Any
    cursors: Cursors = field(default_factory=lambda: Cursors(b"cursor key"))
    limiter: Limiter = field(default_factory=lambda: Limiter(per_key=100_000, per_account=100_000))

    @property
    def topups(self) -> TopupTools:
        return self.till.tools

    @property
    def authenticate(self):
        return self.authenticator.authenticate


@pytest.fixture
def connect(till, api_db, auth_db, worker_db, at):
    """A client of an account, with some scopes."""
    app = new_app(State(api_db, Authenticator(auth_db, PEPPER), Clock(till), till), router)

    async def connecting(account, *, scopes=SCOPES):
        async with worker_db.begin_unscoped() as session:
            terms = KeyTerms("first", frozenset(scopes), created_by=None)
            key = await create_key(session, terms, account_id=account, pepper=PEPPER, at=at)
        headers = {"Authorization": f"Bearer {key.secret}"}
        return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test", headers=headers)

    return connecting


def post(client, body, key="once"):
    return client.post("/v1/billing/refunds", json=body, headers={"Idempotency-Key": key})


async def test_a_payment_is_read_with_its_receipt_and_what_can_be_refunded(till, connect, account):
    payment = await till.deposit(account)
    await till.spend(account, 5)
    async with await connect(account) as client:
        listed = (await client.get("/v1/billing/payments")).json()["data"]
        told = (await client.get(f"/v1/billing/payments/{payment.id}")).json()
    assert listed == [told | {"refundable": None}]
    assert told == {
        "id": payment.id,
        "object": "payment",
        "status": "succeeded",
        "source": "checkout",
        "amount": "25.00",
        "tax": "0.00",
        "credited": "25.00",
        "refunded": "0.00",
        "disputed": "0.00",
        "refundable": "20.00",
        "card": {"brand": "visa", "last4": "4242"},
        "receipt_url": payment.receipt_url,
        "checkout_id": payment.checkout_id,
        "topup_attempt_id": None,
        "created_at": "2026-03-01T12:00:00.000Z",
        "succeeded_at": "2026-03-01T12:00:00.000Z",
    }


async def test_nothing_can_be_refunded_of_a_payment_that_is_too_old_or_disputed(till, connect, account):
    payment = await till.deposit(account)
    async with await connect(account) as client:
        till.later(days=15)
        assert (await client.get(f"/v1/billing/payments/{payment.id}")).json()["refundable"] == "0.00"
        answer = await post(client, {"payment_id": payment.id})
        assert (answer.status_code, answer.json()["code"]) == (409, "refund_window_over")
        till.later(days=-15)
        till.bank.dispute(payment.payment_intent_id)
        await till.apply(payment.payment_intent_id)
        answer = await post(client, {"payment_id": payment.id})
        assert (answer.status_code, answer.json()["code"]) == (409, "payment_disputed")


async def test_a_refund_is_made_once_for_a_key_and_its_end_is_read(till, connect, account):
    payment = await till.deposit(account)
    async with await connect(account) as client:
        first = await post(client, {"payment_id": payment.id, "amount": "10.00"})
        assert first.status_code == 201
        told = first.json()
        assert (told["status"], told["amount"], told["source"]) == ("pending", "10.00", "ours")
        assert first.headers["location"] == f"/v1/billing/refunds/{told['id']}"
        again = await post(client, {"payment_id": payment.id, "amount": 10})
        assert (again.json(), again.headers["idempotency-replayed"]) == (told, "true")
        other = await post(client, {"payment_id": payment.id, "amount": "11.00"})
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
        await till.step(await till.refund_of(account, told["id"]))
        read = (await client.get(first.headers["location"])).json()
        assert (read["status"], read["failure_reason"]) == ("succeeded", None)
        assert (await client.get("/v1/billing/refunds")).json()["data"] == [read]
        assert (await client.get(f"/v1/billing/refunds?payment_id={PaymentId.new()}")).json()["data"] == []


@pytest.mark.parametrize(
    ("amount", "status", "code"),
    [
        ("26.00", 422, "refund_too_large"),
        ("0.005", 422, "validation_failed"),
        ("0.00", 422, "validation_failed"),
        ("-1.00", 422, "validation_failed"),
        ("1e3", 422, "validation_failed"),
        (True, 422, "validation_failed"),
        ("1.0000001", 422, "validation_failed"),
    ],
)
async def test_amounts_that_can_not_be_refunded(till, connect, account, amount, status, code):
    payment = await till.deposit(account)
    async with await connect(account) as client:
        answer = await post(client, {"payment_id": payment.id, "amount": amount})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert await till.refunds(account) == []


async def test_a_refund_needs_a_key_a_scope_and_ones_own_payment(till, connect, account, new_account):
    payment = await till.deposit(account)
    async with await connect(account) as client:
        answer = await client.post("/v1/billing/refunds", json={"payment_id": payment.id})
        assert (answer.status_code, answer.json()["code"]) == (400, "idempotency_key_missing")
        assert (await post(client, {"payment_id": "pay_1"})).status_code == 422
    async with await connect(account, scopes=["billing:read"]) as client:
        assert (await post(client, {"payment_id": payment.id})).status_code == 403
    async with await connect(await new_account()) as stranger:
        assert (await post(stranger, {"payment_id": payment.id})).status_code == 404
        assert (await stranger.get(f"/v1/billing/payments/{payment.id}")).status_code == 404
        assert (await stranger.get("/v1/billing/payments")).json()["data"] == []
        assert (await stranger.get("/v1/billing/payments/nothing")).status_code == 404
        assert (await stranger.get(f"/v1/billing/refunds/{RefundId.new()}")).status_code == 404


async def test_without_stripe_no_refund_is_taken_on(till, connect, account):
    payment = await till.deposit(account)
    till.tools = replace(till.tools, stripe=None)
    async with await connect(account) as client:
        answer = await post(client, {"payment_id": payment.id})
        assert (answer.status_code, answer.json()["code"]) == (503, "provider_unavailable")
        assert (await client.get(f"/v1/billing/payments/{payment.id}")).status_code == 200
    assert await till.refunds(account) == []


async def test_disputes_are_listed(till, connect, account):
    payment = await till.deposit(account)
    opened = till.bank.dispute(payment.payment_intent_id, reason="product_not_received")
    await till.apply(payment.payment_intent_id)
    async with await connect(account) as client:
        [told] = (await client.get("/v1/billing/disputes")).json()["data"]
        assert (told["phase"], told["withdrawn"], told["reason"]) == ("open", "25.00", "product_not_received")
        assert told["due_by"]
        till.bank.close_dispute(opened["id"], won=True)
        await till.apply(payment.payment_intent_id)
        [told] = (await client.get(f"/v1/billing/disputes?payment_id={payment.id}")).json()["data"]
        assert (told["phase"], told["status"], told["reinstated"]) == ("closed", "won", "25.00")


async def test_lists_go_on_page_by_page(till, connect, account):
    payments = [await till.deposit(account, dollars) for dollars in (10, 11, 12)]
    async with await connect(account) as client:
        first = (await client.get("/v1/billing/payments?limit=2")).json()
        assert [one["id"] for one in first["data"]] == [payments[2].id, payments[1].id]
        rest = (await client.get(f"/v1/billing/payments?limit=2&cursor={first['next_cursor']}")).json()
        assert ([one["id"] for one in rest["data"]], rest["has_more"]) == ([payments[0].id], False)
        assert (await client.get("/v1/billing/payments?status=failed")).json()["data"] == []
        assert (await client.get("/v1/billing/payments?status=odd")).status_code == 422
        assert (await client.get(f"/v1/billing/refunds?cursor={first['next_cursor']}")).status_code == 400


async def test_the_sums_that_are_told_agree_with_the_ledger(till, connect, account):
    payment = await till.deposit(account)
    await till.refund(account, payment, 4)
    till.bank.refund(payment.payment_intent_id, 300)
    await till.apply(payment.payment_intent_id)
    async with await connect(account) as client:
        told = (await client.get(f"/v1/billing/payments/{payment.id}")).json()
        refunds = (await client.get("/v1/billing/refunds")).json()["data"]
    assert told["refunded"] == "7.00"
    assert sum(Money.parse(one["amount"]).micros for one in refunds) == 7_000_000
    assert {one["source"] for one in refunds} == {"ours", "external"}
