"""A hard budget ends a rental and gives its machine back, whoever slept meanwhile; what is new is refused."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from app import policies
from app.kit.ids import AccountId
from app.policies import OnExceeded, Terms
from app.policies.setting import lock_policy, set_terms
from app.rentals import invariants
from app.rentals.reconcilers import ending
from app.wallet import invariants as wallet_invariants


async def limit(stage: Any, account: AccountId, **terms: Any) -> None:
    async with stage.databases.worker.begin_unscoped() as session:
        before = await lock_policy(session, account_id=account, subject=account)
        hard = Terms(on_budget_exceeded=OnExceeded.STOP_ALL, **terms)
        await set_terms(session, before, hard, account_id=account, actor="test", at=stage.clock.now())


async def test_a_budget_ends_a_rental_at_its_very_second_and_its_machine_is_given_back(stage: Any, rich: Any) -> None:
    account = await rich()
    made = await stage.request(account)
    rental = await stage.until_status(made.rental_id, "running")
    await limit(stage, account, monthly_budget_micros=made.rate * 2)
    stage.clock.advance(20 * 3600)  # nobody settled, nobody looked

    assert (await stage.run(ending)) == {"budget_exceeded": 1}
    await stage.until_rest()

    rental = await stage.rental(made.rental_id)
    assert (rental.status, rental.end_reason) == ("stopped", "budget_exceeded")
    assert timedelta(hours=2, seconds=-1) <= rental.ended_at - rental.running_at <= timedelta(hours=2)
    spent = 50_000_000 - (await stage.balance(account)).available
    assert made.rate * 7199 // 3600 <= spent <= made.rate * 2
    assert stage.alive() == []
    async with stage.databases.worker.begin_unscoped() as session:
        assert await invariants.broken(session) == {}
        assert await wallet_invariants.broken(session, account_id=account) == []


async def test_who_stops_a_rental_that_its_budget_ended_pays_nothing_beyond(stage: Any, rich: Any) -> None:
    account = await rich()
    made = await stage.request(account)
    await stage.until_status(made.rental_id, "running")
    await limit(stage, account, daily_budget_micros=made.rate)
    stage.clock.advance(3600 * 2)

    rental = await stage.stop(account, made.rental_id)

    assert rental.end_reason == "user"
    assert rental.ended_at <= rental.running_at + timedelta(hours=1)
    assert 50_000_000 - (await stage.balance(account)).available <= made.rate
    await stage.until_rest()


async def test_a_rental_that_begins_is_capped_by_what_the_others_leave(stage: Any, rich: Any) -> None:
    account = await rich()
    await limit(stage, account, monthly_budget_micros=4_000_000)
    first = await stage.request(account)
    await stage.until_status(first.rental_id, "running")
    second = await stage.request(account)
    await stage.until_status(second.rental_id, "running")
    stage.clock.advance(24 * 3600)

    assert (await stage.run(ending)) == {"budget_exceeded": 2}
    await stage.until_rest()

    spent = 50_000_000 - (await stage.balance(account)).available
    assert 4_000_000 - first.rate // 600 <= spent <= 4_000_000
    async with stage.databases.worker.begin_unscoped() as session:
        [policy] = await policies.get_policies(session, account_id=account, subjects=[account])
    assert policy.terms.monthly_budget_micros == 4_000_000
