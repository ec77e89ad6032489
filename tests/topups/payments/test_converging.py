"""What must be posted for a payment, whatever was seen of it on the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.topups.payments.converging import (
    ClawBack,
    Credit,
    DebitDispute,
    FinishRefund,
    GiveBack,
    HoldDispute,
    PaymentState,
    PostedDispute,
    PostedRefund,
    ReleaseDispute,
    ReverseDispute,
    effects,
    is_closed,
    is_inquiry,
    share_of,
    target,
)
from tests.topups.saying import DOLLAR, dispute, payment, refund


def posted(state, found):
    for effect in found:
        state = state.after(effect)
    return state


def worth(state):
    taken = sum(refund.net for refund in state.refunds.values()) + sum(one.net for one in state.disputes.values())
    return state.credited - taken


CREDITED = PaymentState(credited=25 * DOLLAR)


def test_a_payment_that_succeeded_is_credited_once():
    found = effects(payment(), PaymentState())
    assert found == [Credit(25 * DOLLAR)]
    assert effects(payment(), posted(PaymentState(), found)) == []


@pytest.mark.parametrize(
    "status", ["processing", "requires_payment_method", "requires_action", "canceled", "requires_capture", "new_word"]
)
def test_nothing_is_credited_before_it_has_succeeded(status):
    assert effects(payment(status), PaymentState()) == []
    assert target(payment(status)) == 0


def test_tax_is_not_credited():
    assert effects(payment(dollars=27, tax=2), PaymentState()) == [Credit(25 * DOLLAR)]


def test_an_old_answer_undoes_nothing():
    facts = payment(refunds=[refund("re_1", 10)], disputes=[dispute(withdrawn=15, status="under_review")])
    state = posted(PaymentState(), effects(facts, PaymentState()))
    assert effects(payment("processing"), state) == []
    assert effects(payment(), state) == []
    assert effects(payment(disputes=[dispute()]), state) == []


def test_each_refund_takes_its_own_amount_however_many_there_are():
    first, second = refund("re_1", 10), refund("re_2", 5, second=1)
    state = posted(CREDITED, effects(payment(refunds=[first]), CREDITED))
    found = effects(payment(refunds=[first, second]), state)
    assert found == [ClawBack("re_2", 5 * DOLLAR, 0)]
    assert worth(posted(state, found)) == 10 * DOLLAR


@pytest.mark.parametrize("status", ["pending", "requires_action", "succeeded", "new_word"])
def test_a_refund_that_exists_has_left_us(status):
    assert effects(payment(refunds=[refund("re_1", 10, status)]), CREDITED) == [ClawBack("re_1", 10 * DOLLAR, 0)]


@pytest.mark.parametrize("status", ["failed", "canceled"])
def test_a_refund_that_failed_comes_back_and_is_not_taken_again(status):
    state = posted(CREDITED, effects(payment(refunds=[refund("re_1", 10)]), CREDITED))
    facts = payment(refunds=[refund("re_1", 10, status)])
    found = effects(facts, state)
    assert found == [GiveBack("re_1", 10 * DOLLAR)]
    state = posted(state, found)
    assert effects(facts, state) == []
    assert effects(payment(refunds=[refund("re_1", 10)]), state) == []


def test_a_refund_first_seen_after_it_failed_leaves_the_same_two_rows():
    found = effects(payment(refunds=[refund("re_1", 10, "failed")]), CREDITED)
    assert found == [ClawBack("re_1", 10 * DOLLAR, 0), GiveBack("re_1", 10 * DOLLAR)]


def test_a_refund_of_ours_is_finished_and_not_clawed_back():
    state = replace(CREDITED, held={"rfd_1": 10 * DOLLAR})
    found = effects(payment(refunds=[refund("re_1", 10, ours="rfd_1")]), state)
    assert found == [FinishRefund("re_1", "rfd_1", 10 * DOLLAR)]
    assert posted(state, found).held == {}
    assert effects(payment(refunds=[refund("re_1", 10, ours="rfd_1")]), posted(state, found)) == []


def test_a_refund_of_ours_that_failed_is_finished_and_given_back():
    state = replace(CREDITED, held={"rfd_1": 10 * DOLLAR})
    found = effects(payment(refunds=[refund("re_1", 10, "failed", ours="rfd_1")]), state)
    assert found == [FinishRefund("re_1", "rfd_1", 10 * DOLLAR), GiveBack("re_1", 10 * DOLLAR)]


def test_a_refund_that_names_one_we_hold_nothing_for_is_clawed_back():
    assert effects(payment(refunds=[refund("re_1", 10, ours="rfd_9")]), CREDITED) == [ClawBack("re_1", 10 * DOLLAR, 0)]


def test_a_refund_of_all_with_tax_takes_all_that_was_credited():
    facts = payment(dollars=27, tax=2, refunds=[refund("re_1", 27)])
    assert effects(facts, CREDITED) == [ClawBack("re_1", 25 * DOLLAR, 0)]


def test_parts_of_a_payment_with_tax_never_take_more_than_was_credited():
    parts = [refund(f"re_{n}", 9, second=n) for n in range(3)]
    facts = payment(dollars=27, tax=2, refunds=parts)
    found = effects(facts, CREDITED)
    assert sum(effect.amount for effect in found) == 3 * share_of(facts, 9 * DOLLAR)
    assert 0 <= worth(posted(CREDITED, found)) < 3


def test_an_inquiry_moves_nothing():
    for status in ("warning_needs_response", "warning_under_review", "warning_closed"):
        assert effects(payment(disputes=[dispute(status=status)]), CREDITED) == []
        assert is_inquiry(dispute(status=status))


def test_an_inquiry_that_becomes_a_dispute_is_held_for():
    assert effects(payment(disputes=[dispute()]), CREDITED) == [HoldDispute("dp_1", 25 * DOLLAR)]


def test_a_withdrawal_is_debited_after_the_hold():
    found = effects(payment(disputes=[dispute(withdrawn=25)]), CREDITED)
    assert found == [HoldDispute("dp_1", 25 * DOLLAR), DebitDispute("dp_1", 25 * DOLLAR, 0)]


def test_a_dispute_that_is_won_is_reversed_and_released():
    facts = payment(disputes=[dispute(status="won", withdrawn=25, reinstated=25)])
    found = effects(facts, CREDITED)
    assert found == [
        HoldDispute("dp_1", 25 * DOLLAR),
        DebitDispute("dp_1", 25 * DOLLAR, 0),
        ReverseDispute("dp_1", 25 * DOLLAR, 0),
        ReleaseDispute("dp_1"),
    ]
    assert worth(posted(CREDITED, found)) == 25 * DOLLAR


def test_a_dispute_that_is_won_before_the_money_is_back_waits_for_the_money():
    won = dispute(status="won", withdrawn=25)
    state = posted(CREDITED, effects(payment(disputes=[won]), CREDITED))
    assert worth(state) == 0
    found = effects(payment(disputes=[replace(won, reinstated=25 * DOLLAR)]), state)
    assert found == [ReverseDispute("dp_1", 25 * DOLLAR, 0)]


def test_a_dispute_that_is_lost_keeps_its_debit():
    found = effects(payment(disputes=[dispute(status="lost", withdrawn=25)]), CREDITED)
    assert [type(effect) for effect in found] == [HoldDispute, DebitDispute, ReleaseDispute]
    assert worth(posted(CREDITED, found)) == 0


def test_a_dispute_that_is_lost_stays_held_until_its_money_is_withdrawn():
    facts = payment(disputes=[dispute(status="lost")])
    assert not is_closed(facts.disputes[0])
    assert effects(facts, CREDITED) == [HoldDispute("dp_1", 25 * DOLLAR)]


def test_a_dispute_that_was_prevented_is_released_without_a_debit():
    state = posted(CREDITED, effects(payment(disputes=[dispute()]), CREDITED))
    assert effects(payment(disputes=[dispute(status="prevented")]), state) == [ReleaseDispute("dp_1")]


def test_money_is_reinstated_only_as_far_as_it_was_debited():
    state = replace(CREDITED, disputes={"dp_1": PostedDispute(held=True, debited=10 * DOLLAR)})
    state = replace(state, refunds={"re_1": PostedRefund(taken=15 * DOLLAR)})
    facts = payment(
        refunds=[refund("re_1", 15)], disputes=[dispute(status="won", withdrawn=25, reinstated=25, second=1)]
    )
    assert worth(posted(state, effects(facts, state))) == target(facts) == 10 * DOLLAR


def test_refund_and_dispute_together_take_no_more_than_came_in():
    facts = payment(refunds=[refund("re_1", 10)], disputes=[dispute(withdrawn=25, second=1)])
    found = effects(facts, PaymentState())
    assert DebitDispute("dp_1", 15 * DOLLAR, 0) in found
    assert worth(posted(PaymentState(), found)) == target(facts) == 0


def test_what_waited_for_room_is_taken_once_there_is_room():
    refunds, contested = [refund("re_1", 10)], dispute(withdrawn=25, status="under_review", second=1)
    state = posted(PaymentState(), effects(payment(disputes=[contested]), PaymentState()))
    state = posted(state, effects(payment(refunds=refunds, disputes=[contested]), state))
    assert "re_1" not in state.refunds
    won = replace(contested, status="won", reinstated=25 * DOLLAR)
    facts = payment(refunds=refunds, disputes=[won])
    found = effects(facts, state)
    assert ClawBack("re_1", 10 * DOLLAR, 0) in found
    assert worth(posted(state, found)) == target(facts) == 15 * DOLLAR


def test_what_is_held_for_a_refund_of_ours_is_not_debited_for_a_dispute_as_well():
    state = replace(CREDITED, held={"rfd_1": 10 * DOLLAR})
    facts = payment(disputes=[dispute(withdrawn=25)])
    state = posted(state, effects(facts, state))
    assert state.disputes["dp_1"].debited == 15 * DOLLAR
    released = replace(state, held={})
    assert effects(facts, released) == [DebitDispute("dp_1", 10 * DOLLAR, 15 * DOLLAR)]


# What Stripe may do with one payment, one small step at a time.

STEPS = (
    "refund",
    "refund_ours",
    "fail",
    "settle",
    "inquiry",
    "dispute",
    "escalate",
    "withdraw",
    "win",
    "lose",
    "prevent",
)


@dataclass
class World:
    """Who draws the next step, and whether refunds and disputes stay within the payment."""

    pick: Callable
    cents: int
    within: bool
    number: int

    def left(self, facts):
        """What may still be asked back."""
        if self.within:
            return 0 if facts.disputes else target(facts)
        return facts.amount - sum(one.amount for one in facts.refunds if one.status != "failed")


def evolved(facts, step, world):
    """Return the facts after a step, and our refund that was held for just before it; None where it can't happen."""
    if step.startswith("refund"):
        return _refunded(facts, world, ours=f"rfd_{world.number}" if step == "refund_ours" else None)
    if step in ("fail", "settle"):
        after = _refund_moved(facts, step, world)
    elif step in ("inquiry", "dispute"):
        after = _contested(facts, step, world)
    else:
        after = _dispute_moved(facts, step, world)
    return after and (after, None)


