"""Days on which everything may go wrong. A seed tells a day, and tells it again exactly.

``HOURGLASS_SEEDS="4 17"`` lives these days instead, and with ``HOURGLASS_DAYS=small`` or ``full`` longer ones; what a
failure prints names the seed, its day's size and all that it drew.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from app.rentals import PlatformKey
from tests.simulation.living import Lived, live
from tests.simulation.options import FULL, SMALL, TINY, Size

TOLD = [int(seed) for seed in os.environ.get("HOURGLASS_SEEDS", "").split()]
SIZE = {"tiny": TINY, "small": SMALL, "full": FULL}[os.environ.get("HOURGLASS_DAYS", "tiny")]
SEEDS = TOLD or range(44, 64)
"""Twenty short days of everybody's tests, that have most of what may happen between them."""
MORE_SEEDS = range(1, 41)
FULL_SEEDS = range(1001, 1201)

SOMETIMES = (
    "placement.running",
    "placement.outcome_unknown",
    "placement.no_capacity",
    "placement.gpu_mismatch",
    "placement.provider_error",
    "destroying.gone",
    "destroying.never_was",
    "destroying.verifying",
    "watching.lost",
    "watching.doubted",
    "watching.interrupted",
    "ending.max_duration",
    "ending.max_spend",
    "sweeping.clean",
    "worker.died",
    "worker.froze",
    "accident.vanish",
    "accident.silence",
    "accident.preempt",
    "outage.began",
    "request.InsufficientBalance",
    "fault.timeout_after_success",
    "fault.malformed",
    "fault.rate_limited",
    "fault.lists_late",
    "line.lost_before",
    "line.lost_after",
    "hibernate.acknowledged",
    "resume.acknowledged",
    "hibernating.hibernated",
    "dormant.well",
    "placement.awake",
    "waiting.expired",
    "costs.fetching.exact",
    "costs.reconciling.agrees",
    "tending.log",
    "ran on vast",
    "ran on lambda",
    "ran on runpod",
    "ran on hyperstack",
    "ran on manual",
    "ran on modal",
)
"""Over the short days each of these must have happened: a trouble that never comes shows nothing."""
SOONER_OR_LATER = (
    *SOMETIMES,
    "api.died",
    "waiting.placed",
    "fault.delete_fails",
    "line.delayed",
    "line.unreachable",
    "hibernated on runpod",
    "hibernated on vast",
)
"""Over the many."""


@pytest.mark.timeout(900)
async def test_whatever_happens_in_a_day_all_comes_to_rest_and_every_sentence_holds(
    open_databases: Any, platform_key: PlatformKey
) -> None:
    seen = await _live_well(SEEDS, SIZE, open_databases, platform_key)
    if not TOLD:
        assert [what for what in SOMETIMES if not seen[what]] == []


@pytest.mark.soak
async def test_over_many_days_everything_happens(open_databases: Any, platform_key: PlatformKey) -> None:
    seen = await _live_well(MORE_SEEDS, SMALL, open_databases, platform_key)
    assert [what for what in SOONER_OR_LATER if not seen[what]] == []


@pytest.mark.timeout(900)
async def test_a_seed_tells_the_same_day_again(open_databases: Any, platform_key: PlatformKey) -> None:
    once, again = await _live_all([SEEDS[0]] * 2, replace(TINY, hours=0.05), open_databases, platform_key)
    assert once.trace == again.trace
    assert len(once.trace) > 100


@pytest.mark.soak
@pytest.mark.parametrize("seed", FULL_SEEDS)
async def test_a_full_day(seed: int, open_databases: Any, platform_key: PlatformKey) -> None:
    [day] = await _live_all([seed], FULL, open_databases, platform_key)
    assert not day.wrong, day.report


async def _live_well(seeds: Sequence[int], size: Size, open_databases: Any, key: PlatformKey) -> Counter[str]:
    """Live these days, all of which must go well, and return what happened in them."""
    days = await _live_all(seeds, size, open_databases, key)
    if wrong := [day.report for day in days if day.wrong]:
        pytest.fail("\n\n".join(wrong), pytrace=False)
    return sum((day.seen for day in days), Counter())


async def _live_all(seeds: Sequence[int], size: Size, open_databases: Any, key: PlatformKey) -> list[Lived]:
    days = []
    for seed in seeds:
        async with open_databases() as databases:
            days.append(await live(seed, size, databases, key))
    return days
