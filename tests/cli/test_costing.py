"""Costs, margins and a day beside the clouds' books, asked for by the operator."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from app.cli import costing
from app.cli.errors import CliError, Exit, UsageError
from app.kit.db import driver
from app.sandbox import Sandbox, SandboxConfig
from app.sandbox.faults import Fault
from app.settings import Settings

END = datetime(2026, 3, 1, 12, tzinfo=UTC)
_COST = """
INSERT INTO machine_costs (provider, machine_id, marker, price, began_at, ran_from, ended_at, state, micros, exact, tries)
VALUES ('vast', $1, 'hg-x', 500000, $2, $2, $3, 'final', $4, $5, 1)
"""


@pytest.fixture
async def sandbox():
    opened = await Sandbox.start(SandboxConfig(price_step_seconds=0))
    yield opened
    await opened.aclose()


@pytest.fixture
def settings(sandbox, fresh_databases, tmp_path):
    return Settings(
        home=tmp_path,
        secret="a secret that is long enough for settings",
        database_url_worker=fresh_databases.urls.worker,
        vast_api_key=sandbox.config.vast_key,
        vast_url=sandbox.url,
        lambda_api_key=sandbox.config.lambda_key,
        lambda_url=sandbox.url,
    )


async def cost(databases, machine_id, micros, *, exact):
    async with databases.worker.begin_unscoped() as session:
        began = END - timedelta(hours=1)
        await driver(session).execute(_COST, machine_id, began, END, micros, exact)


async def test_costs_are_summed_by_cloud_over_days(settings, fresh_databases):
    await cost(fresh_databases, "1", 1_250_000, exact=True)
    await cost(fresh_databases, "2", 400_000, exact=False)
    told = await costing.sum_costs(settings, since="2026-03-01", until="2026-03-01")
    assert told == {
        "from": "2026-03-01",
        "to": "2026-03-01",
        "providers": [
            {
                "provider": "vast",
                "machines": 2,
                "exact": "1.25",
                "estimated": "0.40",
                "total": "1.65",
                "orphans": "1.65",
                "open": 0,
            }
        ],
        "total": "1.65",
        "orphans": "1.65",
        "open": 0,
    }
    assert (await costing.sum_costs(settings, since="2026-03-02", until=""))["providers"] == []


async def test_what_orphans_cost_is_taken_from_what_is_left(settings, fresh_databases):
    await cost(fresh_databases, "1", 1_250_000, exact=True)
    told = await costing.list_margins(settings, since="2026-03-01", until="2026-03-01", by="rental", limit=10)
    assert (told["margins"], told["all"], told["left"]) == ([], None, "-1.25")
    assert told["orphans"] == {"machines": 1, "cost": "1.25"}


async def test_a_day_is_laid_beside_every_clouds_books(settings, sandbox):
    told = await costing.reconcile_costs(settings, day="2026-03-01", provider=None)
    assert told["ok"]
    assert told["providers"]["lambda"] == {"books": False}
    assert told["providers"]["vast"]["machines"] == 0
    assert json.dumps(told)
    sandbox.faults.add(Fault("server_error", "charges", times=None))
    with pytest.raises(CliError, match="Nothing was concluded") as error:
        await costing.reconcile_costs(settings, day="2026-03-01", provider="vast")
    assert error.value.exit_code == Exit.PROVIDER


@pytest.mark.parametrize("day", ["2026-3-1", "2026-03", "2026-02-30", "yesterday", "20260301", "9999-12-31"])
async def test_what_is_no_day_or_not_over_is_refused(settings, day):
    with pytest.raises(UsageError):
        await costing.reconcile_costs(settings, day=day, provider=None)


async def test_what_there_is_not_is_refused(settings):
    with pytest.raises(CliError, match="nimbus is not set up here; there are: "):
        await costing.reconcile_costs(settings, day="", provider="nimbus")
    with pytest.raises(UsageError, match="not by planet"):
        await costing.list_margins(settings, since="", until="", by="planet", limit=1)
    with pytest.raises(UsageError, match="is before"):
        await costing.sum_costs(settings, since="2026-03-02", until="2026-03-01")
