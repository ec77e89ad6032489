"""Renting under policies, over HTTP: what is refused, with which words, and that parallel requests share no budget."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from app import wallet
from app.kit.db import driver
from app.rentals import queries
from app.web.principal import SpendLimit
from tests.rentals.http.test_power_endpoints import _asleep as fall_asleep

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
async def team(ada, new_team):
    return await new_team(ada.account_id)


async def test_a_new_team_rents_two_4090s_and_no_third(ada, team):
    for _ in range(2):
        assert (await ada.rent(family="rtx-4090", team_id=team))["team_id"] == team
    refused = await ada.post("/v1/rentals", {"family": "rtx-4090", "team_id": team})
    assert refused.status_code == 403
    problem = refused.json()
    assert problem["code"] == "policy_violation"
    assert problem["detail"] == "Policy violation: Instance limit reached (2/2)"
    assert problem["binding_limit"] == {
        "subject": team, "limit": "max_instances", "value": "2", "used": "2", "asked": "1",
    }  # fmt: skip
    await ada.rent(family="rtx-4090")  # for no team: nothing but the account's own policy, which is none


async def test_a_gpu_off_the_whitelist_is_refused_by_its_name(ada, team):
    refused = await ada.post("/v1/rentals", {"family": "H100_SXM", "team_id": team})
    assert refused.status_code == 403
    assert refused.json()["detail"] == "Policy violation: GPU h100-80gb not in team whitelist"
    quoted = await ada.post("/v1/quotes", {"family": "h100-80gb", "team_id": team})
    assert quoted.status_code == 403


async def test_what_is_not_named_is_chosen_among_what_is_allowed(ada, team, set_policy):
    await set_policy(ada.account_id, team, gpu_whitelist=("h100-80gb",))
    made = await ada.rent(min_vram_gb=16, team_id=team)
    assert made["family"] == "h100-80gb"


async def test_no_offer_within_the_policy_is_told_apart_from_no_offer(ada, team, set_policy):
    await set_policy(ada.account_id, team, max_price_micros_per_hour=100_000)
    none_left = await ada.post("/v1/rentals", {"family": "rtx-4090", "team_id": team})
    assert none_left.status_code == 409
    assert none_left.json()["code"] == "no_matching_listings"
    assert none_left.json()["detail"] == "No offers matching policy constraints"
    none_at_all = await ada.post("/v1/rentals", {"family": "b200", "team_id": team})
    assert none_at_all.json()["detail"] == "Nothing on offer fits these filters."


async def test_regions_and_providers_narrow_what_is_rented(ada, team, set_policy):
    await set_policy(ada.account_id, team, allowed_regions=("SE",), allowed_providers=("north",))
    made = await ada.rent(family="rtx-4090", team_id=team)
    assert made["region"]["id"] == "se-lulea"
    elsewhere = await ada.post("/v1/rentals", {"family": "rtx-4090", "region": ["US"], "team_id": team})
    assert elsewhere.json()["detail"] == "No offers matching policy constraints"
    other = await ada.post("/v1/rentals", {"family": "rtx-4090", "providers": ["south"], "team_id": team})
    assert other.json()["detail"] == "Policy violation: Provider south not allowed by team policy"


async def test_a_quote_made_for_nobody_is_judged_when_it_is_used(ada, team):
    quote = (await ada.post("/v1/quotes", {"family": "h100-80gb"})).json()
    refused = await ada.post("/v1/rentals", {"quote_id": quote["id"], "team_id": team})
    assert refused.json()["detail"] == "Policy violation: GPU h100-80gb not in team whitelist"
    assert (await ada.post("/v1/rentals", {"quote_id": quote["id"]})).status_code == 202


async def test_a_rental_without_an_end_gets_the_policys(ada, team, set_policy):
    await set_policy(ada.account_id, team, max_duration_seconds=3600)
    made = await ada.rent(family="rtx-4090", team_id=team)
    assert made["limits"]["max_duration_seconds"] == 3600
    refused = await ada.post("/v1/rentals", {"family": "rtx-4090", "team_id": team, "max_duration_seconds": 7200})
    assert refused.json()["detail"] == "Policy violation: Duration of 7200 s above the team's maximum of 3600 s"
    for wish, told in ((7200, "of 7200 s"), (None, "without end")):
        longer = await ada.http.patch(f"/v1/rentals/{made['id']}", json={"max_duration_seconds": wish})
        assert longer.status_code == 403
        assert longer.json()["detail"] == f"Policy violation: Duration {told} above the team's maximum of 3600 s"
    assert (await ada.http.patch(f"/v1/rentals/{made['id']}", json={"max_duration_seconds": 1800})).status_code == 200


async def test_a_budget_covers_what_is_held_and_the_new_reserve(ada, team, set_policy):
    await set_policy(ada.account_id, team, daily_budget_micros=800_000)
    await ada.rent(family="rtx-4090", team_id=team)
    await ada.rent(family="rtx-4090", team_id=team)  # 0.728 of 0.80 held
    refused = await ada.post("/v1/rentals", {"family": "rtx-4090", "team_id": team})
    assert refused.status_code == 403
    problem = refused.json()
    assert problem["code"] == "budget_exceeded"
    assert problem["detail"] == "Daily budget of $0.80 does not cover $0.364 more: $0.00 spent, $0.728 held"
    assert problem["until"] == "2026-03-02T00:00:00.000Z"
    assert (await ada.post("/v1/rentals", {"family": "rtx-4090", "team_id": team, "max_spend": "0.05"})).is_success


async def test_a_stopped_rental_frees_its_place_and_what_it_did_not_use(ada, team, set_policy, hand, clock):
    await set_policy(ada.account_id, team, max_instances=1, daily_budget_micros=400_000)
    first = await ada.rent(family="rtx-4090", team_id=team)
    await hand.start(ada, first["id"])
    clock.advance(100)  # 0.010111 used
    assert (await ada.post(f"/v1/rentals/{first['id']}/stop")).status_code == 202
    still = await ada.post("/v1/rentals", {"family": "rtx-4090", "team_id": team})
    assert still.json()["detail"] == "Policy violation: Instance limit reached (1/1)"  # until its machine is gone
    await hand.finish(ada, first["id"])
    await ada.rent(family="rtx-4090", team_id=team)


async def test_spending_counts_until_the_teams_own_midnight(ada, new_team, set_policy, hand, clock):
    team = await new_team(ada.account_id, time_zone="Pacific/Guadalcanal")  # midnight is 13:00 UTC
    await set_policy(ada.account_id, team, daily_budget_micros=400_000)
    first = await ada.rent(family="rtx-4090", team_id=team)
    await hand.start(ada, first["id"])
    clock.advance(3000)
    await ada.post(f"/v1/rentals/{first['id']}/stop")
    await hand.finish(ada, first["id"])
    refused = await ada.post("/v1/rentals", {"family": "rtx-4090", "team_id": team})
    assert refused.json()["detail"] == "Daily budget of $0.40 does not cover $0.364 more: $0.303333 spent, $0.00 held"
    assert refused.json()["until"] == "2026-03-01T13:00:00.000Z"
    clock.at = datetime(2026, 3, 1, 12, 59, 59, tzinfo=UTC)
    assert (await ada.post("/v1/rentals", {"family": "rtx-4090", "team_id": team})).status_code == 403
    clock.advance(1)
    assert (await ada.post("/v1/rentals", {"family": "rtx-4090", "team_id": team})).status_code == 202


async def test_an_account_a_person_and_a_key_have_policies_too(ada, set_policy, new_caller, new_member):
    person = await new_member(ada.account_id, role="admin")
    key = await new_caller(account_id=ada.account_id, created_by=person)
    for subject, word in ((key.key_id, "key"), (person, "user"), (ada.account_id, "account")):
        await set_policy(ada.account_id, subject, gpu_whitelist=("h100-80gb",))
        refused = await key.post("/v1/rentals", {"family": "rtx-4090"})
        assert refused.json()["detail"] == f"Policy violation: GPU rtx-4090 not in {word} whitelist"
    await set_policy(ada.account_id, ada.account_id)
    assert (await ada.post("/v1/rentals", {"family": "rtx-4090"})).status_code == 202


async def test_a_keys_own_limit_is_another_kind_of_no(ada, new_caller):
    limited = await new_caller(account_id=ada.account_id, limit=SpendLimit(400_000, "daily"))
    await limited.rent(family="rtx-4090")
    refused = await limited.post("/v1/rentals", {"family": "rtx-4090"})
    assert refused.status_code == 402
    assert refused.json()["code"] == "key_limit_exceeded"
    assert refused.json()["detail"] == "The key's limit of $0.40 does not cover $0.364 more: $0.00 spent, $0.364 held"
    await ada.rent(family="rtx-4090")


async def test_while_it_is_paused_nothing_new_is_provisioned(ada, team, set_policy, worker_db, at):
    await set_policy(ada.account_id, team)
    async with worker_db.begin_unscoped() as session:
        await driver(session).execute(
            "UPDATE policies SET paused_until = $2, paused_because = 'the daily budget is used up' WHERE subject = $1",
            team,
            at.replace(hour=23),
        )
    refused = await ada.post("/v1/rentals", {"family": "rtx-4090", "team_id": team})
    assert refused.status_code == 403
    assert refused.json()["code"] == "provisioning_paused"
    assert refused.json()["until"] == "2026-03-01T23:00:00.000Z"
    assert refused.json()["detail"] == "Provisioning is paused: the daily budget is used up"


async def test_a_refusal_by_policy_takes_no_money_and_asks_no_card(
    new_caller, new_team, set_policy, worker_db, statements
):
    for micros in (10_000_000, 0):  # also where there would be too little money
        caller = await new_caller(micros=micros)
        team = await new_team(caller.account_id)
        await set_policy(caller.account_id, team, daily_budget_micros=0)
        refused = await caller.post("/v1/rentals", {"family": "rtx-4090", "team_id": team})
        assert refused.json()["code"] == "budget_exceeded"
        async with worker_db.begin_unscoped() as session:
            balance = await wallet.get_balance(session, account_id=caller.account_id, at=START)
        assert (balance.available, balance.reserved) == (micros, 0)
    assert not any("topup_attempts" in statement for statement in statements)


async def test_ten_at_once_get_what_the_budget_holds_and_no_more(ada, team, set_policy):
    await set_policy(ada.account_id, team, daily_budget_micros=3 * 364_000, max_instances=9)
    answers = await asyncio.gather(
        *(ada.post("/v1/rentals", {"family": "rtx-4090", "team_id": team}) for _ in range(10))
    )
    assert sorted(answer.status_code for answer in answers) == [202] * 3 + [403] * 7


async def test_ten_at_once_get_as_many_places_as_there_are(ada, team):
    answers = await asyncio.gather(
        *(ada.post("/v1/rentals", {"family": "rtx-4090", "team_id": team}) for _ in range(10))
    )
    assert sorted(answer.status_code for answer in answers) == [202] * 2 + [403] * 8


async def test_who_waits_is_counted_at_the_highest_price(ada, team, set_policy):
    await set_policy(ada.account_id, team, gpu_whitelist=("b200",), max_instances=1, daily_budget_micros=5_000_000)
    wish = {"family": "b200", "team_id": team, "wait_seconds": 3600}
    dear = await ada.post("/v1/rentals", wish | {"max_price_per_hour": "6"})
    assert dear.json()["code"] == "budget_exceeded"
    assert (await ada.rent(**wish, max_price_per_hour="4"))["status"] == "queued"
    again = await ada.post("/v1/rentals", wish | {"max_price_per_hour": "1"})
    assert again.json()["detail"] == "Policy violation: Instance limit reached (1/1)"


@pytest.fixture
async def sleeper(ada, team, hand, clock, worker_db):
    """A team's rental that hibernates at 0.004 an hour; its own rate is 0.364."""
    rental = await ada.rent(family="rtx-4090", team_id=team)
    await hand.start(ada, rental["id"])
    async with worker_db.begin_unscoped() as session:
        row = await queries.lock_rental(session, account_id=ada.account_id, rental_id=rental["id"])
        row.stopped_rate = 4_000
    clock.advance(1800)
    assert (await ada.post(f"/v1/rentals/{rental['id']}/hibernate")).status_code == 202
    await fall_asleep(worker_db, ada, rental["id"], clock)
    return rental["id"]


