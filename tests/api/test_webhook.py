"""What anybody may call: Stripe's webhook believes only what is signed, and the page after a payment tells nothing."""

from __future__ import annotations

import json
from uuid import uuid4

import asyncpg
import pytest
import stripe

from app.topups.gateway.account import API_VERSION

from .calling import Caller
from .conftest import STRIPE_KEY, WEBHOOK_SECRET
from .refusals import CANARY, TYPE, check

PATH = "/v1/webhooks/stripe"


@pytest.fixture
def receiving(world):
    return next(one for one in world.operations if one.path == PATH)


@pytest.fixture
async def stored(world):
    """How many events are stored."""
    admin = await asyncpg.connect(world.databases.urls.admin)

    async def counting():
        return await admin.fetchval("SELECT count(*) FROM stripe_events")

    yield counting
    await admin.close()


def event(**changes):
    name = uuid4().hex
    told = {
        "id": f"evt_{name}",
        "object": "event",
        "type": "payment_intent.succeeded",
        "api_version": API_VERSION,
        "created": 1_772_366_400,
        "livemode": False,
        "data": {"object": {"id": f"pi_{name}", "object": "payment_intent"}},
    }
    return json.dumps(told | changes).encode()


def signed(world, body, *, secret=WEBHOOK_SECRET, text=None):
    second = int(world.clock.now().timestamp())
    header = stripe.WebhookSignature.generate_signature_header(text or body.decode(), secret, second)
    return (b"stripe-signature", header.encode())


HOSTILE = (
    b"", b"null", b"[]", b"{", b"[" * 100_000, b"\xff\xfe", b"\x00" * 1_000, b"NaN", b'{"a": 1, "a": 2}',
    json.dumps({CANARY: CANARY}).encode(), event(), event(livemode=True), event(id=5), event(data={}), event(created="x"),
)  # fmt: skip


@pytest.mark.parametrize(
    "header",
    [
        None,
        b"",
        b"\xff",
        b"t=1,v1=" + b"0" * 64,
        b"t=99999999999999999999,v1=x",
        b"v1=x",
        b",,,===",
        b"t=1," + b"v1=00," * 20_000,
        CANARY.encode(),
    ],
)
async def test_nothing_unsigned_is_taken_whatever_it_is_and_whoever_sends_it(
    world, receiving, furnished, stored, header
) -> None:
    before = await stored()
    headers = [TYPE] if header is None else [TYPE, (b"stripe-signature", header)]
    for body in HOSTILE:
        for caller in (world.stranger, furnished.caller):
            answer = await caller.send("POST", PATH, body, headers)
            check(receiving, answer)
            assert (answer.status, answer.json()["code"]) == (400, "invalid_signature"), body[:50]
    assert await stored() == before


async def test_what_is_signed_by_another_or_was_changed_afterwards_is_not_taken(world, receiving, stored) -> None:
    before, body = await stored(), event()
    for header in (
        signed(world, body, secret="whsec_somebody_elses"),
        signed(world, body, secret=STRIPE_KEY),
        signed(world, body, text=body.decode() + " "),
    ):
        answer = await world.stranger.send("POST", PATH, body, [TYPE, header])
        check(receiving, answer)
        assert (answer.status, answer.json()["code"]) == (400, "invalid_signature")
    assert await stored() == before


async def test_what_is_signed_and_no_event_of_ours_is_refused_without_an_echo(world, receiving, stored) -> None:
    before = await stored()
    for body in (
        b"null", b"[]", b"{", b"[" * 10_000, b'{"a": 1, "a": 2}', json.dumps({CANARY: CANARY}).encode(),
        event(livemode=True), event(id=5), event(id=CANARY + "\0"), event(data={}), event(created="x"), event(created=2**63),
        event(type="x" * 9_000), event(api_version=["x"]), event(data={"object": {"id": "'; --"}}),
        event(data={"object": {"id": CANARY, "object": "\ud800"}}),
    ):  # fmt: skip
        answer = await world.stranger.send("POST", PATH, body, [TYPE, signed(world, body)])
        check(receiving, answer, refused=False)
        assert answer.status in (200, 400), body[:80]
        assert CANARY not in answer.text
    assert await stored() <= before + 4


async def test_a_signed_event_needs_no_key_and_is_stored_once(world, stored) -> None:
    before, body = await stored(), event()
    for caller in (world.stranger, Caller(world.app, "nonsense")):
        answer = await caller.send("POST", PATH, body, [TYPE, signed(world, body)])
        assert (answer.status, answer.content) == (200, b"")
    assert await stored() == before + 1


async def test_a_body_larger_than_any_event_is_refused_before_it_is_believed(world, receiving) -> None:
    body = event(padding="x" * (300 * 1024))
    for large in (body, body * 4):
        answer = await world.stranger.send("POST", PATH, large, [TYPE, signed(world, large)])
        check(receiving, answer)
        assert (answer.status, answer.headers["connection"]) == (413, "close")


@pytest.mark.parametrize("query", ["", f"?checkout={CANARY}", "?checkout=%00", "?checkout=<script>&x=%FF", "?&&="])
async def test_the_page_after_a_payment_tells_everybody_the_same(world, furnished, query) -> None:
    plain = await world.stranger.send("GET", "/v1/billing/return")
    assert plain.headers["content-type"].startswith("text/html")
    assert plain.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    for caller in (world.stranger, furnished.caller):
        answer = await caller.send("GET", f"/v1/billing/return{query}")
        assert (answer.status, answer.content) == (200, plain.content)
