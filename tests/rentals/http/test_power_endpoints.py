"""Hibernation and the waitlist over HTTP."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app import wallet
from app.kit.ids import RentalId
from app.rentals import queries


@pytest.fixture
async def sleeper(new_caller, hand, worker_db):
    """Return a caller with a running rental that can hibernate, at 0.004 an hour."""
    caller = await new_caller()
    rental = await caller.rent(family="rtx-4090")
    await hand.start(caller, rental["id"])
    async with worker_db.begin_unscoped() as session:
        row = await queries.lock_rental(session, account_id=caller.account_id, rental_id=rental["id"])
        row.stopped_rate = 4_000
    return caller, rental["id"]


async def test_hibernate_is_accepted_once_and_told_in_rate_and_actions(sleeper, clock):
    caller, rental_id = sleeper
    shown = await caller.shown(rental_id)
    assert "hibernate" in shown["actions"]
    assert (shown["rate"]["running_per_hour"], shown["rate"]["stopped_per_hour"]) == ("0.364", "0.004")
    clock.advance(100)
    first = await caller.post(f"/v1/rentals/{rental_id}/hibernate", key="once")
    again = await caller.post(f"/v1/rentals/{rental_id}/hibernate", key="once")
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert first.json() == again.json()
    assert (first.json()["status"], first.json()["actions"]) == ("hibernating", ["stop"])
    clock.advance(100)
    assert (await caller.shown(rental_id))["cost"]["billed_seconds"] == 100
    assert (await caller.post(f"/v1/rentals/{rental_id}/resume")).json()["code"] == "invalid_state"


async def test_resume_needs_an_hour_and_says_how_much_is_missing(sleeper, clock, worker_db):
    caller, rental_id = sleeper
    await caller.post(f"/v1/rentals/{rental_id}/hibernate")
    await _asleep(worker_db, caller, rental_id, clock)
    shown = await caller.shown(rental_id)
    assert (shown["status"], shown["rate"]["per_hour"], shown["reserve"]["held"]) == ("hibernated", "0.004", "0.004")
    assert shown["actions"] == ["resume", "stop"]
    meter = (await caller.get(f"/v1/rentals/{rental_id}/meter")).json()
    assert meter["rate_per_hour"] == "0.004"

    async with worker_db.begin_unscoped() as session:
        await wallet.claw_back(
            session,
            account_id=caller.account_id,
            amount=9_900_000,
            reference="x",
            reason="x",
            actor="op",
            at=clock.now(),
        )
    refused = await caller.post(f"/v1/rentals/{rental_id}/resume", key="again")
    assert (refused.status_code, refused.json()["code"]) == (402, "insufficient_balance")
    assert refused.json()["required"] == "0.36"
    assert refused.json()["auto_topup"] == {"state": "off"}
    async with worker_db.begin_unscoped() as session:
        await wallet.credit_adjustment(
            session,
            account_id=caller.account_id,
            amount=1_000_000,
            reference="y",
            reason="y",
            actor="op",
            at=clock.now(),
        )
    resumed = await caller.post(f"/v1/rentals/{rental_id}/resume", key="again")
    assert (resumed.status_code, resumed.json()["stage"]) == (202, "resuming")
    assert resumed.json()["rate"]["per_hour"] == "0.364"


async def test_what_cannot_hibernate_is_refused_with_advice(new_caller, hand):
    caller = await new_caller()
    rental = await caller.rent(family="rtx-4090")
    early = await caller.post(f"/v1/rentals/{rental['id']}/hibernate")
    assert early.json()["code"] == "invalid_state"
    await hand.start(caller, rental["id"])
    refused = await caller.post(f"/v1/rentals/{rental['id']}/hibernate")
    assert (refused.status_code, refused.json()["code"]) == (409, "invalid_state")
    assert "providers" in refused.json()["suggestion"]
    assert (await caller.shown(rental["id"]))["actions"] == ["stop", "extend", "report"]


async def test_strangers_learn_nothing(sleeper, new_caller):
    _, rental_id = sleeper
    stranger = await new_caller()
    for deed in ("hibernate", "resume"):
        assert (await stranger.post(f"/v1/rentals/{rental_id}/{deed}")).status_code == 404
    reader = await new_caller(scopes={"rentals:read"})
    assert (await reader.post(f"/v1/rentals/{rental_id}/hibernate")).status_code == 403


async def test_a_wish_may_wait_with_an_hour_at_its_ceiling_held(new_caller, clock):
    caller = await new_caller()
    wish = {"family": "rtx-4090", "max_price_per_hour": "0.30", "wait_seconds": 3600}
    rental = await caller.rent(**wish)
    assert (rental["status"], rental["stage"], rental["provider"], rental["region"]) == ("queued", None, None, None)
    assert (rental["reserve"]["held"], rental["rate"]["per_hour"]) == ("0.30", "0.30")
    shown = await caller.shown(rental["id"])
    assert shown == rental
    listed = (await caller.get("/v1/rentals", params={"status": "queued", "family": "rtx-4090"})).json()["data"]
    assert [one["id"] for one in listed] == [rental["id"]]
    assert shown["queued_until"] == (clock.now() + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    events = (await caller.get(f"/v1/rentals/{rental['id']}/events")).json()["data"]
    assert [event["type"] for event in events] == ["rental.queued"]
    stopped = await caller.post(f"/v1/rentals/{rental['id']}/stop")
    assert stopped.json()["status"] == "stopped"


async def test_who_waits_for_any_gpu_with_enough_memory_has_no_family_yet(new_caller):
    caller = await new_caller()
    rental = await caller.rent(min_vram_gb=70, max_price_per_hour="0.30", wait_seconds=3600)
    assert (rental["status"], rental["family"]) == ("queued", None)
    assert (await caller.shown(rental["id"]))["family"] is None


async def test_a_wish_that_something_fits_does_not_wait(new_caller):
    caller = await new_caller()
    rental = await caller.rent(family="rtx-4090", max_price_per_hour="0.40", wait_seconds=3600)
    assert (rental["status"], rental["queued_until"], rental["rate"]["per_hour"]) == ("provisioning", None, "0.364")


@pytest.mark.parametrize(
    "wish",
    [
        {"family": "rtx-4090", "wait_seconds": 3600},
        {"family": "rtx-4090", "max_price_per_hour": "0.30", "wait_seconds": 59},
        {"family": "rtx-4090", "max_price_per_hour": "0.30", "wait_seconds": 604_801},
    ],
)
async def test_a_wait_has_a_ceiling_and_an_end(new_caller, wish):
    caller = await new_caller()
    assert (await caller.post("/v1/rentals", wish)).status_code == 422


async def _asleep(db, caller, rental_id, clock):
    """The machine is seen to be off."""
    at, account_id, rental_id = clock.now(), caller.account_id, RentalId(rental_id)
    async with db.begin_unscoped() as session:
        await wallet.lock(session, account_id=account_id)
        row = await queries.lock_rental(session, account_id=account_id, rental_id=rental_id)
        attempt = await queries.lock_attempt(session, account_id=account_id, rental_id=rental_id, number=1)
        await wallet.change_rate(session, account_id=account_id, rental_id=rental_id, rate=4_000, at=at)
        await wallet.start(session, account_id=account_id, rental_id=rental_id, at=at)
        row.status, row.next_at, row.hibernated_at, attempt.status = "hibernated", None, at, "hibernated"
