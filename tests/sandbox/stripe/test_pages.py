"""The pages, as a browser without scripts uses them."""

import html
import re
from urllib.parse import urlsplit

import pytest

CARD = {"number": "4242 4242 4242 4242", "expiry": "12 / 34", "cvc": "123", "name": "Pat Payer"}
ASKED = CARD | {"number": "4000 0027 6000 3184"}


def path_of(url):
    return urlsplit(url).path


def text_of(answer):
    return html.unescape(re.sub(r"<[^>]+>", " ", answer.text))


@pytest.fixture
async def session(client, order):
    return await client.checkout.sessions.create_async(order)


@pytest.fixture
async def portal(client, customer):
    wanted = {"customer": customer.id, "return_url": "https://merchant.example/account"}
    return await client.billing_portal.sessions.create_async(wanted)


async def test_a_visitor_pays_and_is_sent_back_once_the_merchant_knows(browser, client, endpoint, session):
    page = await browser.get(path_of(session.url))
    assert page.status_code == 200
    for told in ("TEST MODE", "Pay $25.00", "payer@example.com", "Credit"):
        assert told in text_of(page)
    for field in ("number", "expiry", "cvc", "name"):
        assert f'name="{field}"' in page.text
    assert "https://merchant.example/cancel" in page.text
    paid = await browser.post(path_of(session.url), data=CARD)
    assert (paid.status_code, paid.headers["location"]) == (
        303, f"https://merchant.example/return?checkout={session.id}",
    )  # fmt: skip
    assert "checkout.session.completed" in endpoint.types
    done = await client.checkout.sessions.retrieve_async(session.id, {"expand": ["payment_intent.payment_method"]})
    method = done.payment_intent.payment_method
    assert (done.payment_status, method.card.exp_year, method.billing_details.name) == ("paid", 2034, "Pat Payer")
    again = await browser.get(path_of(session.url))
    assert "all done" in text_of(again)
    twice = await browser.post(path_of(session.url), data=CARD)
    assert "all done" in text_of(twice)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"number": "4000 0000 0000 0002"}, "Your card was declined."),
        ({"number": "4000 0000 0000 9995"}, "insufficient funds"),
        ({"number": "4242 4242 4242 4243"}, "number is invalid"),
        ({"number": "4242"}, "number is incomplete"),
        ({"number": "4111 1111 1111 1111"}, "used a non test card"),
        ({"expiry": "1/20"}, "in the past"),
        ({"expiry": "13/40"}, "expiration date is incomplete"),
        ({"expiry": ""}, "expiration date is incomplete"),
        ({"cvc": "12"}, "security code is incomplete"),
        ({"name": ""}, "Enter the name"),
    ],
)
async def test_what_is_wrong_is_told_on_the_page(browser, merchant, session, wrong, told):
    page = await browser.post(path_of(session.url), data=CARD | wrong)
    assert page.status_code == 402
    assert told in text_of(page)
    assert 'role="alert"' in page.text
    assert 'value="123"' not in page.text
    assert ("4111" in page.text) is False
    assert merchant.truth().succeeded == []
    assert (await browser.post(path_of(session.url), data=CARD)).status_code == 303


async def test_the_bank_s_question_is_approved_or_failed(browser, client, session):
    asked = await browser.post(path_of(session.url), data=ASKED)
    challenge = asked.headers["location"]
    assert challenge == f"/c/pay/{session.id}/challenge"
    assert "$25.00" in text_of(await browser.get(challenge))
    failed = await browser.post(challenge, data={"answer": "fail"})
    assert (failed.status_code, "unable to authenticate" in text_of(failed)) == (402, True)
    assert (await browser.get(challenge)).headers["location"] == f"/c/pay/{session.id}"
    await browser.post(path_of(session.url), data=ASKED)
    approved = await browser.post(challenge, data={"answer": "approve"})
    assert approved.headers["location"].startswith("https://merchant.example/return")
    assert (await client.checkout.sessions.retrieve_async(session.id)).payment_status == "paid"


@pytest.mark.parametrize("ticked", [True, False])
async def test_the_box_decides_whether_a_card_is_kept(browser, client, customer, order, ticked):
    del order["payment_intent_data"]["setup_future_usage"]
    order["saved_payment_method_options"] = {"payment_method_save": "enabled"}
    session = await client.checkout.sessions.create_async(order)
    assert "Save this card" in (await browser.get(path_of(session.url))).text
    await browser.post(path_of(session.url), data=CARD | ({"save": "1"} if ticked else {}))
    assert len((await client.customers.payment_methods.list_async(customer.id)).data) == ticked


async def test_a_card_is_saved_without_a_payment(browser, client, customer, order):
    wanted = {"mode": "setup", "customer": customer.id, "currency": "usd", "success_url": order["success_url"]}
    session = await client.checkout.sessions.create_async(wanted)
    page = await browser.get(path_of(session.url))
    assert "Save card" in text_of(page)
    assert "bank account" not in text_of(page)
    asked = await browser.post(path_of(session.url), data=ASKED)
    assert "save" in text_of(await browser.get(asked.headers["location"]))
    done = await browser.post(asked.headers["location"], data={"answer": "approve"})
    assert done.headers["location"].endswith(session.id)
    assert [row.card.last4 for row in (await client.customers.payment_methods.list_async(customer.id)).data] == ["3184"]