def _refunded(facts, world, *, ours):
    part = world.cents * 10_000
    if part > world.left(facts):
        return None
    name = f"re_{world.number}"
    bare = refund(name, 0, world.pick(["pending", "succeeded"]), ours=ours, second=world.number)
    after = replace(facts, refunds=(*facts.refunds, replace(bare, amount=part)))
    return after, (ours, share_of(facts, part)) if ours else None


def _refund_moved(facts, step, world):
    movable = [one for one in facts.refunds if one.status != "failed" and (step == "fail" or one.status == "pending")]
    if not movable:
        return None
    chosen = world.pick(movable)
    moved = replace(chosen, status="failed" if step == "fail" else "succeeded")
    return replace(facts, refunds=tuple(moved if one is chosen else one for one in facts.refunds))


def _contested(facts, step, world):
    amount = world.left(facts) if world.within else facts.amount
    if amount <= 0 or len(facts.disputes) > 1:
        return None
    status = "warning_needs_response" if step == "inquiry" else "needs_response"
    opened = replace(dispute(f"dp_{world.number}", status=status, second=world.number), amount=amount)
    return replace(facts, disputes=(*facts.disputes, opened))


def _dispute_moved(facts, step, world):
    if not facts.disputes:
        return None
    chosen = world.pick(facts.disputes)
    moved = _disputed(chosen, step)
    return moved and replace(facts, disputes=tuple(moved if one is chosen else one for one in facts.disputes))


