"""A rental that is refused for want of money asks the card, and the refusal says what came of it."""

from __future__ import annotations

import asyncio

import pytest

from app import refills, wallet
from app.refills import Card, Consent, Mode, Terms

DOLLAR = 1_000_000
H100 = {"family": "h100"}
"""2.804 dollars an hour, its disk included."""


@pytest.fixture
def set_rule(worker_db, at):
    async def setting(account, *, threshold=5, amount=5, cap=100):
        terms = Terms(Mode.FIXED, threshold * DOLLAR, amount * DOLLAR, None, cap * DOLLAR)
        async with worker_db.begin_unscoped() as session:
            await refills.configure(
                session,
                account_id=account,
                terms=terms,
                card=Card("pm_1", "f-1"),
                consent=Consent("v1", at, "test"),
                at=at,
            )
            await wallet.watch(session, account_id=account)

    return setting


@pytest.fixture
def attempts_of(worker_db):
    async def listing(account):
        async with worker_db.begin_unscoped() as session:
            return await refills.list_attempts(session, account_id=account, before=None, limit=100)

    return listing


async def test_a_refusal_asks_the_card_and_names_the_attempt(new_caller, set_rule, attempts_of):
    poor = await new_caller(micros=DOLLAR)
    await set_rule(poor.account_id)
    answer = await poor.post("/v1/rentals", H100)
    assert (answer.status_code, answer.json()["code"]) == (402, "insufficient_balance")
    [attempt] = await attempts_of(poor.account_id)
    assert answer.json()["auto_topup"] == {"state": "active", "attempt_id": attempt.id, "amount": "5.00"}
    assert attempt.trigger == "insufficient_balance"
    again = await poor.post("/v1/rentals", H100)
    assert again.json()["auto_topup"] == answer.json()["auto_topup"]
    assert len(await attempts_of(poor.account_id)) == 1


async def test_the_charge_covers_what_was_refused(new_caller, set_rule, attempts_of):
    poor = await new_caller(micros=DOLLAR)
    await set_rule(poor.account_id, threshold=2, amount=1)
    await poor.post("/v1/rentals", H100)
    [attempt] = await attempts_of(poor.account_id)
    assert attempt.amount == 2 * DOLLAR


async def test_without_a_rule_the_refusal_says_that_it_is_off(new_caller):
    poor = await new_caller(micros=DOLLAR)
    assert (await poor.post("/v1/rentals", H100)).json()["auto_topup"] == {"state": "off"}


async def test_a_rule_that_may_not_charge_says_why(new_caller, set_rule, attempts_of):
    poor = await new_caller(micros=DOLLAR)
    await set_rule(poor.account_id, cap=4)
    assert (await poor.post("/v1/rentals", H100)).json()["auto_topup"] == {"state": "capped"}
    assert await attempts_of(poor.account_id) == []


async def test_a_refusal_above_the_threshold_charges_nothing(new_caller, set_rule, attempts_of):
    modest = await new_caller(micros=2 * DOLLAR)
    await set_rule(modest.account_id, threshold=1)
    told = (await modest.post("/v1/rentals", H100)).json()
    assert told["auto_topup"] == {"state": "active", "because": "above_threshold"}
    assert await attempts_of(modest.account_id) == []


async def test_twenty_refusals_at_once_ask_once(new_caller, set_rule, attempts_of):
    poor = await new_caller(micros=DOLLAR)
    await set_rule(poor.account_id)
    answers = await asyncio.gather(*(poor.post("/v1/rentals", H100) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {402}
    assert len({answer.json()["auto_topup"]["attempt_id"] for answer in answers}) == 1
    assert len(await attempts_of(poor.account_id)) == 1


async def test_a_refusal_for_another_reason_asks_nothing(new_caller, set_rule, attempts_of):
    poor = await new_caller(micros=DOLLAR)
    await set_rule(poor.account_id)
    answer = await poor.post("/v1/rentals", {"family": "b300"})
    assert answer.status_code == 409
    assert "auto_topup" not in answer.json()
    assert await attempts_of(poor.account_id) == []
