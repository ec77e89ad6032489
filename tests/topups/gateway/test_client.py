"""How we speak HTTP with Stripe: what is sent, what is tried again, and what each answer means."""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl

import pytest
import stripe

from app.topups import LiveKeyError, Stripe
from app.topups.gateway.errors import (
    StripeBusy,
    StripeMissing,
    StripeRefused,
    StripeUnauthorized,
    StripeUnavailable,
    StripeUnknown,
)
from app.topups.gateway.facts import ChargeOrder, RefundOrder, SessionOrder, Visit

SECRET_KEY = "sk_test_verysecretindeed"
HOUR = timedelta(hours=1)
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
CHARGE = ChargeOrder("tup_1", "acct_1", "cus_1", "pm_1", 10_000_000, "Automatic top-up", "ada@example.com")
VISIT = Visit("chk_1", "acct_1", "cus_1", 25_000_000, save_card=True, return_url="http://test/return")


class Peer:
    """Answers as it is told, and remembers what it was asked."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[tuple[str, dict[str, str], str]] = []
        """Request line, headers, body."""
        self.answers: list[bytes | None] = []
        """What is answered next, None for a cut connection; the last one is repeated."""

    def will(self, *answers: tuple[int, object] | bytes | None, **headers: str) -> None:
        self.answers = [one if one is None or isinstance(one, bytes) else raw(*one, **headers) for one in answers]

    async def serve(self, reader, writer) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                line, *rest = head.strip().split("\r\n")
                headers = {name.lower(): value for name, value in (one.split(": ", 1) for one in rest)}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                self.asked.append((line, headers, body.decode()))
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                if answer is None:
                    break
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


def raw(status: int, body: object, **headers: str) -> bytes:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    told = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} X\r\nContent-Length: {len(content)}\r\n{told}\r\n".encode() + content


def error(message="no", **more):
    return {"error": {"type": "invalid_request_error", "message": message} | more}


@pytest.fixture
async def peer():
    peer = Peer()
    server = await asyncio.start_server(peer.serve, "127.0.0.1", 0)
    peer.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield peer
    server.close()
    await server.wait_closed()


@asynccontextmanager
async def opened(url: str, **more):
    gateway = Stripe(SECRET_KEY, base_url=url, timeout_seconds=more.pop("timeout_seconds", 1.0), deployment="d", **more)
    yield gateway
    await gateway.aclose()


@pytest.fixture
async def gateway(peer):
    async with opened(peer.url) as gateway:
        yield gateway


CHANGES = {
    "create_customer": lambda one: one.create_customer(account_id="acct_1", email="ada@example.com", name="Ada"),
    "create_session": lambda one: one.create_session(one.session_order(VISIT)),
    "charge": lambda one: one.charge(CHARGE),
    "create_refund": lambda one: one.create_refund(RefundOrder("rfd_1", "acct_1", "pi_1", 5_000_000)),
    "create_portal_session": lambda one: one.create_portal_session(customer_id="cus_1", return_url="http://test"),
    "detach_card": lambda one: one.detach_card("pm_1"),
    "expire_session": lambda one: one.expire_session("cs_1"),
    "cancel_payment": lambda one: one.cancel_payment("pi_1"),
}
READS = {
    "find_customer": lambda one: one.find_customer(account_id="acct_1", email="ada@example.com"),
    "get_card": lambda one: one.get_card("pm_1"),
    "list_cards": lambda one: one.list_cards("cus_1"),
    "get_setup": lambda one: one.get_setup("seti_1"),
    "get_session": lambda one: one.get_session("cs_1"),
    "find_session": lambda one: one.find_session(customer_id="cus_1", checkout_id="chk_1"),
    "find_charge": lambda one: one.find_charge(customer_id="cus_1", attempt_id="tup_1", since=NOW),
    "get_payment": lambda one: one.get_payment("pi_1"),
    "get_payment_of_charge": lambda one: one.get_payment_of_charge("ch_1"),
    "find_refund": lambda one: one.find_refund(payment_intent_id="pi_1", refund_id="rfd_1"),
    "get_refund": lambda one: one.get_refund("re_1"),
    "get_dispute": lambda one: one.get_dispute("du_1"),
    "list_events": lambda one: one.list_events(types=["charge.refunded"], after=None, since=NOW),
    "list_payments": lambda one: one.list_payments(since=NOW, until=NOW + HOUR),
    "list_refunds": lambda one: one.list_refunds(since=NOW, until=NOW + HOUR),
    "list_disputes": lambda one: one.list_disputes(since=NOW, until=NOW + HOUR),
    "list_balance_transactions": lambda one: one.list_balance_transactions(since=NOW, until=NOW + HOUR),
}
KEYS = {
    "create_customer": "customer:acct_1",
    "create_session": "chk_1",
    "charge": "tup_1",
    "create_refund": "refund:rfd_1",
}


@pytest.mark.parametrize("name", CHANGES)
async def test_a_change_is_sent_once_and_its_outcome_is_unknown(name, peer, gateway) -> None:
    for answer in ((500, error()), (503, b"<html>"), None, (200, b"{"), (200, []), (200, {"id": 7}), (302, {})):
        if name in {"detach_card", "expire_session", "cancel_payment"} and answer in [(200, []), (200, {"id": 7})]:
            continue  # nothing is read of these
        peer.asked.clear()
        peer.will(answer)
        with pytest.raises(StripeUnknown) as caught:
            await CHANGES[name](gateway)
        assert not caught.value.replayed
        assert len(peer.asked) == 1, answer


@pytest.mark.parametrize("name", READS)
async def test_a_reading_is_tried_three_times(name, peer, gateway) -> None:
    for answer in ((500, error()), (200, b"{"), None):
        peer.asked.clear()
        peer.will(answer)
        with pytest.raises(StripeUnavailable):
            await READS[name](gateway)
        assert 2 <= len(peer.asked) <= 3, answer
        assert {line.partition(" ")[0] for line, _, _ in peer.asked} == {"GET"}


async def test_a_reading_that_succeeds_in_the_end_is_no_error(peer, gateway) -> None:
    peer.will((500, error()), (429, error()), (200, {"id": "ch_1", "payment_intent": "pi_1"}), Retry_After="0.1")
    assert await gateway.get_payment_of_charge("ch_1") == "pi_1"
    assert len(peer.asked) == 3


@pytest.mark.parametrize("name", CHANGES)
async def test_every_change_carries_a_key_and_says_the_same_each_time(name, peer, gateway) -> None:
    peer.will((500, error()))
    for _ in range(2):
        with pytest.raises(StripeUnknown):
            await CHANGES[name](gateway)
    (_, headers, body), (_, again, body_again) = peer.asked
    assert body == body_again
    if name in KEYS:
        assert headers["idempotency-key"] == again["idempotency-key"] == KEYS[name]
    else:  # asked twice it does the same anyway; an error must not be repeated to us for a day
        assert headers["idempotency-key"] != again["idempotency-key"]


@pytest.mark.parametrize("name", [*CHANGES, *READS])
async def test_what_is_sent_tells_nothing_of_this_machine(name, peer, gateway) -> None:
    peer.will((500, error()))
    with pytest.raises((StripeUnknown, StripeUnavailable)):
        await (CHANGES | READS)[name](gateway)
    for _, headers, _ in peer.asked:
        assert headers["authorization"] == f"Bearer {SECRET_KEY}"
        assert headers["stripe-version"] == stripe.api_version
        assert not [one for one in headers if one.startswith("x-stripe") or "telemetry" in one]
        assert "AIAgent" not in headers.get("user-agent", "")


@pytest.mark.parametrize("name", KEYS)
async def test_everything_that_we_make_carries_whose_it_is(name, peer, gateway) -> None:
    peer.will((500, error()))
    with pytest.raises(StripeUnknown):
        await CHANGES[name](gateway)
    sent = dict(parse_qsl(peer.asked[0][2]))
    assert (sent["metadata[account_id]"], sent["metadata[deployment]"]) == ("acct_1", "d")
    ours = {"create_session": "checkout_id", "charge": "attempt_id", "create_refund": "refund_id"}.get(name)
    assert ours is None or sent[f"metadata[{ours}]"] in {"chk_1", "tup_1", "rfd_1"}
    if name == "create_session":
        inner = {key: value for key, value in sent.items() if key.startswith("payment_intent_data[metadata]")}
        assert {"acct_1", "chk_1", "d"} == set(inner.values())


async def test_amounts_are_sent_in_cents(peer, gateway) -> None:
    peer.will((500, error()))
    for name in ("create_session", "charge", "create_refund"):
        with pytest.raises(StripeUnknown):
            await CHANGES[name](gateway)
    session, charge, refund = (dict(parse_qsl(body)) for _, _, body in peer.asked)
    assert session["line_items[0][price_data][unit_amount]"] == "2500"
    assert (charge["amount"], charge["off_session"], charge["confirm"]) == ("1000", "true", "true")
    assert refund["amount"] == "500"


async def test_part_of_a_cent_is_never_sent(peer, gateway) -> None:
    with pytest.raises(ValueError, match="cents"):
        await gateway.create_refund(RefundOrder("rfd_1", "acct_1", "pi_1", 5_000_001))
    assert peer.asked == []


async def test_a_kept_order_is_sent_in_the_same_order(peer, gateway) -> None:
    """A database may keep the keys of an object in another order."""
    peer.will((500, error()))
    order = gateway.session_order(VISIT)
    shuffled = SessionOrder(order.checkout_id, dict(reversed(json.loads(json.dumps(order.params)).items())))
    for one in (order, shuffled):
        with pytest.raises(StripeUnknown):
            await gateway.create_session(one)
    assert peer.asked[0][2] == peer.asked[1][2]


async def test_an_answer_that_is_repeated_says_so(peer, gateway) -> None:
    peer.will((500, error()), Idempotent_Replayed="true")
    with pytest.raises(StripeUnknown) as caught:
        await CHANGES["charge"](gateway)
    assert caught.value.replayed


@pytest.mark.parametrize("status", [409, 429])
async def test_when_stripe_wants_us_to_wait_nothing_has_happened(status, peer, gateway) -> None:
    peer.will((status, error(code="lock_timeout")), Retry_After="3")
    with pytest.raises(StripeBusy) as caught:
        await CHANGES["create_customer"](gateway)
    assert caught.value.retry_after == 3.0
    assert len(peer.asked) == 1


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_key_is_told_apart(status, peer, gateway) -> None:
    peer.will((status, error(f"Invalid API Key provided: {SECRET_KEY}")))
    for call in (CHANGES["create_customer"], READS["get_card"]):
        with pytest.raises(StripeUnauthorized) as caught:
            await call(gateway)
        assert SECRET_KEY not in repr(caught.value)


async def test_a_refusal_has_a_code_and_keeps_its_words_to_itself(peer, gateway) -> None:
    peer.will((400, error("Invalid email address: ada@example", code="email_invalid", param="email")))
    with pytest.raises(StripeRefused) as caught:
        await CHANGES["create_customer"](gateway)
    assert (caught.value.code, caught.value.param) == ("email_invalid", "email")
    assert "ada" not in f"{caught.value}{caught.value!r}"
    assert not isinstance(caught.value, StripeMissing)


async def test_another_wish_under_the_same_key_is_a_refusal(peer, gateway) -> None:
    peer.will((400, {"error": {"type": "idempotency_error", "message": "no"}}))
    with pytest.raises(StripeRefused) as caught:
        await CHANGES["charge"](gateway)
    assert caught.value.code == "idempotency_error"


async def test_what_is_not_there_is_missing(peer, gateway) -> None:
    for answer in ((404, error()), (400, error(code="resource_missing", param="customer"))):
        peer.will(answer)
        for call in (CHANGES["charge"], READS["get_payment"]):
            with pytest.raises(StripeMissing):
                await call(gateway)


async def test_where_nobody_listens_nothing_was_sent(peer) -> None:
    async with opened("http://127.0.0.1:9") as gateway:
        for call in (*CHANGES.values(), READS["get_card"]):
            with pytest.raises(StripeUnavailable):
                await call(gateway)


async def test_whoever_never_answers_is_left_in_time() -> None:
    async def stay_silent(reader, writer) -> None:
        await reader.read()  # until the caller leaves
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(stay_silent, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with opened(url, timeout_seconds=0.2) as gateway:
        with pytest.raises(StripeUnknown):
            await asyncio.wait_for(CHANGES["charge"](gateway), 2)
        with pytest.raises(StripeUnavailable):
            await asyncio.wait_for(READS["get_card"](gateway), 2)
    server.close()
    await server.wait_closed()


async def test_an_answer_without_end_is_not_read_to_its_end(peer, gateway) -> None:
    head = b"HTTP/1.1 200 X\r\nContent-Length: 90000000\r\n\r\n"
    peer.will(head + b" " * (9 * 1024 * 1024))
    with pytest.raises(StripeUnknown):
        await CHANGES["create_customer"](gateway)


async def test_every_call_is_counted_by_its_outcome(peer) -> None:
    seen: list[tuple[str, str, str]] = []
    async with opened(peer.url, on_call=lambda *told: seen.append(told[:3])) as gateway:
        peer.will((500, error()))
        with pytest.raises(StripeUnknown):
            await CHANGES["charge"](gateway)
        peer.will((200, {"id": "cus_1"}))
        await CHANGES["create_customer"](gateway)
    assert seen == [("stripe", "charge", "StripeUnknown"), ("stripe", "create_customer", "ok")]


@pytest.mark.parametrize("url", ["http://127.0.0.1:8001", "http://localhost", "http://[::1]:1", "http://x.localhost"])
@pytest.mark.parametrize("key", ["sk_live_1", "rk_live_1"])
async def test_a_live_key_is_never_told_to_this_machine(url, key) -> None:
    with pytest.raises(LiveKeyError):
        Stripe(key, base_url=url)


async def test_a_live_key_is_for_stripe() -> None:
    live, test = Stripe("sk_live_1"), Stripe("sk_test_1")
    assert (live.livemode, test.livemode) == (True, False)
    await live.aclose()
    await test.aclose()


async def test_no_log_repeats_a_key_or_an_answer(peer, gateway, caplog, capfd) -> None:
    url = "https://billing.stripe.com/p/session/live_topsecret"
    with caplog.at_level(logging.DEBUG):
        peer.will((200, {"id": "bps_1", "url": url}))
        assert await CHANGES["create_portal_session"](gateway) == url
        peer.will((200, json.dumps({"url": url}).encode()[:-1]))
        with pytest.raises(StripeUnknown) as caught:
            await CHANGES["create_portal_session"](gateway)
    told = "".join(capfd.readouterr()) + caplog.text + repr(caught.value) + str(caught.value.__cause__)
    assert "topsecret" not in told
    assert SECRET_KEY not in told