async def test_a_rental_that_is_resumed_is_asked_for_its_budget_again(ada, team, set_policy, sleeper, new_caller):
    await set_policy(ada.account_id, team, daily_budget_micros=500_000, max_instances=0, gpu_whitelist=())
    refused = await ada.post(f"/v1/rentals/{sleeper}/resume")
    assert refused.status_code == 403
    assert refused.json()["detail"] == "Daily budget of $0.50 does not cover $0.36 more: $0.182 spent, $0.004 held"
    assert (await ada.shown(sleeper))["status"] == "hibernated"
    await set_policy(ada.account_id, team, daily_budget_micros=546_000, max_instances=0, gpu_whitelist=())
    resumed = await ada.post(f"/v1/rentals/{sleeper}/resume")  # it is counted already, and was allowed
    assert resumed.status_code == 202, resumed.text
    assert resumed.json()["status"] == "provisioning"


async def test_a_rental_of_a_limited_key_is_resumed_within_that_keys_limit(ada, new_caller, hand, clock, worker_db):
    limited = await new_caller(account_id=ada.account_id, limit=SpendLimit(400_000, "monthly"))
    rental = await limited.rent(family="rtx-4090")
    await hand.start(limited, rental["id"])
    async with worker_db.begin_unscoped() as session:
        row = await queries.lock_rental(session, account_id=ada.account_id, rental_id=rental["id"])
        row.stopped_rate = 4_000
    clock.advance(1800)
    await limited.post(f"/v1/rentals/{rental['id']}/hibernate")
    await fall_asleep(worker_db, limited, rental["id"], clock)
    refused = await ada.post(f"/v1/rentals/{rental['id']}/resume")  # whoever asks
    assert refused.status_code == 402
    assert refused.json()["code"] == "key_limit_exceeded"
