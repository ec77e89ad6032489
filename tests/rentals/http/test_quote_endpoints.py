"""Quotes, and rentals by quote."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from app.catalog import refresh_provider


async def quoted(caller, **wish):
    answer = await caller.post("/v1/quotes", {"family": "rtx-4090"} | wish)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_a_quote_shows_its_parts_and_the_order_of_attempts(ada) -> None:
    quote = await quoted(ada)
    assert quote["rate"] == {
        "per_hour": "0.364",
        "locked": True,
        "components": {"gpu": "0.36", "disk": "0.004"},
        "running_per_hour": "0.364",
        "stopped_per_hour": None,
    }
    assert quote["hold"] == "0.364"
    assert [attempt["price_per_hour"] for attempt in quote["attempts"]] == ["0.364", "0.504", "0.704"]
    assert [attempt["order"] for attempt in quote["attempts"]] == [1, 2, 3]
    assert (quote["created_at"], quote["expires_at"]) == ("2026-03-01T12:00:00.000Z", "2026-03-01T12:01:00.000Z")


async def test_a_quote_becomes_one_rental_at_its_rate(ada) -> None:
    quote = await quoted(ada, region=["SE"], disk_gb=100)
    made = await ada.rent(quote_id=quote["id"], name="by quote")
    assert made["rate"] == quote["rate"]
    assert (made["region"]["country"], made["disk_gb"]) == ("SE", 100)
    again = await ada.post("/v1/rentals", {"quote_id": quote["id"]})
    assert (again.status_code, again.json()["code"]) == (409, "quote_expired")


async def test_a_quote_used_ten_times_at_once_is_one_rental(ada) -> None:
    quote = await quoted(ada)
    answers = await asyncio.gather(*(ada.post("/v1/rentals", {"quote_id": quote["id"]}) for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [202] + [409] * 9


async def test_a_quote_that_found_no_money_can_be_used_after_a_deposit(new_caller) -> None:
    poor = await new_caller(micros=100_000)
    quote = await quoted(poor)
    for _ in range(2):
        assert (await poor.post("/v1/rentals", {"quote_id": quote["id"]})).status_code == 402


async def test_a_quote_lapses_after_a_minute(ada, clock) -> None:
    quote = await quoted(ada)
    clock.advance(59.9)
    other = await quoted(ada)
    clock.advance(0.1)
    late = await ada.post("/v1/rentals", {"quote_id": quote["id"]})
    assert (late.status_code, late.json()["code"]) == (409, "quote_expired")
    assert (await ada.post("/v1/rentals", {"quote_id": other["id"]})).status_code == 202


async def test_a_quote_whose_listing_is_gone_is_told(ada, market, worker_db, at) -> None:
    only = replace(market.offers[0], provider="brief", offer_id="1", gpu_name="L4", vram_mib=23_034)
    brief = market.named("brief", only)
    await refresh_provider(worker_db, brief, at=at)
    quote = await quoted(ada, family="l4")
    brief.offers = ()
    await refresh_provider(worker_db, brief, at=at)
    await refresh_provider(worker_db, brief, at=at)
    answer = await ada.post("/v1/rentals", {"quote_id": quote["id"]})
    assert (answer.status_code, answer.json()["code"]) == (409, "price_changed")


async def test_a_quote_of_another_account_is_unknown(ada, new_caller) -> None:
    eve = await new_caller()
    quote = await quoted(ada)
    answer = await eve.post("/v1/rentals", {"quote_id": quote["id"]})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/quote_id")


@pytest.mark.parametrize(
    ("wish", "status", "code"),
    [
        ({"family": "b300"}, 409, "no_matching_listings"),
        ({"family": "nonsense"}, 422, "unknown_family"),
        ({"family": "rtx-4090", "template": "nonsense"}, 422, "validation_failed"),
        ({"family": "rtx-4090", "image": "x"}, 422, "validation_failed"),
        ({}, 422, "validation_failed"),
    ],
)
async def test_what_can_t_be_quoted_is_refused(ada, wish, status, code) -> None:
    answer = await ada.post("/v1/quotes", wish)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_a_fallback_is_quoted_when_the_family_has_nothing(ada, hand) -> None:
    quote = await quoted(ada, family="b300", fallback_families=["h100", "rtx-4090"])
    assert quote["family"] == "h100-80gb"
    made = await ada.rent(quote_id=quote["id"])
    assert (await hand.row(ada, made["id"])).wanted["families"] == ["b300", "h100-80gb", "rtx-4090"]


async def test_a_repeated_request_gets_the_same_quote(ada) -> None:
    first, second = [await ada.post("/v1/quotes", {"family": "rtx-4090"}, key="q") for _ in range(2)]
    assert first.json() == second.json()
