import pytest


@pytest.fixture
def control(browser):
    async def ask(path, body=None, method="POST"):
        answer = await browser.request(method, f"/_sandbox/stripe/{path}", json=body or {})
        return answer.status_code, answer.json()

    return ask


async def test_a_payment_s_whole_life_is_steered_over_http(client, control, order):
    session = await client.checkout.sessions.create_async(order)
    status, told = await control(f"sessions/{session.id}/pay", {"card": "4000000000009995"})
    assert (status, told["decline_code"]) == (402, "insufficient_funds")
    status, done = await control(f"sessions/{session.id}/pay")
    assert (status, done["payment_status"]) == (200, "paid")
    intent = done["payment_intent"]
    assert (await control(f"payments/{intent}/refund", {"amount": 300}))[1]["amount"] == 300
    assert (await control(f"payments/{intent}/warn"))[0] == 200
    dispute = (await control(f"payments/{intent}/dispute", {"inquiry": True}))[1]["id"]
    assert (await control(f"disputes/{dispute}/respond"))[1]["status"] == "warning_under_review"
    assert (await control(f"disputes/{dispute}/escalate"))[1]["status"] == "needs_response"
    assert (await control(f"disputes/{dispute}/close", {"won": True}))[1]["status"] == "won"
    _, truth = await control("truth", method="GET")
    assert [(row["received"], row["refunded"], row["withdrawn"]) for row in truth["payments"]] == [(2500, 300, 2200)]


async def test_cards_debits_and_sessions_are_steered(client, merchant, control, customer, order):
    _, card = await control(f"customers/{customer.id}/add-card", {"card": "4000000000000341"})
    assert (await control(f"cards/{card['id']}/change", {"card": "4242424242424242"}))[0] == 200
    assert (await control(f"cards/{card['id']}/renew", {"exp_month": 1, "exp_year": 2041}))[1]["card"][
        "exp_year"
    ] == 2041
    assert (await control(f"cards/{card['id']}/detach"))[1]["customer"] is None
    first, second = [await client.checkout.sessions.create_async(order) for _ in range(2)]
    await control(f"sessions/{first.id}/pay", {"card": "bank"})
    assert (await control(f"sessions/{first.id}/settle", {"ok": True}))[1]["payment_status"] == "paid"
    assert (await control(f"sessions/{second.id}/expire"))[1]["status"] == "expired"
    third = await client.checkout.sessions.create_async(order)
    paid = (await control(f"sessions/{third.id}/pay", {"card": "4000000000007726"}))[1]["payment_intent"]
    refund = (await control(f"payments/{paid}/refund"))[1]
    assert (await control(f"refunds/{refund['id']}/settle", {"ok": False}))[1]["status"] == "failed"


async def test_webhooks_are_steered(merchant, endpoint, control, paid):
    await merchant.webhooks.drained()
    status, now = await control("webhooks", {"types": ["radar.early_fraud_warning.created"], "paused": True})
    assert (status, now["paused"], now["url"]) == (200, True, endpoint.url)
    assert (await control("webhooks/troubles", {"kind": "duplicate", "times": 2}))[0] == 200
    merchant.warn(paid)
    assert (await control("webhooks", {"paused": False}))[1]["paused"] is False
    await merchant.webhooks.drained()
    assert endpoint.types.count("radar.early_fraud_warning.created") == 2
    assert len((await control("webhooks", method="GET"))[1]["troubles"]) == 1
    assert (await control("webhooks/troubles", method="DELETE"))[0] == 200
    assert (await control("webhooks", method="GET"))[1]["troubles"] == []
    await control(f"events/{endpoint.events[-1].id}/resend")
    await merchant.webhooks.drained()
    assert endpoint.types.count("radar.early_fraud_warning.created") == 3


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("sessions/cs_test_x/pay", {}, 404),
        ("sessions/cs_test_x/dance", {}, 404),
        ("payments/pi_x/refund", {"colour": "red"}, 422),
        ("events/evt_x/resend", {}, 404),
        ("webhooks", {"colour": "red"}, 422),
        ("webhooks/troubles", {"kind": "eat"}, 422),
    ],
)
async def test_what_is_not_there_is_told(control, path, body, status):
    assert (await control(path, body))[0] == status