def _disputed(one, step):
    asked, real = one.status.startswith("warning"), one.status in ("needs_response", "under_review")
    if step == "escalate" and asked:
        return replace(one, status="needs_response")
    if step == "withdraw" and real and not one.withdrawn:
        return replace(one, status="under_review", withdrawn=one.amount)
    if step == "win" and real and one.withdrawn:
        return replace(one, status="won", reinstated=one.withdrawn)
    if step == "lose" and real and one.withdrawn:
        return replace(one, status="lost")
    if step == "prevent" and real and not one.withdrawn:
        return replace(one, status="prevented")
    return None


@st.composite
def histories(draw, *, within):
    """Snapshots of a payment as it evolves, each with our refund that was held for just before."""
    facts = payment(
        "processing", dollars=draw(st.sampled_from([25, 27])), tax=0 if within else draw(st.sampled_from([0, 2]))
    )
    snapshots = [(facts, None), (replace(facts, status="succeeded", amount_received=facts.amount), None)]
    for number in range(draw(st.integers(0, 12))):
        world = World(
            pick=lambda options: draw(st.sampled_from(list(options))),
            cents=draw(st.integers(1, 2700)),
            within=within,
            number=number,
        )
        after = evolved(snapshots[-1][0], draw(st.sampled_from(STEPS)), world)
        if after is not None:
            snapshots.append(after)
    return snapshots


