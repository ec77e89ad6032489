"""The operator's commands for the catalog, as they are typed."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta

import pytest
from typer.testing import CliRunner

from app import catalog
from app.cli.commands import app
from app.cli.errors import Exit
from app.kit.clock import SystemClock
from app.providers.contract import Capability

VAST = Capability(
    "vast", "Vast.ai", "api", "instance", "stop", spot=True, interruption="outbid", hibernate=False, stop=True,
    billing_granularity_seconds=1, min_commitment_seconds=0, marker_max_length=256, realised_cost="exact",
)  # fmt: skip


@pytest.fixture
async def run(fresh_databases, tmp_path):
    """Run one command in this process, on a database that knows Vast."""
    async with fresh_databases.worker.begin_unscoped() as session:
        await catalog.register_providers(session, [VAST])
    given = {
        "HOURGLASS_HOME": str(tmp_path),
        "HOURGLASS_SECRET": "a secret that is long enough for settings",
        "DATABASE_URL_WORKER": fresh_databases.urls.worker,
    }

    async def running(*arguments):
        return await asyncio.to_thread(CliRunner().invoke, app, ["admin", *arguments], env=given)

    return running


async def test_a_host_is_kept_back_shown_and_released(run):
    added = await run("quarantine", "add", "vast", "77", "--reason", "wrong memory", "--days", "3")
    assert added.exit_code == 0, added.exception
    (host,) = json.loads((await run("quarantine", "list", "--json")).stdout)["data"]
    assert (host["provider"], host["host_id"], host["reason"], host["listings"]) == ("vast", "77", "wrong memory", 0)
    assert "wrong memory" in (await run("quarantine", "list")).stdout
    assert (await run("quarantine", "release", "vast", "77", "--json")).exit_code == 0
    assert (await run("quarantine", "list")).stdout == "No host is in quarantine.\n"


async def test_a_host_that_nobody_knows_is_refused(run):
    unknown = await run("quarantine", "add", "vaast", "77", "--reason", "a slip")
    assert (unknown.exception.exit_code, "There are: vast." in str(unknown.exception)) == (Exit.NOT_FOUND, True)
    assert (await run("quarantine", "release", "vast", "78")).exception.exit_code == Exit.NOT_FOUND


async def test_days_past_are_loaded_from_a_file(run, tmp_path, fresh_databases):
    day = SystemClock().now() - timedelta(days=2)
    file = tmp_path / "medians.csv"
    file.write_text(
        "date,provider,gpu,rental_type,usd_per_gpu_hour\n"
        f"{day:%Y-%m-%d},Vast.ai,RTX 4090,spot,0.20\n{day:%Y-%m-%d},Vast.ai,Voodoo 2,spot,0.20\n"
    )
    told = await run("load-prices", str(file), "--json")
    assert json.loads(told.stdout) == {"points": 1, "lines": 1, "left_out": {"unknown_family": 1}}
    async with fresh_databases.api.begin_unscoped() as session:
        wanted = catalog.PricesWanted(family="rtx-4090", since=day - timedelta(days=1), until=day)
        (point,) = await catalog.list_prices(session, wanted)
    assert (point.provider, point.min_micros) == ("vast", 200_000)
    file.write_text("nothing of the kind")
    assert (await run("load-prices", str(file))).exception.exit_code == Exit.USAGE
    file.write_bytes(b"\xff\xfe")
    assert (await run("load-prices", str(file))).exception.exit_code == Exit.USAGE
