"""The rule's states: every cause, and what it does not undo."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from app import refills
from app.kit.errors import InvalidState
from app.kit.ids import AccountId
from app.refills import Card, Consent, Mode, Reason, ResumedRecently, State, Terms, states

AT = datetime(2026, 3, 31, 23, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)
TERMS = Terms(Mode.FIXED, threshold=10_000_000, amount=25_000_000, target=None, monthly_cap=200_000_000)
CARD = Card("pm_1", "fingerprint-1")
OTHER = Card("pm_2", "fingerprint-2")


def rule_of(*, at, card=CARD, **changes):
    rule = refills.new_rule(AccountId.new(), TERMS, card, Consent("v1", at, "key_1"), at=at)
    return replace(rule, **changes)


def declined(rule, at=AT, *, decline_code="generic_decline", advice_code=None, fingerprint=CARD.fingerprint):
    return states.after_decline(rule, at, decline_code=decline_code, advice_code=advice_code, fingerprint=fingerprint)


def test_a_success_cools_down_for_ten_minutes_and_forgets_failures():
    rule = states.after_success(rule_of(at=AT, failures=2), AT, fingerprint=CARD.fingerprint)
    assert (rule.state, rule.reason, rule.until, rule.failures) == (
        State.COOLING,
        Reason.SUCCESS,
        AT + timedelta(minutes=10),
        0,
    )
    assert states.lapsed(rule, AT + timedelta(minutes=9)).state is State.COOLING
    assert states.lapsed(rule, AT + timedelta(minutes=10)).state is State.ACTIVE


def test_three_soft_declines_back_off_one_hour_then_six_then_suspend_and_remember_the_card():
    first = declined(rule_of(at=AT))
    assert (first.state, first.until) == (State.BACKING_OFF, AT + HOUR)
    second = declined(states.lapsed(first, AT + HOUR), AT + HOUR)
    assert (second.state, second.until) == (State.BACKING_OFF, AT + 7 * HOUR)
    third = declined(states.lapsed(second, AT + 7 * HOUR), AT + 7 * HOUR)
    assert (third.state, third.reason, third.bad_fingerprints) == (
        State.SUSPENDED,
        Reason.CARD,
        (CARD.fingerprint,),
    )
    assert states.lapsed(third, AT + 10_000 * HOUR).state is State.SUSPENDED


@pytest.mark.parametrize(
    ("decline_code", "advice_code"),
    [("generic_decline", "do_not_try_again"), ("lost_card", None), ("stolen_card", None), ("expired_card", None)],
)
def test_a_card_that_will_never_pay_is_not_tried_twice(decline_code, advice_code):
    rule = declined(rule_of(at=AT), decline_code=decline_code, advice_code=advice_code)
    assert (rule.state, rule.reason) == (State.SUSPENDED, Reason.CARD)


def test_a_decline_of_a_card_that_is_no_longer_the_rules_changes_nothing():
    rule = rule_of(at=AT, card=OTHER)
    assert declined(rule) == rule


def test_a_card_that_will_never_pay_is_remembered_even_when_another_is_the_rules():
    rule = rule_of(at=AT, card=OTHER)
    assert declined(rule, decline_code="stolen_card") == replace(rule, bad_fingerprints=("fingerprint-1",))


def test_a_cap_waits_for_the_first_of_the_next_month():
    assert states.capped(rule_of(at=AT), AT).until == datetime(2026, 4, 1, tzinfo=UTC)
    assert states.next_month(datetime(2026, 12, 31, 23, 59, tzinfo=UTC)) == datetime(2027, 1, 1, tzinfo=UTC)


def test_a_detached_card_suspends_only_the_rule_that_charges_it():
    rule = rule_of(at=AT)
    assert states.card_gone(rule, "pm_other") == rule
    gone = states.card_gone(rule, "pm_1")
    assert (gone.state, gone.reason, gone.card) == (State.SUSPENDED, Reason.NO_PAYMENT_METHOD, None)


def test_a_manual_resume_gives_one_attempt_a_day():
    suspended = rule_of(
        at=AT, state=State.SUSPENDED, reason=Reason.CARD, failures=3, bad_fingerprints=("fingerprint-1",)
    )
    resumed = states.resumed(suspended, AT)
    assert resumed.state is State.ACTIVE
    again = declined(resumed)
    assert (again.state, again.reason) == (State.SUSPENDED, Reason.CARD)
    with pytest.raises(ResumedRecently):
        states.resumed(again, AT + 23 * HOUR)
    assert states.resumed(again, AT + 24 * HOUR).state is State.ACTIVE


@pytest.mark.parametrize("state", [State.ACTIVE, State.COOLING, State.CAPPED, State.OFF])
def test_only_what_waits_for_a_person_or_backs_off_is_resumed(state):
    with pytest.raises(InvalidState):
        states.resumed(rule_of(at=AT, state=state, until=AT + HOUR), AT)


def test_another_card_begins_anew_and_the_same_one_does_not():
    suspended = rule_of(
        at=AT, state=State.SUSPENDED, reason=Reason.CARD, failures=3, bad_fingerprints=("fingerprint-1",)
    )
    consent = Consent("v1", AT, "key_1")
    anew = states.configured(suspended, TERMS, OTHER, consent)
    assert (anew.state, anew.failures) == (State.ACTIVE, 0)
    same = states.configured(suspended, TERMS, Card("pm_3", "fingerprint-1"), consent)
    assert (same.state, same.reason) == (State.SUSPENDED, Reason.CARD)
    back = states.configured(anew, TERMS, Card("pm_3", "fingerprint-1"), consent)
    assert (back.state, back.reason) == (State.SUSPENDED, Reason.CARD)


@pytest.mark.parametrize("reason", [Reason.DECLINED, Reason.SUCCESS, Reason.DAILY_LIMIT])
def test_turning_it_off_and_on_is_no_way_around_a_wait(reason):
    state = State.BACKING_OFF if reason is Reason.DECLINED else State.COOLING
    waiting = rule_of(at=AT, state=state, reason=reason, until=AT + HOUR, failures=1)
    off = states.turned_off(waiting)
    on = states.configured(off, TERMS, CARD, Consent("v1", AT, "key_1"))
    assert (on.state, on.reason, on.until, on.failures) == (state, reason, AT + HOUR, 1)
    assert states.lapsed(on, AT + HOUR).state is State.ACTIVE


@pytest.mark.parametrize("reason", [Reason.DISPUTE, Reason.FRAUD_WARNING])
def test_a_dispute_is_ended_by_a_persons_word_alone(reason):
    rule = states.suspended(rule_of(at=AT), reason)
    consent = Consent("v1", AT, "key_1")
    for after in (
        states.paid_by_hand(rule, fingerprint=CARD.fingerprint),
        states.after_success(rule, AT, fingerprint=CARD.fingerprint),
        states.configured(rule, TERMS, OTHER, consent),
        states.suspended(rule, Reason.CARD),
        states.configured(states.turned_off(rule), TERMS, OTHER, consent),
    ):
        assert (after.state, after.reason) == (State.SUSPENDED, reason)
    assert states.resumed(rule, AT).state is State.ACTIVE


def test_a_dispute_that_comes_while_it_is_off_is_remembered():
    off = states.suspended(states.turned_off(rule_of(at=AT)), Reason.DISPUTE)
    assert off.state is State.OFF
    on = states.configured(off, TERMS, OTHER, Consent("v1", AT, "key_1"))
    assert (on.state, on.reason) == (State.SUSPENDED, Reason.DISPUTE)


@pytest.mark.parametrize("reason", [Reason.CARD, Reason.ACTION_REQUIRED])
def test_a_payment_by_hand_lets_a_suspended_card_go_on(reason):
    rule = rule_of(at=AT, state=State.SUSPENDED, reason=reason, failures=3, bad_fingerprints=("fingerprint-1",))
    paid = states.paid_by_hand(rule, fingerprint="fingerprint-1")
    assert (paid.state, paid.failures, paid.bad_fingerprints) == (State.ACTIVE, 0, ())


def test_when_another_card_paid_the_rules_card_has_one_try():
    rule = rule_of(at=AT, state=State.SUSPENDED, reason=Reason.CARD, failures=3, bad_fingerprints=("fingerprint-1",))
    paid = states.paid_by_hand(rule, fingerprint="fingerprint-2")
    assert paid.state is State.ACTIVE
    assert declined(paid).state is State.SUSPENDED


def test_a_payment_by_hand_wakes_nothing_that_is_off_or_has_no_card():
    off = rule_of(at=AT, state=State.OFF, reason=Reason.CARD)
    assert states.paid_by_hand(off, fingerprint=None).state is State.OFF
    bare = replace(rule_of(at=AT), card=None, state=State.SUSPENDED, reason=Reason.NO_PAYMENT_METHOD)
    assert states.paid_by_hand(bare, fingerprint="x") == bare


def test_an_attempt_that_ended_can_only_turn_out_to_have_succeeded():
    for state, to in states.ATTEMPT_MOVES.items():
        if state not in states.OPEN:
            assert to <= {states.AttemptState.SUCCEEDED}
