"""Handling what Stripe told."""

from __future__ import annotations

from collections import Counter

from tests.topups.events.worlds import CENT


async def test_a_deposit_is_credited_once_by_any_of_its_events(world):
    account = await world.account()
    await world.paid(account, 2500)
    await world.tell(*world.events(), *world.events())
    assert await world.handle()
    assert await world.money(account) == (2500 * CENT, 0, 0)
    assert await world.ledger(account) == [("deposit", 2500 * CENT, "pay")]
    assert {row["state"] for row in (await world.rows()).values()} == {"done"}
    assert await world.handle() == Counter()
