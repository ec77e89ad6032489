"""Who is not the owner, or may only read."""

from __future__ import annotations

import pytest

MISSING = "rent_01J00000000000000000000000"

ROUTES = [
    ("GET", "", None),
    ("PATCH", "", {"name": "x"}),
    ("DELETE", "", None),
    ("POST", "/stop", None),
    ("POST", "/extend", {"seconds": 60}),
    ("POST", "/report", {"reason": "x"}),
    ("GET", "/events", None),
    ("GET", "/logs", None),
    ("GET", "/attempts", None),
    ("GET", "/receipt", None),
    ("GET", "/meter", None),
    ("PUT", "/ssh-keys/sshk_01J00000000000000000000000", None),
    ("DELETE", "/ssh-keys/sshk_01J00000000000000000000000", None),
]


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
async def test_another_accounts_rental_is_answered_like_a_missing_one(ada, new_caller, method, path, body) -> None:
    eve = await new_caller()
    rental_id = (await ada.rent())["id"]
    before = await ada.shown(rental_id)
    answers = [
        await eve.http.request(
            method, f"/v1/rentals/{asked}{path}", json=body, headers={"Idempotency-Key": f"key-{asked}"}
        )
        for asked in (rental_id, MISSING, "nonsense")
    ]
    told = [{**answer.json(), "request_id": "", "instance": ""} for answer in answers]
    assert [answer.status_code for answer in answers] == [404, 404, 404]
    assert told[0] == told[1] == told[2]
    assert await ada.shown(rental_id) == before


async def test_an_event_stream_of_another_account_is_not_found(ada, new_caller) -> None:
    eve = await new_caller()
    rental_id = (await ada.rent())["id"]
    answer = await eve.get(f"/v1/rentals/{rental_id}/events", headers={"Accept": "text/event-stream"})
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize(("method", "path", "body"), [route for route in ROUTES if route[0] != "GET"])
async def test_changes_need_the_writing_scope(ada, new_caller, method, path, body) -> None:
    reader = await new_caller(account_id=ada.account_id, scopes={"rentals:read"})
    rental_id = (await ada.rent())["id"]
    answer = await reader.http.request(method, f"/v1/rentals/{rental_id}{path}", json=body)
    assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")
