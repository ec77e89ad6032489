"""Auto-top-up over HTTP: opt-in, entity tags, what it would do, resume."""

from __future__ import annotations

from uuid import uuid4

import pytest

from app.refills import State

DOLLAR = 1_000_000
PATH = "/v1/wallet/auto-topup"
DECLINES = "4000000000000341"
BODY = {
    "mode": "fixed",
    "threshold": "10.00",
    "amount": "25.00",
    "monthly_cap": "200.00",
    "consent": {"text_version": "2026-11", "accepted": True},
}
TERMS = {key: value for key, value in BODY.items() if key != "consent"}


def fresh_key():
    return {"Idempotency-Key": uuid4().hex}


async def test_without_a_rule_it_is_off(new_account, client_for):
    client = await client_for(await new_account())
    told = await client.get(PATH)
    assert told.status_code == 200
    assert told.headers["etag"]
    body = told.json()
    assert (body["object"], body["state"], body["mode"], body["incoming"]) == ("auto_topup", "off", None, "0.00")


async def test_a_rule_without_a_saved_card_is_refused(new_account, client_for):
    client = await client_for(await new_account())
    told = await client.put(PATH, json=BODY)
    assert (told.status_code, told.json()["code"]) == (402, "card_required")
    assert "/v1/billing/setup-sessions" in told.json()["suggestion"]
    assert (await client.get(PATH)).json()["state"] == "off"


async def test_a_rule_names_its_terms_its_card_and_the_consent(till, new_account, client_for):
    account = await new_account(micros=50 * DOLLAR)
    card, client = await till.save_card(account), await client_for(account)
    told = await client.put(PATH, json=BODY)
    assert told.status_code == 200, told.text
    body = told.json()
    assert body["state"] == "active"
    assert {name: body[name] for name in TERMS} == TERMS
    assert body["payment_method_id"] == card.payment_method_id
    assert body["only_while_running"] is True
    assert body["consent"]["text_version"] == "2026-11"
    assert body["consent"]["actor"].startswith("key_")
    assert (await client.get(PATH)).json() == body
    assert await till.events(account) == ["auto_topup.configured", "auto_topup.active"]


async def test_an_entity_tag_guards_against_a_change_in_between(till, new_account, client_for):
    account = await new_account(micros=50 * DOLLAR)
    await till.save_card(account)
    client = await client_for(account)
    first = (await client.get(PATH)).headers["etag"]
    told = await client.put(PATH, json=BODY, headers={"If-Match": first})
    assert told.status_code == 200
    again = await client.put(PATH, json=BODY | {"threshold": "20.00"}, headers={"If-Match": first})
    assert (again.status_code, again.json()["code"]) == (412, "etag_mismatch")
    assert (await client.delete(PATH, headers={"If-Match": first})).status_code == 412
    now = told.headers["etag"]
    assert (await client.get(PATH)).headers["etag"] == now
    assert (await client.delete(PATH, headers={"If-Match": now})).status_code == 204
    assert (await client.get(PATH)).headers["etag"] != now


async def test_the_rules_own_moves_spoil_no_entity_tag(till, new_account, client_for):
    account = await new_account(micros=2 * DOLLAR)
    await till.save_card(account)
    client = await client_for(account)
    tag = (await client.put(PATH, json=BODY | {"only_while_running": False})).headers["etag"]
    await till.until_rest(account)
    assert (await till.rule(account)).state is State.COOLING
    assert (await client.get(PATH)).headers["etag"] == tag


async def test_a_wallet_that_is_low_already_is_refilled_when_the_rule_is_set(till, new_account, client_for):
    account = await new_account(micros=2 * DOLLAR)
    await till.save_card(account)
    client = await client_for(account)
    body = (await client.put(PATH, json=BODY | {"only_while_running": False})).json()
    [attempt] = (await client.get(f"{PATH}/attempts")).json()["data"]
    assert attempt["id"] == body["open_attempt_id"]
    assert (attempt["state"], attempt["amount"], attempt["trigger"]) == ("created", "25.00", "config")
    assert (await client.get("/v1/wallet")).json()["incoming"] == "25.00"
    await till.charge(account)
    [attempt] = (await client.get(f"{PATH}/attempts")).json()["data"]
    assert attempt["state"] == "succeeded"
    assert attempt["payment_id"].startswith("pay_")
    wallet = (await client.get("/v1/wallet")).json()
    assert (wallet["incoming"], wallet["available"]) == ("0.00", "27.00")
    assert (await client.get(PATH)).json()["month_total"] == "25.00"


