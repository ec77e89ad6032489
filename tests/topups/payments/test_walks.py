"""Whatever happens at Stripe, here, and in which order it is seen: the wallet has what Stripe has kept, less what was spent."""

from __future__ import annotations

import random
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from app.kit.errors import AppError
from app.sandbox import Fault
from app.sandbox.answers import Refusal
from app.topups.payments.rows import HELD

CARDS = ("4242424242424242", "4000000000007726", "4000000000005126")
FAULTS = ("timeout_after_success", "server_error", "malformed")


class Walk:
    """One account's history, drawn at random."""

    def __init__(self, till: Any, account: Any, seed: int) -> None:
        self.till, self.account, self.draw = till, account, random.Random(seed)
        self.intents: list[str] = []
        self.spent = 0

    async def go(self, steps: int) -> None:
        await self.pay()
        for _ in range(steps):
            act = self.draw.choice([
                self.pay, self.spend, self.ask, self.carry_out, self.look, self.look, self.refund_there,
                self.settle_there, self.dispute_there, self.decide_there, self.lose_an_answer,
            ])  # fmt: skip
            with suppress(AppError, Refusal):
                await act()
            self.till.later(minutes=self.draw.choice([0, 1, 30]))
            assert await self.till.broken(self.account) == []

    async def pay(self) -> None:
        self.intents.append(await self.till.pay(self.account, self.draw.choice([5, 10, 25]), self.draw.choice(CARDS)))

    async def spend(self) -> None:
        dollars = self.draw.randint(1, 10)
        await self.till.spend(self.account, dollars)
        self.spent += dollars

    async def ask(self) -> None:
        if payments := await self.till.payments(self.account):
            cents = self.draw.choice([None, self.draw.randint(1, 2500)])
            await self.till.ask(self.account, self.draw.choice(payments), cents and cents / 100)

    async def carry_out(self) -> None:
        for row in await self.till.refunds(self.account):
            if row.status in HELD:
                await self.till.step(row)

    async def look(self) -> None:
        await self.till.apply(self.draw.choice(self.intents))

    async def refund_there(self) -> None:
        self.till.bank.refund(self.draw.choice(self.intents), self.draw.choice([None, self.draw.randint(1, 1500)]))

    async def settle_there(self) -> None:
        if mine := [one for one in self.till.bank.truth().refunds if one["payment_intent"] in self.intents]:
            self.till.bank.settle_refund(self.draw.choice(mine)["id"], ok=self.draw.random() < 0.5)

    async def dispute_there(self) -> None:
        self.till.bank.dispute(self.draw.choice(self.intents), inquiry=self.draw.random() < 0.4)

    async def decide_there(self) -> None:
        if mine := [one for one in self.till.bank.truth().disputes if one["payment_intent"] in self.intents]:
            chosen = self.draw.choice(mine)["id"]
            if self.draw.random() < 0.3:
                self.till.bank.escalate(chosen)
            else:
                self.till.bank.close_dispute(chosen, won=self.draw.random() < 0.5)

    async def lose_an_answer(self) -> None:
        kind = self.draw.choice(FAULTS)
        mode = "drop" if kind == "timeout_after_success" else "truncated" if kind == "malformed" else ""
        self.till.sandbox.faults.add(Fault(kind, operation="stripe.create_refund", mode=mode))

    async def rest(self) -> None:
        self.till.sandbox.faults.clear()
        for _ in range(2):
            self.till.later(hours=2)
            await self.carry_out()
            for intent in self.intents:
                await self.till.apply(intent)


def worth(truth: Any) -> int:
    """What a payment may be worth to its wallet at least: nobody owes more than he brought in."""
    return max(0, truth.kept) * 10_000


@pytest.mark.parametrize("seed", range(12))
async def test_the_wallet_agrees_with_stripe_in_the_end(till, account, seed):
    walk = Walk(till, account, seed)
    await walk.go(22)
    await walk.rest()
    mine = [one for one in till.bank.truth().payments if one.id in walk.intents]
    balance = await till.balance(account)
    assert balance.reserved == 0
    assert balance.available - balance.owed == sum(map(worth, mine)) - walk.spent * 1_000_000
    standing = {
        row.payment_intent_id: row.credited - row.refunded - row.disputed for row in await till.payments(account)
    }
    assert standing == {one.id: worth(one) for one in mine}
    before = await till.transfers(account)
    for intent in walk.draw.sample(walk.intents, len(walk.intents)):
        await till.apply(intent)
    assert await till.transfers(account) == before


async def test_the_api_applies_what_the_worker_applies(till, account, api_db):
    api = replace(till, tools=replace(till.tools, db=api_db))
    intent = await till.pay(account)
    till.bank.refund(intent, 500)
    till.bank.dispute(intent, amount=1000)
    assert (await api.apply(intent)).credited == 25_000_000
    assert (await till.apply(intent)).outcome == "unchanged"
    assert (await till.balance(account)).available == 10_000_000