async def test_a_bank_debit_goes_back_unpaid(browser, client, session):
    gone = await browser.post(path_of(session.url), data={"bank": "1"})
    assert gone.status_code == 303
    now = await client.checkout.sessions.retrieve_async(session.id)
    assert (now.status, now.payment_status) == ("complete", "unpaid")


async def test_pages_that_are_over_or_not_there_say_so(browser, merchant, session):
    merchant.expire(session.id)
    for method in ("GET", "POST"):
        over = await browser.request(method, f"/c/pay/{session.id}")
        assert (over.status_code, "expired" in text_of(over)) == (410, True)
        lost = await browser.request(method, "/c/pay/cs_test_unknown/challenge")
        assert lost.status_code == 404
    assert (await browser.get("/p/session/unknown")).status_code == 404
    assert (await browser.get("/receipts/unknown")).status_code == 404


async def test_what_a_merchant_or_visitor_writes_is_no_markup(browser, client, order):
    order["line_items"][0]["price_data"]["product_data"]["name"] = "<script>alert(1)</script>"
    session = await client.checkout.sessions.create_async(order)
    page = await browser.post(path_of(session.url), data=CARD | {"name": '"><img src=x>', "cvc": ""})
    assert "<script" not in page.text
    assert "<img" not in page.text
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert page.headers["cache-control"] == "no-store"


async def test_only_addresses_of_the_web_are_gone_back_to(client, order):
    with pytest.raises(Exception, match="Not a valid URL"):
        await client.checkout.sessions.create_async(order | {"success_url": "javascript:alert(1)"})


async def test_the_portal_shows_adds_and_removes_cards(browser, client, merchant, endpoint, customer, portal):
    old = merchant.add_card(customer.id, "5555555555554444")
    here = path_of(portal.url)
    page = await browser.get(here)
    assert {"mastercard", "4444", "https://merchant.example/account"} <= set(re.findall(r"[\w:/.-]+", page.text))
    assert (await browser.post(f"{here}/add", data=CARD)).headers["location"] == here
    await browser.post(f"{here}/remove", data={"method": old["id"]})
    assert [row.card.last4 for row in (await client.customers.payment_methods.list_async(customer.id)).data] == ["4242"]
    assert "default" in text_of(await browser.get(here))
    await merchant.webhooks.drained()
    assert endpoint.types == ["setup_intent.succeeded", "payment_method.detached"]


async def test_the_portal_asks_the_holder_and_tells_of_declines(browser, client, customer, portal):
    here = path_of(portal.url)
    asked = await browser.post(f"{here}/add", data=ASKED)
    assert "3184" in text_of(await browser.get(asked.headers["location"]))
    failed = await browser.post(asked.headers["location"], data={"answer": "fail"})
    assert "unable to authenticate" in text_of(failed)
    asked = await browser.post(f"{here}/add", data=ASKED)
    assert (await browser.post(asked.headers["location"], data={"answer": "approve"})).headers["location"] == here
    for wrong in ({"number": "4000000000000002"}, {"number": "4111111111111111"}, {"cvc": ""}):
        page = await browser.post(f"{here}/add", data=CARD | wrong)
        assert (page.status_code, 'role="alert"' in page.text) == (402, True)
    assert len((await client.customers.payment_methods.list_async(customer.id)).data) == 1


async def test_the_portal_goes_back_after_the_one_thing_it_was_opened_for(browser, client, customer):
    wanted = {
        "customer": customer.id,
        "flow_data": {
            "type": "payment_method_update",
            "after_completion": {"type": "redirect", "redirect": {"return_url": "https://merchant.example/done"}},
        },
    }
    portal = await client.billing_portal.sessions.create_async(wanted)
    added = await browser.post(f"{path_of(portal.url)}/add", data=CARD)
    assert added.headers["location"] == "https://merchant.example/done"


async def test_another_customer_s_card_is_not_removed(browser, client, merchant, portal):
    other = await client.customers.create_async({"email": "other@example.com"})
    card = merchant.add_card(other.id)
    await browser.post(f"{path_of(portal.url)}/remove", data={"method": card["id"]})
    assert (await client.payment_methods.retrieve_async(card["id"])).customer == other.id


async def test_a_receipt_tells_what_was_refunded(browser, client, merchant, paid):
    merchant.refund(paid, 500)
    intent = await client.payment_intents.retrieve_async(paid, {"expand": ["latest_charge"]})
    page = text_of(await browser.get(path_of(intent.latest_charge.receipt_url)))
    assert {"$25.00", "$5.00", "Visa •••• 4242"} <= set(re.split(r"\s{2,}|\n", page))
