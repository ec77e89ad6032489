"""How a rule and an attempt move from state to state: pure, each function one cause.

rule:     off ─► active ─► cooling ─► active                a charge succeeded: ten minutes
                   │ ├───► backing_off ─► active            a soft decline: one hour, then six
                   │ ├───► capped ─► active                 the month's cap: until the 1st
                   │ └───► suspended ─► active              until a person acts
                   └─────► off                              from every state

attempt:  created ─► submitted ⇄ unknown
             │           └─────────┴─► succeeded | declined | action_required | canceled
             └─► canceled
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from app.kit.errors import InvalidState
from app.refills.terms import PASSING, Card, Consent, Reason, Rule, State, Terms

COOL_DOWN = timedelta(minutes=10)
BACK_OFFS = (timedelta(hours=1), timedelta(hours=6))
"""After the first and the second decline in a row; the third suspends."""
FAILURES_MAX = len(BACK_OFFS) + 1
RESUME_EVERY = timedelta(hours=24)

NEVER_AGAIN: Final = frozenset(
    {
        "expired_card",
        "fraudulent",
        "incorrect_number",
        "invalid_account",
        "invalid_number",
        "lost_card",
        "merchant_blacklist",
        "pickup_card",
        "restricted_card",
        "revocation_of_all_authorizations",
        "revocation_of_authorization",
        "security_violation",
        "stolen_card",
        "stop_payment_order",
        "transaction_not_allowed",
    }
)
"""Decline codes after which the same card is not tried again."""
DO_NOT_TRY_AGAIN = "do_not_try_again"


CONTESTED: Final = frozenset({Reason.DISPUTE, Reason.FRAUD_WARNING})
"""Only a person's word ends a suspension for these."""


class AttemptState(StrEnum):
    """Where an attempt stands."""

    CREATED = "created"
    SUBMITTED = "submitted"
    UNKNOWN = "unknown"
    SUCCEEDED = "succeeded"
    DECLINED = "declined"
    ACTION_REQUIRED = "action_required"
    CANCELED = "canceled"


OPEN: Final = frozenset({AttemptState.CREATED, AttemptState.SUBMITTED, AttemptState.UNKNOWN})

_SENT_MAY_BECOME = frozenset(AttemptState) - {AttemptState.CREATED}
ATTEMPT_MOVES: Final[Mapping[AttemptState, frozenset[AttemptState]]] = {
    AttemptState.CREATED: frozenset({AttemptState.SUBMITTED, AttemptState.CANCELED}),
    AttemptState.SUBMITTED: _SENT_MAY_BECOME,
    AttemptState.UNKNOWN: _SENT_MAY_BECOME,
    AttemptState.SUCCEEDED: frozenset(),
    # Money that came in after all is a fact, whatever was believed before.
    AttemptState.DECLINED: frozenset({AttemptState.SUCCEEDED}),
    AttemptState.ACTION_REQUIRED: frozenset({AttemptState.SUCCEEDED}),
    AttemptState.CANCELED: frozenset({AttemptState.SUCCEEDED}),
}


class ResumedRecently(InvalidState):
    """The rule was resumed by hand less than 24 hours ago."""

    suggestion = "Name another card, pay once by checkout, or wait until 24 hours are over."


def lapsed(rule: Rule, at: datetime) -> Rule:
    """Return the rule at ``at``: a passing state whose time is over is active again."""
    if rule.state in PASSING and rule.until is not None and rule.until <= at:
        return _moved(rule, State.ACTIVE)
    return rule


def after_success(rule: Rule, at: datetime, *, fingerprint: str | None) -> Rule:
    """A charge succeeded: cool down, and forget the card's failures. A person's or a dispute's word stands."""
    calm = replace(rule, failures=0, bad_fingerprints=_without(rule.bad_fingerprints, fingerprint))
    if rule.state is State.OFF or rule.reason in CONTESTED or rule.reason is Reason.NO_PAYMENT_METHOD:
        return calm
    return _moved(calm, State.COOLING, Reason.SUCCESS, until=at + COOL_DOWN)


def after_decline(
    rule: Rule, at: datetime, *, decline_code: str | None, advice_code: str | None, fingerprint: str | None
) -> Rule:
    """A charge was declined: back off, or leave the card alone. A failure never shortens a wait.

    ``fingerprint`` is of the card that was charged, which may no longer be the rule's.
    """
    never_again = advice_code == DO_NOT_TRY_AGAIN or decline_code in NEVER_AGAIN
    if rule.card is None or rule.card.fingerprint != fingerprint:
        known = rule.bad_fingerprints
        return replace(rule, bad_fingerprints=_with(known, fingerprint)) if never_again else rule
    failures = rule.failures + 1
    counted = replace(rule, failures=failures)
    final = never_again or failures >= FAILURES_MAX
    if final:
        counted = replace(counted, bad_fingerprints=_with(rule.bad_fingerprints, fingerprint))
    if rule.state in (State.OFF, State.SUSPENDED):
        return counted
    if final:
        return _moved(counted, State.SUSPENDED, Reason.CARD)
    return _moved(counted, State.BACKING_OFF, Reason.DECLINED, until=at + BACK_OFFS[failures - 1])


