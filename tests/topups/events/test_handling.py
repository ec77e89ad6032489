"""Handling what Stripe told."""

from __future__ import annotations

from collections import Counter
from uuid import uuid4

import httpx
import pytest

from app import tenancy, wallet
from app.kit.ids import AccountId
from app.kit.leases import BUCKETS, Holding, bucket_name, hold_share, let_go
from app.kit.reconcile import Round, Runner
from app.sandbox.faults import Fault
from app.topups.events import queue as event_queue
from app.topups.events.queue import TRIES_MAX
from app.topups.events.reconcilers import forgetting, handling
from app.topups.visits.cards import list_cards
from app.topups.visits.checkouts import Purpose, Wish, open_checkout
from tests.topups.events.worlds import CENT, DEPLOYMENT


async def post(world, path, **params):
    """Ask Stripe for something behind our back; ``__`` stands for a bracket."""
    form = {key.replace("__", "[", 1) + ("]" if "__" in key else ""): value for key, value in params.items()}
    async with httpx.AsyncClient(base_url=world.sandbox.url, auth=("sk_test_sandbox", "")) as client:
        answer = await client.post(path, data=form)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def cards_of(world, account):
    async with world.tools.db.begin(account) as session:
        return list(await list_cards(session, account_id=account, limit=10))


async def outcomes(world):
    return Counter((row["state"], row["outcome"]) for row in (await world.rows()).values())


def made_up(event_type, **obj):
    return {
        "id": f"evt_{uuid4().hex}",
        "object": "event",
        "type": event_type,
        "api_version": "2026-10-28.endive",
        "created": 1_772_000_000,
        "livemode": False,
        "data": {"object": obj},
    }


async def test_a_deposit_is_credited_once_however_often_it_is_told(world):
    account = await world.account()
    await world.paid(account, 2500)
    for _ in range(3):
        await world.tell(*world.events(), *reversed(world.events()))
        await world.handle()
    assert await world.money(account) == (2500 * CENT, 0, 0)
    assert await world.ledger(account) == [("deposit", 2500 * CENT, "pay")]
    assert {row["state"] for row in (await world.rows()).values()} == {"done"}


async def test_events_of_one_object_are_handled_by_one_look(world):
    account = await world.account()
    payment = await world.paid(account, 2500)
    for _ in range(3):
        world.stripe.refund(payment, 100)
    events = [event for event in world.events() if not event["type"].startswith("checkout.")]
    assert len(events) > 5
    await world.tell(*events)
    before = len(world.sandbox.calls)
    assert await world.handle() == Counter({"applied": 1})
    assert len(world.sandbox.calls) - before <= 4
    assert await world.money(account) == (2200 * CENT, 0, 0)
    assert await outcomes(world) == Counter({("done", "applied"): len(events)})


async def test_what_is_paid_later_is_credited_when_it_is_paid(world):
    account = await world.account()
    row = await world.checkout(account, 5000)
    await world.stripe.pay(row.session_id, "bank")
    await world.tell(*world.events())
    await world.handle()
    assert await world.money(account) == (0, 0, 0)
    told = len(world.events())
    world.stripe.settle_async(row.session_id, ok=True)
    await world.tell(*world.events()[told:])
    await world.handle()
    assert await world.ledger(account) == [("deposit", 5000 * CENT, "pay")]


async def test_a_card_that_is_saved_and_taken_off_is_followed(world):
    account = await world.account()
    wish = Wish(Purpose.SAVE_CARD, key="save", created_by="test")
    row = (await open_checkout(world.tools, wish, account_id=account, at=world.clock.now())).row
    await world.stripe.pay(row.session_id)
    setup = [event for event in world.events() if event["type"] == "setup_intent.succeeded"]
    await world.tell(*setup)
    assert await world.handle() == Counter({"cards_read": 1})
    [card] = await cards_of(world, account)
    told = len(world.events())
    world.stripe.detach_card(card.id)
    await world.tell(*world.events()[told:], made_up("setup_intent.succeeded", id=setup[0]["data"]["object"]["id"]))
    assert await world.handle() == Counter({"cards_read": 2})
    assert await cards_of(world, account) == []


async def test_a_payment_for_another_tenants_customer_credits_nobody(world):
    one, two = await world.account(), await world.account()
    mine = await world.checkout(one, 2500)
    theirs = await world.checkout(two, 2500)
    method = world.stripe.add_card(theirs.params["customer"])
    payment = await post(
        world,
        "/v1/payment_intents",
        amount="2500",
        currency="usd",
        customer=theirs.params["customer"],
        payment_method=method["id"],
        confirm="true",
        off_session="true",
        metadata__deployment=DEPLOYMENT,
        metadata__account_id=one,
        metadata__checkout_id=mine.id,
    )
    assert payment["status"] == "succeeded"
    await world.tell(*world.events())
    await world.handle()
    assert ("ignored", "wrong_customer") in await outcomes(world)
    assert await world.ledger(one) == await world.ledger(two) == []


async def test_a_payment_that_nobody_here_asked_for_credits_nobody(world):
    account = await world.account()
    row = await world.checkout(account, 2500)
    method = world.stripe.add_card(row.params["customer"])
    form = {
        "amount": "2500",
        "currency": "usd",
        "customer": row.params["customer"],
        "payment_method": method["id"],
        "confirm": "true",
        "off_session": "true",
    }
    await post(world, "/v1/payment_intents", **form)
    await post(world, "/v1/payment_intents", **form, metadata__deployment="other", metadata__account_id=account)
    await post(world, "/v1/payment_intents", **form, metadata__deployment=DEPLOYMENT, metadata__account_id=account)
    await post(
        world, "/v1/payment_intents", **form, metadata__deployment=DEPLOYMENT, metadata__account_id=AccountId.new()
    )
    await world.tell(*world.events())
    await world.handle()
    assert {state for state, _ in await outcomes(world)} == {"ignored"}
    assert await world.ledger(account) == []


