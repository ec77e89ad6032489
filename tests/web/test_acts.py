"""What a request is about to commit is told to the application's witness, with who acts and from where."""

from __future__ import annotations

import httpx
import pytest

from app.web.acts import keep_witness
from app.web.origin import Origin, act_as, acting, find_origin


@pytest.fixture
def acts(db_state):
    """What the witness was told, each with who acted at that moment."""
    return []


@pytest.fixture
async def client(db_state, make_app, acts):
    app = make_app(db_state)

    async def witness(_session, act):
        acts.append((act, find_origin()))
        if act.operation == "poke":
            raise ZeroDivisionError

    keep_witness(app, witness)
    headers = {"Authorization": "Bearer secret", "X-Request-Id": "request-1234"}
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=("192.0.2.7", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as opened:
        yield opened


def key(text):
    return {"Idempotency-Key": text}


async def test_a_change_is_told_once_with_who_made_it_and_a_replay_is_none(client, acts, db_state) -> None:
    for _ in range(2):
        answer = await client.post("/v1/things", json={"name": "x", "price": 0.5}, headers=key("told-once"))
        assert answer.status_code == 201
    ((act, origin),) = acts
    caller = db_state.callers["secret"]
    assert (act.operation, act.account_id, act.ids, act.made) == ("create", caller.account_id, {}, None)
    assert {name: str(value) for name, value in act.document.items()} == {"name": "x", "price": "0.5"}
    assert origin == Origin(caller.key_id, None, "request-1234", "192.0.2.7")


async def test_what_is_refused_or_only_read_is_no_act(client, acts) -> None:
    assert (await client.post("/v1/things", json={"name": "fails"}, headers=key("fails"))).status_code == 404
    assert (await client.post("/v1/things", json={"nam": "x"}, headers=key("wrong"))).status_code == 422
    assert (await client.get("/v1/things")).status_code == 200
    assert acts == []


async def test_what_can_not_be_told_is_not_done(client, acts, db_state) -> None:
    assert (await client.post("/v1/things/t1/poke", headers=key("poke"))).status_code == 500
    assert (acts[0][0].operation, acts[0][0].ids) == ("poke", {"thing_id": "t1"})
    assert (await client.post("/v1/things/t1/poke", headers=key("poke"))).status_code == 500
    assert db_state.effects == ["t1", "t1"], "the first was rolled back, its key too"


async def test_who_acted_acts_no_longer_once_the_request_is_over(client, acts) -> None:
    await client.post("/v1/things", json={"name": "x"}, headers=key("over"))
    assert acts[0][1] is not None
    assert find_origin() is None


def test_whoever_was_named_within_is_forgotten_at_the_end() -> None:
    with acting(Origin("operator")):
        act_as(Origin("key_1"))
        with acting(None):
            assert find_origin() is None
        assert find_origin() == Origin("key_1")
    assert find_origin() is None
