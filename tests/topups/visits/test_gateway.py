"""The gateway against Stripe's stand-in: what comes of each card, and nothing made twice when an answer gets lost."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from app.kit.ids import AccountId, RefundId, TopupId
from app.topups.gateway.errors import StripeBusy, StripeMissing, StripeRefused, StripeUnknown
from app.topups.gateway.facts import ChargeOrder, RefundOrder, Visit

CENT = 10_000


@pytest.fixture
async def customer(gateway):
    """An account's id, and Stripe's for it."""
    account_id = AccountId.new()
    return account_id, await gateway.create_customer(account_id=account_id, email="ada@example.com", name="Ada")


@pytest.fixture
def order(till, customer):
    """Return a charge of ten dollars with a saved card."""

    def ordering(card="4242424242424242", **more):
        account_id, customer_id = customer
        method = till.stripe.add_card(customer_id, card)["id"]
        attempt = TopupId.new()
        return ChargeOrder(attempt, account_id, customer_id, method, 1_000 * CENT, "Automatic top-up", **more)

    return ordering


@pytest.fixture
async def paid(gateway, order):
    """Return the id of a payment of ten dollars."""
    return (await gateway.charge(order())).payment_intent_id


def visit(customer, **more):
    account_id, customer_id = customer
    terms = {"amount": 2_500 * CENT, "save_card": False} | more
    return Visit(f"chk_{TopupId.new()[4:]}", account_id, customer_id, return_url="http://test", **terms)


@pytest.mark.parametrize(
    ("card", "state", "decline", "advice"),
    [
        ("4242424242424242", "succeeded", None, None),
        ("4000000000000341", "declined", "generic_decline", "try_again_later"),
        ("4000000000009995", "declined", "insufficient_funds", "try_again_later"),
        ("4000000000009987", "declined", "lost_card", "do_not_try_again"),
        ("4000000000000069", "declined", "expired_card", None),
        ("4000002760003184", "action_required", "authentication_required", None),
    ],
)
async def test_each_card_has_its_outcome(card, state, decline, advice, gateway, order) -> None:
    outcome = await gateway.charge(order(card))
    assert (outcome.state, outcome.decline_code) == (state, decline)
    assert advice is None or outcome.advice_code == advice
    assert outcome.payment_intent_id.startswith("pi_")
    facts = await gateway.get_payment(outcome.payment_intent_id)
    assert facts.status == ("succeeded" if state == "succeeded" else "requires_payment_method")
    assert facts.amount_received == (1_000 * CENT if state == "succeeded" else 0)
    assert facts.last_error == decline


async def test_a_charge_is_made_once_when_its_answer_gets_lost(till, gateway, order) -> None:
    for card, state in (("4242424242424242", "succeeded"), ("4000000000009995", "declined")):
        wanted = order(card)
        till.fault("timeout_after_success", "create_payment_intent", mode="drop")
        with pytest.raises(StripeUnknown):
            await gateway.charge(wanted)
        found = await gateway.find_charge(
            customer_id=wanted.customer_id, attempt_id=wanted.attempt_id, since=till.clock.now()
        )
        outcome = await gateway.charge(wanted)
        assert outcome.state == state
        assert outcome.payment_intent_id == found.payment_intent_id
        made = [one for one in till.objects("payment_intent", wanted.account_id) if wanted.attempt_id in str(one)]
        assert len(made) == 1


async def test_a_charge_that_is_being_made_is_not_made_beside_it(till, gateway, order) -> None:
    till.fault("slow", "create_payment_intent", seconds=0.3)
    wanted = order()
    outcomes = await asyncio.gather(gateway.charge(wanted), gateway.charge(wanted), return_exceptions=True)
    assert sorted(type(one).__name__ for one in outcomes) == ["ChargeOutcome", "StripeBusy"]
    assert isinstance(next(one for one in outcomes if isinstance(one, Exception)), StripeBusy)


async def test_a_charge_that_was_never_made_is_not_found(till, gateway, order) -> None:
    wanted = order()
    till.fault("server_error", "create_payment_intent")
    with pytest.raises(StripeUnknown):
        await gateway.charge(wanted)
    since = till.clock.now() - timedelta(hours=1)
    assert await gateway.find_charge(customer_id=wanted.customer_id, attempt_id=wanted.attempt_id, since=since) is None


async def test_a_card_that_is_gone_is_told(till, gateway, order) -> None:
    wanted = order()
    till.stripe.detach_card(wanted.payment_method_id)
    with pytest.raises(StripeRefused) as caught:
        await gateway.charge(wanted)
    assert caught.value.param == "payment_method"


async def test_a_payment_is_known_with_its_charge_and_card(gateway, order) -> None:
    wanted = order(receipt_email="ada@example.com")
    outcome = await gateway.charge(wanted)
    facts = await gateway.get_payment(outcome.payment_intent_id)
    assert (facts.customer_id, facts.amount, facts.tax, facts.currency) == (wanted.customer_id, 1_000 * CENT, 0, "usd")
    assert facts.metadata == {
        "account_id": wanted.account_id,
        "attempt_id": wanted.attempt_id,
        "deployment": "tills",
    }
    assert facts.charge.card.id == wanted.payment_method_id
    assert (facts.charge.card.brand, facts.charge.card.last4) == ("visa", "4242")
    assert facts.charge.receipt_url.startswith("http")
    assert await gateway.get_payment_of_charge(facts.charge.id) == facts.payment_intent_id


async def test_every_refund_of_a_payment_is_known_also_the_hundred_and_first(till, gateway, paid) -> None:
    for _ in range(103):
        till.stripe.refund(paid, 1)
    facts = await gateway.get_payment(paid)
    assert len(facts.refunds) == 103
    assert {one.amount for one in facts.refunds} == {CENT}
    assert facts.charge.amount_refunded == 103 * CENT


async def test_a_dispute_is_known_with_what_was_moved_for_it_without_its_fee(till, gateway, paid) -> None:
    found = till.stripe.dispute(paid)
    [dispute] = (await gateway.get_payment(paid)).disputes
    assert (dispute.id, dispute.amount, dispute.withdrawn, dispute.reinstated) == (
        found["id"],
        1_000 * CENT,
        1_000 * CENT,
        0,
    )
    assert dispute.due_by > dispute.created_at
    till.stripe.close_dispute(found["id"], won=True)
    won = await gateway.get_dispute(found["id"])
    assert (won.status, won.withdrawn, won.reinstated) == ("won", 1_000 * CENT, 1_000 * CENT)


async def test_a_refund_is_made_once_when_its_answer_gets_lost(till, gateway, customer, paid) -> None:
    wanted = RefundOrder(RefundId.new(), customer[0], paid, 250 * CENT)
    assert await gateway.find_refund(payment_intent_id=paid, refund_id=wanted.refund_id) is None
    till.fault("timeout_after_success", "create_refund", mode="drop")
    with pytest.raises(StripeUnknown):
        await gateway.create_refund(wanted)
    found = await gateway.find_refund(payment_intent_id=paid, refund_id=wanted.refund_id)
    again = await gateway.create_refund(wanted)
    assert again == found == await gateway.get_refund(found.id)
    assert (again.amount, again.status, again.payment_intent_id) == (250 * CENT, "succeeded", paid)
    assert len((await gateway.get_payment(paid)).refunds) == 1


async def test_a_refund_that_can_not_be_made_says_why(till, gateway, customer, paid) -> None:
    with pytest.raises(StripeRefused):
        await gateway.create_refund(RefundOrder(RefundId.new(), customer[0], paid, 1_001 * CENT))
    till.stripe.dispute(paid)
    with pytest.raises(StripeRefused) as caught:
        await gateway.create_refund(RefundOrder(RefundId.new(), customer[0], paid, 100 * CENT))
    assert caught.value.code == "charge_disputed"


async def test_a_customer_is_made_once_when_the_answer_gets_lost(till, gateway) -> None:
    account_id = AccountId.new()
    words = {"account_id": account_id, "email": f"{account_id.lower()}@example.com", "name": ""}
    till.fault("timeout_after_success", "create_customer", mode="drop")
    with pytest.raises(StripeUnknown):
        await gateway.create_customer(**words)
    found = await gateway.find_customer(account_id=account_id, email=words["email"])
    assert found == await gateway.create_customer(**words)
    assert await gateway.find_customer(account_id=AccountId.new(), email=words["email"]) is None


async def test_a_session_is_made_once_when_its_answer_gets_lost(till, gateway, customer) -> None:
    wanted = gateway.session_order(visit(customer))
    till.fault("timeout_after_success", "create_session", mode="drop")
    with pytest.raises(StripeUnknown):
        await gateway.create_session(wanted)
    found = await gateway.find_session(customer_id=customer[1], checkout_id=wanted.checkout_id)
    assert found == await gateway.create_session(wanted)
    assert await gateway.find_session(customer_id=customer[1], checkout_id="chk_none") is None


async def test_a_page_takes_dollars_only_and_saves_cards_only(till, gateway, customer) -> None:
    paying = await gateway.create_session(gateway.session_order(visit(customer)))
    saving = await gateway.create_session(gateway.session_order(visit(customer, amount=None, save_card=True)))
    sessions = {one["id"]: one for one in till.objects("checkout.session", customer[0])}
    assert sessions[paying.id]["adaptive_pricing"] == {"enabled": False}
    assert (paying.amount_total, paying.currency) == (2_500 * CENT, "usd")
    assert sessions[saving.id]["payment_method_types"] == ["card"]


async def test_ending_what_is_over_changes_nothing(till, gateway, customer, order) -> None:
    session = await gateway.create_session(gateway.session_order(visit(customer)))
    for _ in range(2):
        await gateway.expire_session(session.id)
    assert (await gateway.get_session(session.id)).status == "expired"
    declined = await gateway.charge(order("4000000000009995"))
    for _ in range(2):
        await gateway.cancel_payment(declined.payment_intent_id)
    assert (await gateway.get_payment(declined.payment_intent_id)).status == "canceled"


@pytest.mark.parametrize("call", ["expire_session", "cancel_payment_intent", "detach_payment_method"])
async def test_an_end_whose_answer_got_lost_is_made_again_without_harm(call, till, gateway, customer, order) -> None:
    session = await gateway.create_session(gateway.session_order(visit(customer)))
    declined = order("4000000000009995")
    intent = (await gateway.charge(declined)).payment_intent_id
    ends = {
        "expire_session": lambda: gateway.expire_session(session.id),
        "cancel_payment_intent": lambda: gateway.cancel_payment(intent),
        "detach_payment_method": lambda: gateway.detach_card(declined.payment_method_id),
    }
    till.fault("timeout_after_success", call, mode="drop")
    with pytest.raises(StripeUnknown):
        await ends[call]()
    await ends[call]()


async def test_what_has_succeeded_is_not_cancelled(gateway, paid) -> None:
    with pytest.raises(StripeRefused):
        await gateway.cancel_payment(paid)


async def test_cards_are_listed_and_taken_off(till, gateway, customer) -> None:
    _, customer_id = customer
    made = {till.stripe.add_card(customer_id)["id"] for _ in range(3)}
    cards = await gateway.list_cards(customer_id)
    assert {card.id for card in cards} == made
    assert len({card.fingerprint for card in cards}) == 1
    first = cards[0].id
    for _ in range(2):
        await gateway.detach_card(first)
    assert (await gateway.get_card(first)).customer_id is None
    assert len(await gateway.list_cards(customer_id)) == 2
    with pytest.raises(StripeMissing):
        await gateway.get_card("pm_nothing")


async def test_events_come_oldest_first_and_go_on_where_one_stopped(till, gateway, order) -> None:
    since = till.clock.move(hours=1)
    for _ in range(5):
        await gateway.charge(order())
        till.clock.move(seconds=1)
    kinds = ["payment_intent.succeeded", "charge.refunded"]
    newest = await gateway.list_events(types=kinds, after=None, since=since, limit=100)
    assert [one.created_at for one in newest.events] == sorted(one.created_at for one in newest.events)
    assert len(newest.events) == 5
    assert not newest.has_more
    first = await gateway.list_events(types=kinds, after=None, since=since, limit=2)
    assert (first.events, first.has_more) == (newest.events[:2], True)
    second = await gateway.list_events(types=kinds, after=first.events[-1].id, since=since, limit=2)
    third = await gateway.list_events(types=kinds, after=second.events[-1].id, since=since, limit=2)
    assert (second.has_more, third.has_more) == (True, False)
    assert first.events + second.events + third.events == newest.events
    assert all(one.object_id.startswith("pi_") for one in newest.events)
    last = await gateway.list_events(types=kinds, after=newest.events[-1].id, since=since)
    assert (last.events, last.has_more) == ((), False)


async def test_lists_have_everything_once(till, gateway, order) -> None:
    since = till.clock.move(hours=1)
    intents = [(await gateway.charge(order())).payment_intent_id for _ in range(5)]
    till.stripe.refund(intents[0], 100)
    till.stripe.dispute(intents[1])
    until = since + timedelta(minutes=1)

    async def every(listing):
        found, after = [], None
        while True:
            page = await listing(since=since, until=until, after=after, limit=2)
            found += page.items
            if (after := page.after) is None:
                return found

    assert {one.payment_intent_id for one in await every(gateway.list_payments)} == set(intents)
    assert [one.amount for one in await every(gateway.list_refunds)] == [100 * CENT]
    assert [one.payment_intent_id for one in await every(gateway.list_disputes)] == [intents[1]]
    moved = await every(gateway.list_balance_transactions)
    assert len(moved) == len({one.id for one in moved}) == 7
    assert sum(one.amount for one in moved if one.reporting_category == "charge") == 5_000 * CENT
    assert all(one.net == one.amount - one.fee for one in moved)