def after_no_outcome(rule: Rule, at: datetime) -> Rule:
    """An attempt ended without a charge through no fault of the card: wait a little, so that an outage isn't hammered."""
    if rule.state is not State.ACTIVE:
        return rule
    return _moved(rule, State.COOLING, Reason.UNRESOLVED, until=at + COOL_DOWN)


def suspended(rule: Rule, reason: Reason) -> Rule:
    """Stop charging until a person acts. A dispute is not covered up by a lesser reason.

    A rule that is off stays off, and remembers a dispute.
    """
    if rule.reason in CONTESTED or (rule.state is State.OFF and reason not in CONTESTED):
        return rule
    return _moved(rule, State.OFF if rule.state is State.OFF else State.SUSPENDED, reason)


def card_gone(rule: Rule, payment_method_id: str) -> Rule:
    """The card was detached: if it was the rule's, there is none."""
    if rule.card is None or rule.card.payment_method_id != payment_method_id:
        return rule
    bare = replace(rule, card=None)
    return suspended(bare, Reason.NO_PAYMENT_METHOD)


def capped(rule: Rule, at: datetime) -> Rule:
    """The month's cap leaves no room: wait for the 1st."""
    return _moved(rule, State.CAPPED, Reason.MONTHLY_CAP, until=next_month(at))


def rested(rule: Rule, reason: Reason, *, until: datetime) -> Rule:
    """Wait until a moment."""
    return _moved(rule, State.COOLING, reason, until=until)


def paid_by_hand(rule: Rule, *, fingerprint: str | None) -> Rule:
    """A payment on-session succeeded: the rule goes on. A dispute still stands.

    The card that paid is forgiven everything; when another one paid, the rule's has one try.
    """
    if rule.card is None:
        return rule
    forgiven = rule.card.fingerprint == fingerprint
    failures = 0 if forgiven else min(rule.failures, FAILURES_MAX - 1)
    calm = replace(rule, failures=failures, bad_fingerprints=_without(rule.bad_fingerprints, fingerprint))
    held = rule.state is State.BACKING_OFF or rule.reason in (Reason.CARD, Reason.ACTION_REQUIRED)
    return _moved(calm, State.ACTIVE) if held and rule.state is not State.OFF else calm


def resumed(rule: Rule, at: datetime) -> Rule:
    """A person says go on: one attempt, and its decline suspends again.

    Raises:
        InvalidState: nothing is to be resumed, or there is no card.
        ResumedRecently: that was said less than 24 hours ago.
    """
    if rule.state not in (State.SUSPENDED, State.BACKING_OFF) or rule.card is None:
        raise InvalidState
    if rule.last_manual_resume_at is not None and at < rule.last_manual_resume_at + RESUME_EVERY:
        raise ResumedRecently
    last_try = replace(rule, failures=FAILURES_MAX - 1, last_manual_resume_at=at)
    return _moved(last_try, State.ACTIVE)


def configured(rule: Rule, terms: Terms, card: Card, consent: Consent) -> Rule:
    """Take new terms. What a card has earned stays with it: only another fingerprint begins anew."""
    new = replace(rule, terms=terms, card=card, consent=consent)
    same_card = rule.card is not None and rule.card.fingerprint == card.fingerprint
    if not same_card:
        new = replace(new, failures=0)
    if rule.reason in CONTESTED:
        return _moved(new, State.SUSPENDED, rule.reason)
    if card.fingerprint in rule.bad_fingerprints:
        return _moved(new, State.SUSPENDED, Reason.CARD)
    if same_card and rule.reason is Reason.ACTION_REQUIRED:
        return _moved(new, State.SUSPENDED, Reason.ACTION_REQUIRED)
    waits = {Reason.DECLINED: same_card, Reason.SUCCESS: True, Reason.DAILY_LIMIT: True, Reason.UNRESOLVED: True}
    if rule.until is not None and rule.reason is not None and waits.get(rule.reason, False):
        back = State.BACKING_OFF if rule.reason is Reason.DECLINED else State.COOLING
        return _moved(new, back, rule.reason, until=rule.until)
    return _moved(new, State.ACTIVE)


def turned_off(rule: Rule) -> Rule:
    """Charge nothing more. Reason and wait are kept, so that turning it on again is no way around them."""
    return replace(rule, state=State.OFF)


def month_of(at: datetime) -> datetime:
    """Return the first moment of the UTC month in which ``at`` lies."""
    return day_of(at).replace(day=1)


def next_month(at: datetime) -> datetime:
    """Return the first moment of the next UTC month."""
    return month_of(month_of(at) + timedelta(days=32))


def day_of(at: datetime) -> datetime:
    """Return the first moment of the UTC day in which ``at`` lies."""
    return at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _moved(rule: Rule, to: State, reason: Reason | None = None, *, until: datetime | None = None) -> Rule:
    return replace(rule, state=to, reason=reason, until=until)


def _without(known: tuple[str, ...], fingerprint: str | None) -> tuple[str, ...]:
    return tuple(bad for bad in known if bad != fingerprint)


def _with(known: tuple[str, ...], fingerprint: str | None) -> tuple[str, ...]:
    return known if fingerprint is None or fingerprint in known else (*known, fingerprint)
