"""Whatever of Stripe's events is heard, in whatever order and however often, the same money stands in the end."""

from __future__ import annotations

import random
from collections import Counter

import pytest
import structlog
from hypothesis import HealthCheck, Phase, example, given, note, settings
from hypothesis import strategies as st

from tests.topups.events.histories import STEPS, Tally, begin
from tests.topups.events.worlds import closed, opened_world

HISTORIES, HISTORIES_SOAKED = 2, 400
TALLY, SOAKED = Tally(), Tally()
SETTINGS = settings(
    max_examples=HISTORIES,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@pytest.fixture(scope="module")
async def long_world(open_databases):
    """One world for all histories: each has an account and an hour of its own."""
    async with open_databases() as databases:
        opened = await opened_world(databases, stripe_settle_seconds=None)
        yield opened
        await closed(opened)
        for tally in (TALLY, SOAKED):
            structlog.get_logger("scenes").info("histories", tried=str(tally))


MANNERS = {
    "first": st.integers(100, 20_000),
    "steps": STEPS,
    "seed": st.integers(0, 2**32),
    "spent": st.integers(-100, 100),
}


async def run(world, tally, *, first, steps, seed, spent):
    """Let a history happen; a part of what is there is spent half-way, above zero."""
    note(f"{first=} {steps=} {seed=} {spent=}")
    history, rng = await begin(world, tally), random.Random(seed)
    await history.step("pay", first)
    for number, step in enumerate(steps):
        if number == len(steps) // 2 and spent > 0:
            await history.spend(spent)
        await history.step(*step)
    await history.catch_up(rng)
    await history.check()
    rows = await history.rows()
    if not history.spent:
        assert Counter((kind, amount) for kind, amount, _ in rows) == history.effects()
    await history.replay(rng)
    await history.check()
    assert await history.rows() == rows
    tally.histories += 1


EVERYTHING = [
    ("pay_by_bank", 5000), ("pay", 700), ("hear", 1), ("refund", 0, 40), ("refund", 0, 50), ("hear", 2), ("fail_refund", 0),
    ("settle", 0, True), ("dispute", 1, 100, False), ("hear", 3), ("close", 0, True), ("dispute", 2, 60, True),
    ("escalate", 0), ("hear", 4), ("close", 0, False), ("fail_refund", 0),
]  # fmt: skip
"""Every kind of thing that can happen, each at least once."""


@SETTINGS
@given(**MANNERS)
@example(first=2500, steps=EVERYTHING, seed=1, spent=0)
@example(first=2500, steps=EVERYTHING, seed=2, spent=90)
async def test_any_order_repetition_or_loss_of_events_ends_in_the_same_money(long_world, first, steps, seed, spent):
    await run(long_world, TALLY, first=first, steps=steps, seed=seed, spent=spent)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@settings(SETTINGS, max_examples=HISTORIES_SOAKED)
@given(**MANNERS)
async def test_any_order_repetition_or_loss_of_events_ends_in_the_same_money_at_length(
    long_world, first, steps, seed, spent
):
    await run(long_world, SOAKED, first=first, steps=steps, seed=seed, spent=spent)
