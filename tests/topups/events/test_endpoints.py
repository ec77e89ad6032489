"""Stripe's webhook: what is refused, what is stored, and that nothing more is done here."""

from __future__ import annotations

import hmac
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx
import pytest
import stripe
from sqlalchemy.exc import DBAPIError

from app.kit.db import driver
from app.topups.events.endpoints import BODY_BYTES_MAX, router
from app.topups.gateway.account import API_VERSION, Stripe
from app.topups.tools import TopupTools
from tests.applications import new_app

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SECRET, ROLLED_SECRET, OTHER_SECRET = "whsec_present", "whsec_before", "whsec_somebody_elses"
PATH = "/v1/webhooks/stripe"


@dataclass
class HandClock:
    at: datetime = NOW

    def now(self):
        return self.at


@dataclass
class State:
    topups: TopupTools
    clock: HandClock


@pytest.fixture
async def gateway():
    gateway = Stripe("sk_test_x", base_url="http://127.0.0.1:9", webhook_secrets=(SECRET, ROLLED_SECRET))
    yield gateway
    await gateway.aclose()


@pytest.fixture
async def client(gateway, api_db):
    clock = HandClock()
    app = new_app(State(TopupTools(api_db, gateway, clock, "http://test", "test"), clock), router)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as opened:
        yield opened


@pytest.fixture
def stored(worker_db):
    async def finding(event_id):
        async with worker_db.begin_unscoped() as session:
            return await driver(session).fetch("SELECT * FROM stripe_events WHERE id = $1", event_id)

    return finding


def event(**changes):
    name = uuid4().hex
    return {
        "id": f"evt_{name}",
        "object": "event",
        "type": "payment_intent.succeeded",
        "api_version": API_VERSION,
        "created": int(NOW.timestamp()),
        "livemode": False,
        "data": {"object": {"id": f"pi_{name}", "object": "payment_intent"}},
        "pending_webhooks": 1,
    } | changes


def body_of(found):
    return json.dumps(found, indent=2).encode()


def signed(body, *, secret=SECRET, at=NOW):
    header = stripe.WebhookSignature.generate_signature_header(body.decode(), secret, int(at.timestamp()))
    return {"Stripe-Signature": header, "Content-Type": "application/json"}


async def code_of(answer):
    return answer.status_code, answer.json()["code"]


async def test_a_signed_event_is_stored_as_it_came_and_acknowledged(client, stored):
    found = event()
    body = body_of(found)
    answer = await client.post(PATH, content=body, headers=signed(body))
    assert (answer.status_code, answer.content) == (200, b"")
    [row] = await stored(found["id"])
    assert bytes(row["payload"]) == body
    assert (row["state"], row["source"], row["type"]) == ("new", "webhook", "payment_intent.succeeded")
    assert row["next_at"] == row["received_at"] == NOW


async def test_a_client_secret_is_not_kept(client, stored):
    found = event()
    found["data"]["object"] |= {"client_secret": "pi_1_secret_x", "description": 'a "client_secret": "of no one"'}
    body = body_of(found)
    assert (await client.post(PATH, content=body, headers=signed(body))).status_code == 200
    [row] = await stored(found["id"])
    kept = json.loads(row["payload"])
    assert kept.pop("data")["object"] == found.pop("data")["object"] | {"client_secret": None}
    assert kept == found


