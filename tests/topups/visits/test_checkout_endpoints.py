"""Paying and saving cards over HTTP: what is taken, what is answered, and what never is."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import asyncpg
import httpx
import pytest

from app.tenancy import Authenticator
from app.topups import TopupTools

from .conftest import KEY, PEPPER, State, app_of

CHECKOUTS, SETUPS, CARDS = "/v1/billing/checkout-sessions", "/v1/billing/setup-sessions", "/v1/billing/payment-methods"
PORTAL = "/v1/billing/portal-sessions"


async def test_a_deposit_by_card_from_the_wish_to_the_money(api_till, ada) -> None:
    answer = await ada.post(CHECKOUTS, {"amount": "25.00"})
    made = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"{CHECKOUTS}/{made['id']}"
    assert {**made, "id": "", "url": "", "created_at": "", "expires_at": ""} == {
        "id": "", "object": "checkout_session", "purpose": "deposit", "status": "open", "url": "", "amount": "25.00",
        "save_card": False, "payment_id": None, "payment_method_id": None, "topup_attempt_id": None,
        "created_at": "", "expires_at": "", "completed_at": None,
    }  # fmt: skip
    async with httpx.AsyncClient(trust_env=False) as browser:
        assert (await browser.get(made["url"])).status_code == 200
    await api_till.stripe.pay(made["url"].rpartition("/")[2])
    seen = (await ada.http.get(answer.headers["location"])).json()
    assert (seen["status"], seen["url"]) == ("complete", None)
    assert seen["payment_id"].startswith("pay_")
    assert await api_till.available(ada.account_id) == 25_000_000


async def test_a_preset_is_an_amount(ada) -> None:
    assert (await ada.post(CHECKOUTS, {"preset": 50})).json()["amount"] == "50.00"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"amount": "0.99"},
        {"amount": "5000.01"},
        {"amount": "10.001"},
        {"amount": "-5"},
        {"amount": "1e3"},
        {"amount": True},
        {"amount": None},
        {"preset": 11},
        {"preset": "10"},
        {"amount": "10.00", "preset": 10},
        {"amount": "10.00", "currency": "eur"},
        {"amount": "10.00", "save_card": "yes"},
        {"amount": "10.00", "success_url": "https://evil.example"},
    ],
)
async def test_what_is_no_deposit_is_refused_before_anything_is_made(body, api_till, ada) -> None:
    answer = await ada.post(CHECKOUTS, body)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")
    assert await api_till.rows("checkouts", ada.account_id) == []


@pytest.mark.parametrize("amount", ["1", "1.00", "5000", 5000])
async def test_the_bounds_are_deposits(amount, ada) -> None:
    assert (await ada.post(CHECKOUTS, {"amount": amount})).status_code == 201


async def test_the_same_request_has_the_same_session(api_till, ada) -> None:
    first = await ada.post(CHECKOUTS, {"amount": "25.00"}, key="k")
    again = await ada.post(CHECKOUTS, {"amount": "25.00"}, key="k")
    assert first.json() == again.json()
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    other = await ada.post(CHECKOUTS, {"amount": "26.00"}, key="k")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    setup = await ada.post(SETUPS, key="k")
    assert setup.json()["id"] != first.json()["id"]
    assert len(api_till.objects("checkout.session", ada.account_id)) == 2


async def test_twins_at_once_have_the_same_session(api_till, ada) -> None:
    answers = await asyncio.gather(*(ada.post(CHECKOUTS, {"amount": "25.00"}, key="k") for _ in range(8)))
    ids = {one.json()["id"] for one in answers if one.status_code == 201}
    assert len(ids) == 1
    assert {one.status_code for one in answers} <= {201, 503}
    assert len(api_till.objects("checkout.session", ada.account_id)) == 1
    assert len(api_till.objects("customer", ada.account_id)) == 1


@pytest.mark.parametrize("path", [CHECKOUTS, SETUPS])
async def test_a_key_is_needed(path, ada) -> None:
    body = {"amount": "25.00"} if path == CHECKOUTS else None
    answer = await ada.http.post(path, json=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "idempotency_key_missing")
    answer = await ada.http.post(path, json=body, headers={"Idempotency-Key": "k" * 256})
    assert answer.status_code == 422


async def test_a_lost_answer_is_told_as_one_and_found_with_the_same_key(api_till, ada) -> None:
    for call in ("create_customer", "create_session"):
        api_till.fault("timeout_after_success", call, mode="drop")
        answer = await ada.post(CHECKOUTS, {"amount": "25.00"}, key="k")
        told = answer.json()
        assert (answer.status_code, told["code"], told["retryable"]) == (503, "provider_unavailable", True)
        assert int(answer.headers["retry-after"]) >= 1
    assert (await ada.post(CHECKOUTS, {"amount": "25.00"}, key="k")).status_code == 201
    assert len(api_till.objects("checkout.session", ada.account_id)) == 1
    assert len(api_till.objects("customer", ada.account_id)) == 1


async def test_stripes_own_words_never_reach_the_caller(api_till, ada, capfd) -> None:
    for fault, status, code in (
        ({"kind": "unauthorized"}, 503, "provider_unavailable"),
        ({"kind": "rate_limited", "retry_after": "7"}, 503, "provider_unavailable"),
        ({"kind": "server_error"}, 503, "provider_unavailable"),
        ({"kind": "malformed", "mode": "html"}, 503, "provider_unavailable"),
    ):
        api_till.fault(fault["kind"], "create_session", **{key: fault[key] for key in fault if key != "kind"})
        answer = await ada.post(CHECKOUTS, {"amount": "25.00"})
        assert (answer.status_code, answer.json()["code"]) == (status, code), fault
        for word in ("stripe", "Stripe", "sk_test", "<html", "cus_"):
            assert word not in answer.text
    assert api_till.gateway is not None


async def test_what_stripe_refuses_is_told_in_our_words(api_till, ada) -> None:
    await ada.post(SETUPS)
    [customer] = api_till.objects("customer", ada.account_id)
    async with httpx.AsyncClient(base_url=api_till.sandbox.url, auth=(KEY, ""), trust_env=False) as dashboard:
        assert (await dashboard.delete(f"/v1/customers/{customer['id']}")).status_code == 200
    for _ in range(2):
        answer = await ada.post(CHECKOUTS, {"amount": "25.00"}, key="k")
        told = answer.json()
        assert (answer.status_code, told["code"], told["retryable"]) == (502, "provider_error", False)
        assert "cus_" not in answer.text


async def test_reading_goes_on_without_stripe(api_till, ada) -> None:
    made = (await ada.post(CHECKOUTS, {"amount": "25.00"})).json()
    for fault in ("server_error", "unauthorized", "malformed"):
        api_till.fault(fault, "get_session", times=3)
        answer = await ada.http.get(f"{CHECKOUTS}/{made['id']}")
        assert (answer.status_code, answer.json()) == (200, made)
        api_till.sandbox.faults.clear()


async def test_the_list_shows_visits_newest_first(ada) -> None:
    ids = [(await ada.post(CHECKOUTS, {"amount": "25.00"})).json()["id"] for _ in range(3)]
    first = (await ada.http.get(CHECKOUTS, params={"limit": 2})).json()
    rest = (await ada.http.get(CHECKOUTS, params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert [one["id"] for one in first["data"] + rest["data"]] == ids[::-1]
    assert rest["has_more"] is False


async def test_nobody_sees_anothers_visits_and_cards(api_till, new_caller) -> None:
    ada, eve = await new_caller(), await new_caller()
    made = (await ada.post(SETUPS)).json()
    await api_till.stripe.pay(made["url"].rpartition("/")[2])
    card = (await ada.http.get(f"{CHECKOUTS}/{made['id']}")).json()["payment_method_id"]
    assert (await eve.http.get(f"{CHECKOUTS}/{made['id']}")).status_code == 404
    assert (await eve.http.get(f"{CARDS}/{card}")).status_code == 404
    assert (await eve.http.delete(f"{CARDS}/{card}")).status_code == 404
    assert (await eve.http.get(CARDS)).json()["data"] == []
    assert (await eve.http.get(CHECKOUTS)).json()["data"] == []
    assert (await ada.http.get(f"{CARDS}/{card}")).status_code == 200


@pytest.mark.parametrize(
    "call",
    [
        "create_customer",
        "create_session",
        "get_session",
        "get_payment_intent",
        "list_payment_methods",
        "detach_payment_method",
    ],
)
async def test_nothing_is_locked_while_stripe_is_asked(call, api_till, ada, database_urls) -> None:
    async def everything():
        made = (await ada.post(CHECKOUTS, {"amount": "25.00", "save_card": True})).json()
        await api_till.stripe.pay(made["url"].rpartition("/")[2])
        assert (await ada.http.get(f"{CHECKOUTS}/{made['id']}")).json()["status"] == "complete"
        [card] = (await ada.http.get(CARDS)).json()["data"]
        assert (await ada.http.delete(f"{CARDS}/{card['id']}")).status_code == 204

    api_till.fault("slow", call, seconds=0.4)
    before = api_till.sandbox.faults.struck.total()
    doing = asyncio.create_task(everything())
    while api_till.sandbox.faults.struck.total() == before:
        await asyncio.sleep(0.01)
        assert not doing.done()
    connection = await asyncpg.connect(database_urls.admin)
    open_transactions = await connection.fetch(
        "SELECT query FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'hourglass-%' "
        "AND xact_start IS NOT NULL AND state <> 'active'"
    )
    await connection.close()
    assert open_transactions == []
    await doing


async def test_cards_are_shown_and_taken_off_for_good(api_till, ada) -> None:
    for number in ("4242424242424242", "5555555555554444"):
        made = (await ada.post(SETUPS)).json()
        assert (made["purpose"], made["amount"]) == ("save_card", None)
        await api_till.stripe.pay(made["url"].rpartition("/")[2], number)
        await ada.http.get(f"{CHECKOUTS}/{made['id']}")
        api_till.clock.move(seconds=1)
    shown = (await ada.http.get(CARDS)).json()["data"]
    assert [(one["brand"], one["last4"]) for one in shown] == [("mastercard", "4444"), ("visa", "4242")]
    pages = [await ada.http.get(CARDS, params={"limit": 1})]
    pages.append(await ada.http.get(CARDS, params={"limit": 1, "cursor": pages[0].json()["next_cursor"]}))
    assert [page.json()["data"][0] for page in pages] == shown
    first = shown[0]["id"]
    assert (await ada.http.get(f"{CARDS}/{first}")).json() == shown[0]
    assert (await ada.http.delete(f"{CARDS}/{first}")).status_code == 204
    assert (await ada.http.get(f"{CARDS}/{first}")).status_code == 404
    assert (await ada.http.delete(f"{CARDS}/{first}")).status_code == 404
    assert [one["id"] for one in (await ada.http.get(CARDS)).json()["data"]] == [shown[1]["id"]]
    assert (await api_till.gateway.get_card(first)).customer_id is None
    assert (await api_till.told(ada.account_id))["payment_method.removed"] == 1


async def test_a_card_that_could_not_be_taken_off_is_still_there(api_till, ada) -> None:
    made = (await ada.post(SETUPS)).json()
    await api_till.stripe.pay(made["url"].rpartition("/")[2])
    card = (await ada.http.get(f"{CHECKOUTS}/{made['id']}")).json()["payment_method_id"]
    for fault in ("server_error", "timeout_after_success"):
        api_till.fault(fault, "detach_payment_method", **({"mode": "drop"} if fault.startswith("t") else {}))
        assert (await ada.http.delete(f"{CARDS}/{card}")).status_code == 503
        assert (await ada.http.get(f"{CARDS}/{card}")).status_code == 200
    assert (await ada.http.delete(f"{CARDS}/{card}")).status_code == 204


async def test_the_portal_opens_with_an_address_that_is_told_to_nobody_else(api_till, ada, capfd) -> None:
    answer = await ada.http.post(PORTAL)
    shown = answer.json()
    assert answer.status_code == 200
    assert shown["object"] == "portal_session"
    assert shown["url"].startswith(f"{api_till.sandbox.url}/p/session/")
    secret = shown["url"].rpartition("/")[2]
    assert secret not in "".join(capfd.readouterr())
    [session] = [one for one in api_till.stripe.books.store.all("billing_portal.session") if one["url"] == shown["url"]]
    assert session["return_url"] == "http://test/v1/billing/return"
    assert answer.headers["cache-control"] == "no-store"


async def test_where_no_card_is_taken_that_is_said(api_till, api_db, auth_db, new_caller) -> None:
    tools = TopupTools(api_db, None, api_till.clock, "http://test", "tills")
    bare = app_of(State(api_db, Authenticator(auth_db, PEPPER), api_till.clock, tools))
    caller = await new_caller(using=bare)
    for path, body in ((CHECKOUTS, {"amount": "25.00"}), (SETUPS, None), (PORTAL, None)):
        answer = await caller.post(path, body)
        told = answer.json()
        assert (answer.status_code, told["code"], told["retryable"]) == (503, "provider_unavailable", False)
        assert told["detail"] == "Card payments are not set up."
        assert told["suggestion"]
    assert (await caller.http.get(CARDS)).json()["data"] == []
    assert (await caller.http.get(CHECKOUTS)).json()["data"] == []


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("POST", CHECKOUTS, "billing:write"),
        ("POST", SETUPS, "billing:write"),
        ("POST", PORTAL, "billing:write"),
        ("GET", CHECKOUTS, "billing:read"),
        ("GET", CARDS, "billing:read"),
        ("DELETE", f"{CARDS}/pm_1", "billing:write"),
    ],
)
async def test_each_needs_its_scope(method, path, scope, new_caller) -> None:
    caller = await new_caller(scopes={"billing:read" if scope == "billing:write" else "billing:write"})
    answer = await caller.http.request(method, path, json={"amount": "25.00"} if path == CHECKOUTS else None)
    assert (answer.status_code, answer.json()["required_scope"]) == (403, scope)


async def test_the_page_to_come_back_to_says_nothing_of_anybody(ada) -> None:
    async with httpx.AsyncClient(transport=ada.http._transport, base_url="http://test") as anybody:
        pages = [
            await anybody.get(f"/v1/billing/return{query}")
            for query in ("", "?checkout=chk_1", "?checkout=<script>alert(1)</script>")
        ]
    assert {page.status_code for page in pages} == {200}
    assert len({page.text for page in pages}) == 1
    assert "You can close this page" in pages[0].text
    assert pages[0].headers["content-type"].startswith("text/html")
    assert pages[0].headers["content-security-policy"].startswith("default-src 'none'")


async def test_the_email_of_an_account_is_what_stripe_is_told_once(api_till, ada) -> None:
    await ada.post(SETUPS)
    [customer] = api_till.objects("customer", ada.account_id)
    [row] = await api_till.rows("customers", ada.account_id)
    assert customer["email"] == row["email"]
    assert row["customer_id"] == customer["id"]
    assert replace(api_till).gateway is api_till.gateway