@pytest.mark.parametrize(
    ("event", "outcome"),
    [
        (made_up("payment_intent.succeeded", id="pi_unknown"), "missing"),
        (made_up("payment_intent.succeeded"), "points_at_nothing"),
        (made_up("charge.refunded", id="ch_unknown"), "missing_at_stripe"),
        (made_up("checkout.session.completed", id="cs_unknown"), "not_our_checkout"),
        (made_up("setup_intent.succeeded", id="seti_unknown"), "nobodys_card"),
        (made_up("payment_method.detached", id="pm_unknown"), "nobodys_card"),
        (made_up("radar.early_fraud_warning.created", id="issfr_1", charge="ch_unknown"), "missing_at_stripe"),
        (made_up("radar.early_fraud_warning.created", id="issfr_1", payment_intent="pi_unknown"), "missing"),
        (made_up("invoice.paid", id="in_1"), "points_at_nothing"),
    ],
)
async def test_what_is_nobodys_is_ignored_and_says_why(world, event, outcome):
    await world.tell(event)
    assert await world.handle() == Counter({outcome: 1})
    assert await outcomes(world) == Counter({("ignored", outcome): 1})


async def test_an_outage_of_stripes_costs_no_try(world):
    account = await world.account()
    await world.paid(account, 2500)
    await world.tell(*world.events())
    world.sandbox.faults.add(Fault("server_error", "*", times=None, provider="stripe"))
    for _ in range(3):
        assert set(await world.handle()) <= {"put_off"}
        world.clock.move(minutes=1)
    rows = (await world.rows()).values()
    assert {(row["state"], row["tries"]) for row in rows} == {("new", 0)}
    assert await world.ledger(account) == []
    world.sandbox.faults.clear()
    await world.handle()
    assert await world.ledger(account) == [("deposit", 2500 * CENT, "pay")]


async def test_what_fails_is_tried_again_after_growing_pauses_and_given_up_loudly_and_can_be_revived(world):
    async with world.tools.db.begin_unscoped() as session:
        opened = await tenancy.open_account(session, name="No wallet", email="none@example.com", at=world.clock.now())
    await world.paid(opened.account_id, 2500)
    await world.tell(*[event for event in world.events() if event["type"] == "payment_intent.succeeded"])
    gaps, dead = [], event_queue.DEAD._value.get()
    for tries in range(1, TRIES_MAX + 1):
        told = await Runner(handling(world.tools)).run_once(world.round)
        assert told == Counter({"failed" if tries < TRIES_MAX else "given_up": 1})
        [row] = (await world.rows()).values()
        assert row["tries"] == min(tries, TRIES_MAX - 1)
        if row["next_at"] is not None:
            gaps.append((row["next_at"] - world.clock.now()).total_seconds())
            assert await world.handle() == Counter()
            world.clock.at = row["next_at"]
    assert gaps == sorted(gaps)
    assert 3 * 86_400 < sum(gaps) < 4 * 86_400
    assert (row["state"], row["outcome"]) == ("dead", "NoWalletError")
    assert event_queue.DEAD._value.get() == dead + 1

    async with world.tools.db.begin_unscoped() as session:
        await wallet.open_wallet(session, account_id=opened.account_id, at=world.clock.now())
        assert await event_queue.revive(session, at=world.clock.now()) == 1
    assert await world.handle() == Counter({"applied": 1})
    assert await world.ledger(opened.account_id) == [("deposit", 2500 * CENT, "pay")]


async def test_only_events_of_buckets_that_are_held_are_handled(world):
    account = await world.account()
    await world.paid(account, 2500)
    await world.tell(*world.events())
    nobody = Round(world.clock.now(), Holding("nobody", {}))
    assert await Runner(handling(world.tools)).run_once(nobody) == Counter()
    assert {row["state"] for row in (await world.rows()).values()} == {"new"}


async def test_a_worker_whose_leases_went_to_another_writes_no_outcome(world):
    account = await world.account()
    await world.paid(account, 2500)
    await world.tell(*world.events())
    names = [bucket_name(bucket) for bucket in range(BUCKETS)]
    await let_go(world.tools.db, world.holding.owner)
    later = await hold_share(world.tools.db, "another", names)
    assert set(await world.handle()) == {"stale_fence"}
    assert {row["state"] for row in (await world.rows()).values()} == {"new"}
    world.holding = later
    await world.handle()
    assert await world.ledger(account) == [("deposit", 2500 * CENT, "pay")]


async def test_handled_events_are_forgotten_after_ninety_days_and_others_are_not(world):
    account = await world.account()
    await world.paid(account, 2500)
    await world.tell(*world.events())
    await world.handle()
    await world.tell(waiting := made_up("payment_intent.succeeded", id="pi_unknown"))
    world.clock.move(days=89)
    await Runner(forgetting(world.tools)).run_once(world.round)
    assert len(await world.rows()) > 1
    world.clock.move(days=2)
    assert await Runner(forgetting(world.tools)).run_once(world.round) == Counter({"forgotten": 1})
    assert set(await world.rows()) == {waiting["id"]}
    assert event_queue.WAITING._value.get() == 1