async def test_turning_it_off_can_be_said_twice_and_stays_said(till, new_account, client_for):
    account = await new_account(micros=2 * DOLLAR)
    await till.save_card(account)
    client = await client_for(account)
    assert (await client.delete(PATH)).status_code == 204
    await client.put(PATH, json=BODY | {"only_while_running": False})
    for _ in range(2):
        assert (await client.delete(PATH)).status_code == 204
    body = (await client.get(PATH)).json()
    assert (body["state"], body["state_reason"], body["open_attempt_id"]) == ("off", None, None)
    [attempt] = (await client.get(f"{PATH}/attempts")).json()["data"]
    assert attempt["state"] == "canceled"
    assert (await till.events(account)).count("auto_topup.off") == 1


@pytest.mark.parametrize(
    "change",
    [
        {"threshold": "4.99"},
        {"threshold": "5000.01"},
        {"amount": "4.99"},
        {"amount": "5000.01"},
        {"amount": "25.001"},
        {"amount": None},
        {"target": "50.00"},
        {"mode": "target"},
        {"mode": "target", "amount": None, "target": "19.99"},
        {"mode": "twice"},
        {"monthly_cap": "24.99"},
        {"monthly_cap": None},
        {"consent": {"text_version": "2026-11", "accepted": False}},
        {"consent": {"accepted": True}},
        {"consent": None},
        {"payment_method_id": "pm_of_nobody"},
        {"surprise": 1},
    ],
)
async def test_what_can_not_be_is_refused_and_changes_nothing(till, new_account, client_for, change):
    account = await new_account(micros=50 * DOLLAR)
    await till.save_card(account)
    client = await client_for(account)
    told = await client.put(PATH, json=BODY | change)
    assert (told.status_code, told.json()["code"]) == (422, "validation_failed")
    assert (await client.get(PATH)).json()["state"] == "off"


async def test_another_accounts_card_is_no_card(till, new_account, client_for):
    mine, theirs = await new_account(), await new_account()
    await till.save_card(mine)
    card, client = await till.save_card(theirs), await client_for(mine)
    told = await client.put(PATH, json=BODY | {"payment_method_id": card.payment_method_id})
    assert (told.status_code, told.json()["errors"][0]["pointer"]) == (422, "/payment_method_id")


async def test_a_target_fills_the_wallet_up(till, new_account, client_for):
    account = await new_account(micros=2_345_678)
    await till.save_card(account)
    client = await client_for(account)
    terms = {"mode": "target", "threshold": "10.00", "target": "20.00", "monthly_cap": "100.00"}
    body = terms | {"only_while_running": False, "consent": BODY["consent"]}
    assert (await client.put(PATH, json=body)).status_code == 200
    await till.until_rest(account)
    assert (await client.get("/v1/wallet")).json()["available"] == "20.005678"


async def test_a_preview_tells_and_changes_nothing(till, new_account, client_for):
    account = await new_account(micros=2 * DOLLAR)
    client = await client_for(account)
    assert (await client.post(f"{PATH}/preview", json=TERMS)).json()["code"] == "card_required"
    await till.save_card(account)
    told = (await client.post(f"{PATH}/preview", json=TERMS)).json()
    assert (told["state"], told["charge_now"], told["because"]) == ("active", None, "nothing_running")
    told = (await client.post(f"{PATH}/preview", json=TERMS | {"only_while_running": False})).json()
    assert (told["charge_now"], told["because"], told["month_left"]) == ("25.00", None, "200.00")
    wide = TERMS | {"threshold": "60.00", "only_while_running": False}
    told = (await client.post(f"{PATH}/preview", json=wide)).json()
    assert (told["charge_now"], told["charge_at_threshold"], told["charge_when_empty"]) == ("75.00", "25.00", "75.00")
    told = (await client.post(f"{PATH}/preview", json=wide | {"monthly_cap": "50.00"})).json()
    assert (told["state"], told["state_reason"], told["charge_now"]) == ("capped", "monthly_cap", None)
    assert (await client.get(PATH)).json()["state"] == "off"
    assert (await client.get(f"{PATH}/attempts")).json()["data"] == []


