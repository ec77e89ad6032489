"""Comparing with Stripe by hand."""

from __future__ import annotations

import pytest

from app.cli.errors import CliError, Exit, UsageError
from app.cli.reconciling import reconcile, revive_events
from app.kit.db import driver
from app.sandbox.faults import Fault
from app.settings import Settings
from tests.topups.events.worlds import CENT, DEPLOYMENT, closed, opened_world


@pytest.fixture
async def world(fresh_databases):
    opened = await opened_world(fresh_databases)
    yield opened
    await closed(opened)


@pytest.fixture
def settings(world, fresh_databases, tmp_path):
    return Settings(
        home=tmp_path,
        secret="a secret that is long enough for settings",
        database_url_worker=fresh_databases.urls.worker,
        stripe_api_key="sk_test_sandbox",
        stripe_url=world.sandbox.url,
        deployment=DEPLOYMENT,
    )


async def test_a_day_that_nobody_told_of_is_mended_and_reported(world, settings):
    account = await world.account()
    await world.paid(account, 2500)
    report = await reconcile(settings, over=f"{world.clock.now():%Y-%m-%d}")
    assert (report["ok"], report["checked"]) == (True, {"payment": 1})
    assert [(found["theirs"], found["mended"]) for found in report["differences"]] == [("25.00", True)]
    assert await world.money(account) == (2500 * CENT, 0, 0)
    assert (await reconcile(settings, over=f"{world.clock.now():%Y-%m-%d}"))["differences"] == []


async def test_a_month_rolls_forward(world, settings):
    account = await world.account(micros=7_000_000)
    assert account
    report = await reconcile(settings, over=f"{world.clock.now():%Y-%m}")
    assert (report["opening"], report["flows"], report["closing"]) == ("0.00", {"adjustment_credit": "7.00"}, "7.00")


async def test_without_a_day_yesterday_is_meant(settings):
    assert (await reconcile(settings, over=""))["ok"]


@pytest.mark.parametrize("over", ["yesterday", "2026-13", "2026-02-30", "20260301", "9999-12-31", "9998-01"])
async def test_what_is_no_day_or_not_over_is_refused(settings, over):
    with pytest.raises(UsageError):
        await reconcile(settings, over=over)


async def test_nothing_is_concluded_while_stripe_does_not_answer(world, settings):
    world.sandbox.faults.add(Fault("server_error", "*", times=None, provider="stripe"))
    with pytest.raises(CliError) as told:
        await reconcile(settings, over="2026-03-10")
    assert told.value.exit_code == Exit.PROVIDER


async def test_days_need_a_stripe(settings):
    with pytest.raises(CliError, match="STRIPE_API_KEY"):
        await reconcile(settings.changed(stripe_api_key=None), over="2026-03-10")


async def test_events_that_were_given_up_are_taken_up_again(world, settings):
    account = await world.account()
    await world.paid(account, 2500)
    await world.tell(*world.events())
    async with world.tools.db.begin_unscoped() as session:
        await driver(session).execute("UPDATE stripe_events SET state = 'dead'")
    assert await revive_events(settings) == len(world.events())
    assert {row["state"] for row in (await world.rows()).values()} == {"new"}
