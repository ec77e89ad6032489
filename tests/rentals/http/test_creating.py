"""POST /v1/rentals."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

SHAPE = {
    "id", "object", "name", "status", "stage", "status_reason", "family", "gpu_count", "region", "provider", "spot",
    "template", "image", "disk_gb", "ports", "env_names", "ssh", "endpoints", "rate", "reserve", "cost", "limits",
    "checkpoint_uri", "interruptions", "interrupted_at", "hibernated_at", "disk_lost", "queued_until",
    "created_by", "team_id", "user_id", "tags", "attempts", "failure", "end_reason", "actions", "created_at", "running_at", "ended_at",
    "settled_at",
}  # fmt: skip


async def test_the_cheapest_match_is_rented_and_an_hour_reserved(ada) -> None:
    answer = await ada.post(
        "/v1/rentals",
        {"family": "RTX_4090", "name": "training", "tags": {"project": "atlas"}, "ports": [8000], "max_spend": "5"},
    )
    assert answer.status_code == 202, answer.text
    made = answer.json()
    assert set(made) == SHAPE
    assert answer.headers["location"] == f"/v1/rentals/{made['id']}"
    assert int(answer.headers["retry-after"]) > 0
    assert made["status"] == "provisioning"
    assert made["stage"] == "matching"
    assert made["rate"] == {
        "per_hour": "0.364",
        "locked": True,
        "components": {"gpu": "0.36", "disk": "0.004"},
        "running_per_hour": "0.364",
        "stopped_per_hour": None,
    }
    assert made["reserve"] == {"held": "0.364", "remaining": "0.364", "funded_until": None}
    assert made["region"] == {"id": "us-oregon", "name": "Oregon, US", "country": "US"}
    assert made["actions"] == ["stop"]
    assert made["created_by"] == ada.key_id
    assert made["limits"] == {"max_duration_seconds": None, "max_spend": "5.00", "stop_at": None}


async def test_the_answer_is_what_reading_shows(ada) -> None:
    answer = await ada.post(
        "/v1/rentals",
        {
            "family": "4090",
            "template": "vllm",
            "env": {"A": "1"},
            "secrets": {"TOKEN": "s3cret"},
            "tags": {"a": "b"},
            "max_duration_seconds": 3600,
            "max_spend": 0.2,
        },
    )
    read = await ada.get(answer.headers["location"])
    assert read.json() == answer.json()
    assert read.headers["etag"] == answer.headers["etag"]
    assert read.json()["env_names"] == ["A", "TOKEN"]
    assert read.json()["reserve"]["held"] == "0.20"


async def test_without_enough_money_the_answer_has_the_three_figures(new_caller) -> None:
    poor = await new_caller(micros=100_000)
    answer = await poor.post("/v1/rentals", {"family": "rtx-4090"})
    assert answer.status_code == 402
    told = answer.json()
    assert told["code"] == "insufficient_balance"
    assert (told["required"], told["available"], told["shortfall"]) == ("0.364", "0.10", "0.264")
    assert (await poor.get("/v1/rentals")).json()["data"] == []


@pytest.mark.parametrize(
    "wish",
    [
        {"family": "b300"},
        {"family": "rtx-4090", "max_price_per_hour": "0.363999"},
        {"family": "rtx-4090", "spot": "only"},
        {"family": "rtx-4090", "region": ["jp"]},
        {"family": "rtx-4090", "providers": ["south"]},
        {"family": "rtx-4090", "gpu_count": 8},
        {"family": "rtx-4090", "min_reliability": 0.9999},
        {"min_vram_gb": 300},
    ],
)
async def test_nothing_that_fits_is_a_conflict(ada, wish) -> None:
    answer = await ada.post("/v1/rentals", wish)
    assert (answer.status_code, answer.json()["code"]) == (409, "no_matching_listings")
    assert answer.json()["retryable"] is True


@pytest.mark.parametrize(
    ("wish", "rate"),
    [
        ({"family": "rtx-4090", "region": ["SE"]}, "0.504"),
        ({"min_vram_gb": 80, "providers": ["north"]}, "2.804"),
        ({"family": "h100", "disk_gb": 100}, "2.82"),
        ({"family": "b300", "fallback_families": ["b200", "h100", "rtx-4090"]}, "2.804"),
        ({"family": "rtx-4090", "fallback_families": ["h100"]}, "0.364"),
        ({"family": "rtx-4090", "template": "vllm"}, "0.376"),
    ],
)
async def test_filters_choose_the_listing(ada, wish, rate) -> None:
    assert (await ada.rent(**wish))["rate"]["per_hour"] == rate


@pytest.mark.parametrize(
    ("wish", "code"),
    [
        ({}, "validation_failed"),
        ({"family": "nonsense"}, "unknown_family"),
        ({"family": "rtx-4090", "fallback_families": ["nonsense"]}, "unknown_family"),
        ({"min_vram_gb": 24, "fallback_families": ["h100"]}, "validation_failed"),
        ({"family": "rtx-4090", "idle": {"minutes": 5}}, "validation_failed"),
        ({"family": "rtx-4090", "team_id": "team_1"}, "validation_failed"),
        ({"family": "rtx-4090", "checkpoint_uri": "no uri"}, "validation_failed"),
        ({"family": "rtx-4090", "template": "nonsense"}, "validation_failed"),
        ({"family": "rtx-4090", "template": "vllm", "image": "a/b"}, "validation_failed"),
        ({"family": "rtx-4090", "image": "-v /:/host"}, "validation_failed"),
        ({"family": "rtx-4090", "gpu_count": 0}, "validation_failed"),
        ({"family": "rtx-4090", "gpu_count": 17}, "validation_failed"),
        ({"family": "rtx-4090", "gpu_count": "1"}, "validation_failed"),
        ({"family": "rtx-4090", "disk_gb": 7}, "validation_failed"),
        ({"family": "rtx-4090", "disk_gb": 4097}, "validation_failed"),
        ({"family": "rtx-4090", "max_price_per_hour": "-1"}, "validation_failed"),
        ({"family": "rtx-4090", "max_price_per_hour": 0.0000001}, "validation_failed"),
        ({"family": "rtx-4090", "max_duration_seconds": 59}, "validation_failed"),
        ({"family": "rtx-4090", "max_duration_seconds": 365 * 86_400 + 1}, "validation_failed"),
        ({"family": "rtx-4090", "ports": list(range(8000, 8021))}, "validation_failed"),
        ({"family": "rtx-4090", "ports": [22]}, "validation_failed"),
        ({"family": "rtx-4090", "ports": [80, 80]}, "validation_failed"),
        ({"family": "rtx-4090", "ports": [65_536]}, "validation_failed"),
        ({"family": "rtx-4090", "tags": {f"t{n}": "" for n in range(21)}}, "validation_failed"),
        ({"family": "rtx-4090", "env": {"-v /:/host": "1"}}, "validation_failed"),
        ({"family": "rtx-4090", "env": {"PPID": "1"}}, "validation_failed"),
        ({"family": "rtx-4090", "env": {"A": "x" * 32_768}}, "validation_failed"),
        ({"family": "rtx-4090", "env": {f"A{n}": "" for n in range(101)}}, "validation_failed"),
        ({"family": "rtx-4090", "env": {f"A{n}": "" for n in range(60)}, "secrets": {f"B{n}": "" for n in range(60)}},
         "validation_failed"),
        ({"family": "rtx-4090", "env": {"A": "1"}, "secrets": {"A": "2"}}, "validation_failed"),
        ({"family": "rtx-4090", "startup_script": "ü" * 32_769}, "validation_failed"),
        ({"family": "rtx-4090", "name": "a\u202eb"}, "validation_failed"),
        ({"family": "rtx-4090", "name": "x" * 65}, "validation_failed"),
        ({"family": "rtx-4090", "ssh_key_ids": ["sshk_01J00000000000000000000000"]}, "validation_failed"),
        ({"family": "rtx-4090", "ssh_key_ids": ["x"]}, "validation_failed"),
        ({"family": "rtx-4090", "ssh_key_ids": [], "ssh_public_keys": []}, "validation_failed"),
        ({"family": "rtx-4090", "ssh_public_keys": ["ssh-ed25519 AAAA"]}, "validation_failed"),
        ({"family": "rtx-4090", "ssh_public_keys": ["ssh-dss AAAA"]}, "weak_key"),
        ({"quote_id": "quote_01J00000000000000000000000"}, "validation_failed"),
        ({"quote_id": "x"}, "validation_failed"),
        ({"quote_id": "quote_01J00000000000000000000000", "family": "rtx-4090"}, "validation_failed"),
    ],
)  # fmt: skip
async def test_what_can_t_be_accepted_is_refused_and_nothing_is_reserved(ada, wish, code) -> None:
    answer = await ada.post("/v1/rentals", wish)
    assert (answer.status_code, answer.json()["code"]) == (422, code), answer.text
    assert (await ada.get("/v1/rentals")).json()["data"] == []


async def test_one_key_sent_fifty_times_at_once_is_one_rental(ada) -> None:
    key = uuid4().hex
    answers = await asyncio.gather(*(ada.post("/v1/rentals", {"family": "rtx-4090"}, key=key) for _ in range(50)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.text for answer in answers}) == 1
    assert sum("idempotency-replayed" in answer.headers for answer in answers) == 49
    assert len({answer.headers["location"] for answer in answers}) == 1
    assert len((await ada.get("/v1/rentals")).json()["data"]) == 1


async def test_one_key_with_another_body_is_refused(ada) -> None:
    await ada.post("/v1/rentals", {"family": "rtx-4090"}, key="same")
    answer = await ada.post("/v1/rentals", {"family": "h100"}, key="same")
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_mismatch")


async def test_a_key_is_needed(ada) -> None:
    answer = await ada.http.post("/v1/rentals", json={"family": "rtx-4090"})
    assert (answer.status_code, answer.json()["code"]) == (400, "idempotency_key_missing")


async def test_a_failed_request_leaves_its_key_free(new_caller) -> None:
    poor = await new_caller(micros=400_000)
    assert (await poor.post("/v1/rentals", {"family": "h100"}, key="k")).status_code == 402
    assert (await poor.post("/v1/rentals", {"family": "rtx-4090"}, key="k")).status_code == 202


async def test_money_for_three_lets_three_of_ten_through(new_caller) -> None:
    caller = await new_caller(micros=3 * 364_000 + 1)
    answers = await asyncio.gather(*(caller.post("/v1/rentals", {"family": "rtx-4090"}) for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [202] * 3 + [402] * 7


async def test_the_scope_is_needed(new_caller) -> None:
    reader = await new_caller(scopes={"rentals:read"})
    answer = await reader.post("/v1/rentals", {"family": "rtx-4090"})
    assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")


async def test_all_keys_of_the_account_go_on_the_machine_unless_others_are_named(ada, hand, new_public_key) -> None:
    ids = []
    for name in ("a", "b"):
        answer = await ada.post("/v1/ssh-keys", {"name": name, "public_key": new_public_key()})
        ids.append(answer.json()["id"])
    inline = new_public_key()
    every = await ada.rent()
    one = await ada.rent(family="rtx-4090", ssh_key_ids=[ids[0], ids[0].lower()])
    sent = await ada.rent(family="rtx-4090", ssh_public_keys=[inline, inline + "-again"])
    none = await ada.rent(family="rtx-4090", ssh_key_ids=[])
    assert {key["id"] for key in (await hand.row(ada, every["id"])).ssh_keys} == set(ids)
    assert [key["id"] for key in (await hand.row(ada, one["id"])).ssh_keys] == [ids[0]]
    assert [key["public_key"] for key in (await hand.row(ada, sent["id"])).ssh_keys] == [inline]
    assert (await hand.row(ada, none["id"])).ssh_keys == []


async def test_what_was_refused_is_not_repeated(ada) -> None:
    wish = {"family": "rtx-4090", "secrets": {"PPID": "hunter2-secret"}, "image": "bad image hunter2-secret"}
    answer = await ada.post("/v1/rentals", wish)
    assert answer.status_code == 422
    assert "hunter2" not in answer.text