async def test_a_suspended_rule_is_resumed_once_a_day(till, new_account, client_for):
    account = await new_account(micros=2 * DOLLAR)
    await till.low(account, DECLINES)
    for _ in range(10):
        await till.until_rest(account)
        till.later(hours=7)
        await till.sweep(account)
    client = await client_for(account)
    assert (await client.get(PATH)).json()["state"] == "suspended"
    assert (await client.post(f"{PATH}/resume")).json()["code"] == "idempotency_key_missing"
    key = fresh_key()
    told = await client.post(f"{PATH}/resume", headers=key)
    assert (told.status_code, told.json()["state"]) == (200, "active")
    assert told.json()["open_attempt_id"]
    replayed = await client.post(f"{PATH}/resume", headers=key)
    assert replayed.headers["idempotency-replayed"] == "true"
    assert replayed.json() == told.json()
    await till.until_rest(account)
    body = (await client.get(PATH)).json()
    assert (body["state"], body["state_reason"]) == ("suspended", "card")
    again = await client.post(f"{PATH}/resume", headers=fresh_key())
    assert (again.status_code, again.json()["code"]) == (409, "invalid_state")
    assert len(till.intents(account)) == 4
    till.later(hours=25)
    assert (await client.post(f"{PATH}/resume", headers=fresh_key())).status_code == 200
    await till.until_rest(account)


async def test_there_is_nothing_to_resume_in_a_rule_that_is_active_or_not_there(till, new_account, client_for):
    account = await new_account(micros=50 * DOLLAR)
    client = await client_for(account)
    assert (await client.post(f"{PATH}/resume", headers=fresh_key())).status_code == 404
    await till.save_card(account)
    await client.put(PATH, json=BODY)
    assert (await client.post(f"{PATH}/resume", headers=fresh_key())).json()["code"] == "invalid_state"


async def test_attempts_are_paged_newest_first(till, new_account, client_for):
    account = await new_account(micros=2 * DOLLAR)
    await till.low(account)
    for _ in range(3):
        await till.until_rest(account)
        till.later(minutes=11)
        rule = await till.rule(account)
        await till.set_rule(account, rule.card, threshold=rule.terms.threshold + 25 * DOLLAR)
    await till.until_rest(account)
    client = await client_for(account)
    seen, cursor = [], None
    while True:
        page = (
            await client.get(f"{PATH}/attempts", params={"limit": 1} | ({"cursor": cursor} if cursor else {}))
        ).json()
        seen += [attempt["id"] for attempt in page["data"]]
        if (cursor := page["next_cursor"]) is None:
            break
    assert seen == [attempt.id for attempt in await till.attempts(account)]
    assert len(seen) == 4


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "", "billing:write"),
        ("PUT", "", "billing:read"),
        ("DELETE", "", "billing:read"),
        ("POST", "/resume", "billing:read"),
        ("GET", "/attempts", "billing:write"),
    ],
)
async def test_a_key_needs_the_scope(new_account, client_for, method, path, scope):
    client = await client_for(await new_account(), scope)
    told = await client.request(method, PATH + path, json=BODY if method == "PUT" else None)
    assert (told.status_code, told.json()["code"]) == (403, "scope_missing")


async def test_one_account_sees_nothing_of_anothers(till, new_account, client_for):
    rich, other = await new_account(micros=2 * DOLLAR), await new_account()
    await till.low(rich)
    client = await client_for(other)
    assert (await client.get(PATH)).json()["state"] == "off"
    assert (await client.get(f"{PATH}/attempts")).json()["data"] == []
    await till.until_rest(rich)