async def test_an_event_that_comes_again_is_acknowledged_and_stored_once(client, stored):
    body = body_of(found := event())
    answers = [await client.post(PATH, content=body, headers=signed(body)) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert len(await stored(found["id"])) == 1


async def test_a_secret_that_is_being_rolled_still_opens(client, stored):
    body = body_of(found := event())
    assert (await client.post(PATH, content=body, headers=signed(body, secret=ROLLED_SECRET))).status_code == 200
    assert await stored(found["id"])


async def test_one_right_signature_among_several_is_enough(client, stored):
    body = body_of(found := event())
    mine = signed(body)["Stripe-Signature"]
    header = mine.replace(",v1=", f",v1={'0' * 64},v0=what,v1=")
    assert (await client.post(PATH, content=body, headers={"Stripe-Signature": header})).status_code == 200
    assert await stored(found["id"])


async def test_a_forged_signature_is_refused(client, stored):
    body = body_of(found := event())
    forged = {"Stripe-Signature": f"t={int(NOW.timestamp())},v1={'a' * 64}"}
    assert await code_of(await client.post(PATH, content=body, headers=forged)) == (400, "invalid_signature")
    assert not await stored(found["id"])


@pytest.mark.parametrize(
    "header",
    ["", "t=", "v1=", "t=1,v1=", "nonsense", "t=now,v1=a", "t=1e9,v1=a", "v0=" + "a" * 64, "=" * 5000, "t=1" * 2000],
)
async def test_a_header_that_is_no_signature_is_refused(client, stored, header):
    body = body_of(found := event())
    answer = await client.post(PATH, content=body, headers={"Stripe-Signature": header})
    assert await code_of(answer) == (400, "invalid_signature")
    assert not await stored(found["id"])


async def test_no_signature_is_refused_whatever_the_bearer(client, stored):
    body = body_of(found := event())
    answer = await client.post(PATH, content=body, headers={"Authorization": "Bearer hg_test_anything"})
    assert await code_of(answer) == (400, "invalid_signature")
    assert not await stored(found["id"])


async def test_a_signature_by_another_secret_is_refused(client, stored):
    body = body_of(found := event())
    answer = await client.post(PATH, content=body, headers=signed(body, secret=OTHER_SECRET))
    assert await code_of(answer) == (400, "invalid_signature")
    assert not await stored(found["id"])


@pytest.mark.parametrize("minutes", [-5.1, -60, -60 * 24 * 365, 5.1, 60, 60 * 24 * 365])
async def test_a_message_signed_long_ago_or_in_the_future_is_refused(client, stored, minutes):
    body = body_of(found := event())
    answer = await client.post(PATH, content=body, headers=signed(body, at=NOW + timedelta(minutes=minutes)))
    assert await code_of(answer) == (400, "invalid_signature")
    assert not await stored(found["id"])


@pytest.mark.parametrize("minutes", [-4.9, 4.9])
async def test_clocks_may_differ_a_little(client, stored, minutes):
    body = body_of(found := event())
    answer = await client.post(PATH, content=body, headers=signed(body, at=NOW + timedelta(minutes=minutes)))
    assert answer.status_code == 200
    assert await stored(found["id"])


async def test_a_time_put_in_front_of_the_signed_one_is_refused(client, stored):
    body = body_of(found := event())
    old = signed(body, at=NOW - timedelta(hours=1))["Stripe-Signature"]
    for header in (f"t={int(NOW.timestamp())},{old}", f"{old},t={int(NOW.timestamp())}"):
        answer = await client.post(PATH, content=body, headers={"Stripe-Signature": header})
        assert await code_of(answer) == (400, "invalid_signature")
    assert not await stored(found["id"])


async def test_a_body_that_says_the_same_in_other_bytes_is_refused(client, stored):
    body = body_of(found := event())
    for other in (json.dumps(found).encode(), body + b"\n", b" " + body, body.replace(b"\n", b"\r\n")):
        answer = await client.post(PATH, content=other, headers=signed(body))
        assert await code_of(answer) == (400, "invalid_signature")
    assert not await stored(found["id"])


async def test_the_declared_type_of_the_body_does_not_matter_since_it_is_signed(client, stored):
    body = body_of(found := event())
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1"):
        answer = await client.post(PATH, content=body, headers=signed(body) | {"Content-Type": kind})
        assert answer.status_code == 200
    assert len(await stored(found["id"])) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"event"',
        b"{}",
        b'{"id": "evt_thin", "object": "v2.core.event", "type": "v1.charge.refunded", "related_object": {"id": "ch_1"}}',
        json.dumps(event(data={})).encode(),
        json.dumps(event(data={"object": None})).encode(),
        json.dumps(event(id=7)).encode(),
        json.dumps(event(id="evt_\u0000")).encode(),
        json.dumps(event(livemode="false")).encode(),
        json.dumps(event(created="yesterday")).encode(),
        json.dumps(event(created=10**18)).encode(),
        json.dumps(event(type=None)).encode(),
        ("[" * 50_000).encode(),
    ],
)
async def test_a_signed_message_that_is_no_whole_event_is_refused(client, body):
    answer = await client.post(PATH, content=body, headers=signed(body))
    assert await code_of(answer) == (400, "webhook_unreadable")


