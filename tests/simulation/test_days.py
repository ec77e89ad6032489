"""Days on which everything may go wrong. A seed tells a day, and tells it again exactly.

``HOURGLASS_SEEDS="4 17"`` lives these days instead; what a failure prints names the seed and all that it drew.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from app.rentals import PlatformKey
from tests.simulation.living import Lived, live
from tests.simulation.options import FULL, SMALL, Size

SEEDS = [int(seed) for seed in os.environ.get("HOURGLASS_SEEDS", "").split()] or list(range(1, 21))
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
    "api.died",
    "accident.vanish",
    "accident.silence",
    "accident.preempt",
    "outage.began",
    "request.InsufficientBalance",
    "fault.timeout_after_success",
    "fault.malformed",
    "fault.rate_limited",
    "fault.lists_late",
    "fault.delete_fails",
    "line.lost_before",
    "line.lost_after",
)
"""Over all days each of these must have happened: a trouble that never comes shows nothing."""


@pytest.mark.timeout(900)
@pytest.mark.parametrize("half", [0, 1])
async def test_whatever_happens_in_a_day_all_comes_to_rest_and_every_sentence_holds(
    half: int, open_databases: Any, platform_key: PlatformKey
) -> None:
    seeds = SEEDS[half::2]
    days = await _live_all(seeds, SMALL, open_databases, platform_key)
    if wrong := [day.report for day in days if day.wrong]:
        pytest.fail("\n\n".join(wrong), pytrace=False)
    if len(SEEDS) > 1:
        seen = sum((day.seen for day in days), Counter())
        assert [what for what in SOMETIMES if not seen[what]] == []


async def test_a_seed_tells_the_same_day_again(open_databases: Any, platform_key: PlatformKey) -> None:
    once, again = await _live_all([SEEDS[0]] * 2, SMALL, open_databases, platform_key)
    assert once.trace == again.trace
    assert len(once.trace) > 100


@pytest.mark.soak
@pytest.mark.parametrize("seed", FULL_SEEDS)
async def test_a_full_day(seed: int, open_databases: Any, platform_key: PlatformKey) -> None:
    [day] = await _live_all([seed], FULL, open_databases, platform_key)
    assert not day.wrong, day.report


async def _live_all(seeds: Sequence[int], size: Size, open_databases: Any, key: PlatformKey) -> list[Lived]:
    days = []
    for seed in seeds:
        async with open_databases() as databases:
            days.append(await live(seed, size, databases, key))
    return days