def observe(snapshots, seen, *, always_held=True):
    """Post what is wanted at each moment that was seen; ``seen`` names for each moment what was answered then."""
    state, found = PaymentState(), []
    for now, (_, held) in enumerate(snapshots):
        if held and (always_held or state.room >= held[1]):
            state = replace(state, held={**state.held, held[0]: held[1]})
        for answered in seen.get(now, ()):
            wanted = effects(snapshots[answered][0], state)
            found += wanted
            state = posted(state, wanted)
    return state, found


def rows(found):
    """What stands in the end: each object's sum by kind. How much a hold could hold is the wallet's affair."""
    sums = Counter()
    for effect in found:
        name = getattr(effect, "stripe_refund_id", getattr(effect, "stripe_dispute_id", "payment"))
        held = isinstance(effect, HoldDispute | ReleaseDispute)
        sums[type(effect).__name__, name] += 1 if held else effect.amount
    return sums


def views(snapshots):
    """Which old or new answers are read at which moments; the last answer is read in the end."""
    last = len(snapshots) - 1
    moments = st.dictionaries(st.integers(0, last), st.lists(st.integers(0, last), max_size=3))
    return moments.map(
        lambda seen: {now: [min(answer, now) for answer in answers] for now, answers in seen.items()}
    ).map(lambda seen: {**seen, last: [*seen.get(last, []), last]})


@settings(max_examples=250, deadline=None, derandomize=True)
@given(data=st.data())
def test_whatever_was_seen_on_the_way_the_same_rows_stand_in_the_end(data):
    snapshots = data.draw(histories(within=True))
    everything = {now: [now] for now in range(len(snapshots))}
    only_the_end = {len(snapshots) - 1: [len(snapshots) - 1]}
    some = data.draw(views(snapshots))
    results = [observe(snapshots, seen) for seen in (everything, only_the_end, some)]
    assert rows(results[0][1]) == rows(results[1][1]) == rows(results[2][1])
    for state, _ in results:
        assert worth(state) == target(snapshots[-1][0])
        assert state.held == {}


@settings(max_examples=250, deadline=None, derandomize=True)
@given(data=st.data())
def test_whatever_was_seen_of_more_reversals_than_money_the_same_sum_stands_in_the_end(data):
    snapshots = data.draw(histories(within=False))
    some = data.draw(views(snapshots))
    only_the_end = {len(snapshots) - 1: [len(snapshots) - 1]}
    facts = snapshots[-1][0]
    for seen in (only_the_end, some):
        state, found = observe(snapshots, seen, always_held=False)
        assert effects(facts, state) == []
        assert all(effect.amount > 0 for effect in found if not isinstance(effect, HoldDispute | ReleaseDispute))
        assert worth(state) == target(facts)