async def test_a_signed_message_that_is_no_text_is_refused(client):
    body = b'{"id": "\xff"}'
    second = int(NOW.timestamp())
    signature = hmac.new(SECRET.encode(), f"{second}.".encode() + body, "sha256").hexdigest()
    answer = await client.post(PATH, content=body, headers={"Stripe-Signature": f"t={second},v1={signature}"})
    assert await code_of(answer) == (400, "invalid_signature")


async def test_an_event_of_live_mode_is_refused(client, stored):
    body = body_of(found := event(livemode=True))
    answer = await client.post(PATH, content=body, headers=signed(body))
    assert await code_of(answer) == (400, "webhook_wrong_mode")
    assert not await stored(found["id"])


@pytest.mark.parametrize("version", ["2017-08-15", None])
async def test_another_version_of_the_api_is_taken_since_only_ids_are_read(client, stored, version):
    body = body_of(found := event(api_version=version))
    assert (await client.post(PATH, content=body, headers=signed(body))).status_code == 200
    [row] = await stored(found["id"])
    assert row["api_version"] == version


@pytest.mark.parametrize("size", [BODY_BYTES_MAX + 1, 1 << 20, (1 << 20) + 1, 8 << 20])
async def test_a_body_that_is_too_large_is_refused_however_well_it_is_signed(client, stored, size):
    found = event(padding="")
    found["padding"] = "x" * (size - len(json.dumps(found)))
    body = json.dumps(found).encode()
    assert len(body) == size
    assert await code_of(await client.post(PATH, content=body, headers=signed(body))) == (413, "body_too_large")
    assert not await stored(found["id"])


async def test_a_body_in_pieces_of_no_announced_length_is_bounded_too(client):
    taken = 0

    async def endless():
        nonlocal taken
        while True:
            taken += 16 * 1024
            yield b" " * 16 * 1024

    answer = await client.post(PATH, content=endless(), headers=signed(b"{}"))
    assert await code_of(answer) == (413, "body_too_large")
    assert taken <= BODY_BYTES_MAX + 32 * 1024


async def test_a_body_of_the_largest_size_is_taken(client, stored):
    found = event(padding="")
    found["padding"] = "x" * (BODY_BYTES_MAX - len(json.dumps(found)))
    body = json.dumps(found).encode()
    assert len(body) == BODY_BYTES_MAX
    assert (await client.post(PATH, content=body, headers=signed(body))).status_code == 200
    assert await stored(found["id"])


@pytest.mark.parametrize("statement", ["SELECT id FROM stripe_events", "UPDATE stripe_events SET state = 'done'"])
async def test_the_api_can_neither_read_nor_change_what_it_stored(api_db, statement):
    with pytest.raises(Exception, match="permission denied") as told:
        async with api_db.begin_unscoped() as session:
            await driver(session).execute(statement)
    assert not isinstance(told.value, DBAPIError)


async def test_nothing_is_taken_where_no_card_is(client, api_db):
    clock = HandClock()
    app = new_app(State(TopupTools(api_db, None, clock, "http://test", "test"), clock), router)
    body = body_of(event())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as other:
        answer = await other.post(PATH, content=body, headers=signed(body))
    assert answer.status_code == 503
