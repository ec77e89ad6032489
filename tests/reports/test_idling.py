"""Idle waste: which GPUs did nothing, for how long, and what that cost."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import insert

from app.kit.ids import UserId
from app.rentals.models import GpuUseRow
from tests.reports.ground import day

URL = "/v1/reports/idle"
NOON = day("2026-03-01", hours=12)


async def watched(books, ran, *, gpu=0, of="2026-03-01", seconds, idle, percent=0):
    values = {"account_id": books.account, "rental_id": ran.id, "gpu": gpu, "day": day(of).date(), "samples": 1,
              "seconds": seconds, "idle_seconds": idle, "percent_seconds": percent * seconds, "last_percent": percent,
              "sampled_at": day(of)}  # fmt: skip
    async with books.db.begin_unscoped() as session:
        await session.execute(insert(GpuUseRow).values(**values))


@pytest.fixture
async def idle(books):
    """Eight GPUs for $8 an hour of which two idled an hour, and one for $3.60 that idled ten minutes on each of two days."""
    team, mine = await books.team("research", NOON), UserId.new()
    large = await books.rent(NOON, rate=8_000_000, gpus=8, family="h100-80gb", team_id=team, name="train")
    small = await books.rent(NOON, rate=3_600_000, user_id=mine)
    for gpu in range(8):
        await watched(
            books, large, gpu=gpu, seconds=3600, idle=3600 if gpu in {2, 5} else 0, percent=3 if gpu == 2 else 97
        )
    for of in ("2026-03-01", "2026-03-02"):
        await watched(books, small, of=of, seconds=1800, idle=600, percent=50)
    return team, mine, large, small


async def test_idleness_costs_the_rate_by_gpu(books, idle, client_for):
    _, _, large, small = idle
    client = await client_for(books.account, "teams:read")
    told = (await client.get(URL, params={"since": "2026-03-01", "until": "2026-03-03"})).json()
    assert (told["watched_gpu_seconds"], told["idle_gpu_seconds"], told["idle_cost"]) == (32_400, 8_400, "3.20")
    assert [(one["rental_id"], one["idle_cost"]) for one in told["rentals"]] == [(large.id, "2.00"), (small.id, "1.20")]
    assert [gpu["idle_seconds"] for gpu in told["rentals"][0]["gpus"]] == [0, 0, 3600, 0, 0, 3600, 0, 0]
    assert [gpu["mean_percent"] for gpu in told["rentals"][0]["gpus"]][1:4] == [97, 3, 97]
    assert told["idle_percent"] == 5


async def test_only_the_days_that_are_asked_for_count_and_what_is_not_shown_is_in_the_sums(books, idle, client_for):
    client = await client_for(books.account, "teams:read")
    told = (await client.get(URL, params={"since": "2026-03-01", "until": "2026-03-02", "limit": 1})).json()
    assert (told["idle_cost"], told["rental_count"], len(told["rentals"])) == ("2.60", 2, 1)


async def test_who_reaches_a_team_sees_its_gpus_alone(books, idle, client_for, clock):
    team, mine, large, small = idle
    clock.at = NOON + timedelta(days=1)
    for reach, person, seen in (
        ({team}, UserId.new(), [large.id]),
        (set(), mine, [small.id]),
        (set(), UserId.new(), []),
    ):
        client = await client_for(books.account, reach=frozenset(reach), user_id=person, key_id=None)
        told = (await client.get(URL)).json()
        assert [one["rental_id"] for one in told["rentals"]] == seen
        assert told["coverage"] == "reach"
