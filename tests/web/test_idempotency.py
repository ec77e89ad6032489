from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from app.kit.clock import SystemClock
from app.kit.pruning import prune
from app.web.idempotency import KEPT, PRUNE


def _post(client, name="x", *, key="k1", path="/v1/things", **headers):
    return client.post(path, json={"name": name}, headers={"Idempotency-Key": key, **headers})


async def test_a_repeated_request_reads_the_first_answer(db_client, db_state):
    first = await _post(db_client)
    again = await _post(db_client)
    assert db_state.effects == ["x"]
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.content == again.content
    assert first.headers["location"] == again.headers["location"]
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"


async def test_fifty_at_once_have_one_effect_and_read_the_same_bytes(db_client, db_state):
    answers = await asyncio.gather(*[_post(db_client, "slow") for _ in range(50)])
    assert db_state.effects == ["slow"]
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert sum("idempotency-replayed" not in answer.headers for answer in answers) == 1


async def test_another_body_under_the_same_key_is_refused(db_client, db_state):
    await _post(db_client)
    told = await _post(db_client, "y")
    assert (told.status_code, told.json()["code"]) == (422, "idempotency_mismatch")
    assert db_state.effects == ["x"]


async def test_another_body_is_refused_when_racing_too(db_client, db_state):
    answers = await asyncio.gather(*[_post(db_client, name) for name in ("slow", "a", "b", "c", "d")])
    assert len(db_state.effects) == 1
    assert sorted(answer.status_code for answer in answers) == [201, 422, 422, 422, 422]


async def test_the_order_of_fields_is_not_another_body(db_client, db_state):
    for body in (b'{"name": "x", "count": 2}', b'{"count":2,"name":"x"}'):
        headers = {"Idempotency-Key": "k", "Content-Type": "application/json"}
        assert (await db_client.post("/v1/things", content=body, headers=headers)).status_code == 201
    assert db_state.effects == ["x"]


async def test_a_twin_that_does_not_end_is_told_as_in_progress(db_client, db_state):
    slow = asyncio.create_task(_post(db_client, "very slow"))
    await db_state.running.wait()
    told = await _post(db_client, "very slow")
    assert (told.status_code, told.json()["code"]) == (409, "idempotency_in_progress")
    assert told.headers["retry-after"] == "1"
    assert (await slow).status_code == 201


async def test_an_error_is_not_kept_since_it_had_no_effect(db_client, db_state):
    assert [(await _post(db_client, "fails")).status_code for _ in range(2)] == [404, 404]
    assert db_state.effects == ["fails", "fails"]
    assert (await _post(db_client, "x")).status_code == 201


async def test_a_key_of_another_account_is_nothing_to_mine(db_client, db_state):
    db_state.caller("other")
    await _post(db_client)
    theirs = await _post(db_client, "y", Authorization="Bearer other")
    assert theirs.status_code == 201
    assert theirs.json()["name"] == "y"
    assert "idempotency-replayed" not in theirs.headers


async def test_a_key_used_on_another_resource_is_refused(db_client, db_state):
    assert (await _post(db_client, path="/v1/things/a/poke")).status_code == 200
    assert (await _post(db_client, path="/v1/things/b/poke")).json()["code"] == "idempotency_mismatch"
    assert (await _post(db_client, path="/v1/things")).status_code == 201
    assert db_state.effects == ["a", "x"]


async def test_a_post_without_a_key_is_refused(db_client, db_state):
    told = await db_client.post("/v1/things", json={"name": "x"})
    assert (told.status_code, told.json()["code"]) == (400, "idempotency_key_missing")
    assert db_state.effects == []


@pytest.mark.parametrize("key", [b"", b"x" * 256, b"two words", b"\xe9"])
async def test_an_ill_formed_key_is_refused(db_client, key):
    told = await db_client.post("/v1/things", json={"name": "x"}, headers={"Idempotency-Key": key})
    assert told.status_code == 422


async def test_a_key_is_kept_for_a_day_and_then_free_again(db_client, db_state, worker_db):
    await _post(db_client)
    now = SystemClock().now()
    await prune(worker_db, PRUNE, now + timedelta(hours=23) - KEPT)
    await _post(db_client)
    assert db_state.effects == ["x"]
    assert await prune(worker_db, PRUNE, now + timedelta(hours=25) - KEPT) >= 1
    assert (await _post(db_client, "y")).status_code == 201


async def test_cursors_walk_a_list_and_belong_to_their_account_and_filter(db_client, db_state):
    names, cursor = [], None
    while True:
        query = {"limit": 2, "colour": "red"} | ({"cursor": cursor} if cursor else {})
        page = (await db_client.get("/v1/things", params=query)).json()
        names += [thing["name"] for thing in page["data"]]
        last, cursor = cursor, page["next_cursor"]
        if not page["has_more"]:
            break
    assert names == ["4", "3", "2", "1", "0"]
    db_state.caller("other")
    for params, headers in (
        ({"cursor": last}, {}),
        ({"cursor": last, "colour": "blue"}, {}),
        ({"cursor": last[:-2], "colour": "red"}, {}),
        ({"cursor": last, "colour": "red"}, {"Authorization": "Bearer other"}),
    ):
        told = await db_client.get("/v1/things", params=params, headers=headers)
        assert (told.status_code, told.json()["code"]) == (400, "invalid_cursor")
