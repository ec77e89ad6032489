"""From what Stripe says now and what we have posted to what must be posted. Pure, and independent of the path.

Every object at Stripe has effects of its own: a payment credits, a refund takes, a refund that failed gives back, a
dispute holds, debits, reverses, releases. They only ever grow, and each is posted up to its amount, target less
posted. So whatever was seen, missed, seen late or seen twice on the way, the same rows stand in the end; an old
answer asks for nothing that is not true any more, and undoes nothing.

A payment never takes back more than it brought in. Where refunds and disputes together ask for more, what was posted
first stands, the rest waits until there is room again, and the sum is always the smaller of both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from app.topups.gateway.facts import DisputeFacts, PaymentFacts, RefundFacts

SUCCEEDED = "succeeded"
FAILED_REFUNDS = frozenset({"failed", "canceled"})
INQUIRIES = frozenset({"warning_needs_response", "warning_under_review", "warning_closed"})
"""A question of the card's bank: no money has moved."""
CLOSED_DISPUTES = frozenset({"won", "lost", "prevented", "warning_closed"})


@dataclass(frozen=True, slots=True)
class Credit:
    """The payment's money comes in, net of tax."""

    amount: int


@dataclass(frozen=True, slots=True)
class FinishRefund:
    """A refund that we hold money for exists at Stripe: the money has left."""

    stripe_refund_id: str
    refund_id: str
    amount: int


@dataclass(frozen=True, slots=True)
class ClawBack:
    """A refund was made that we hold nothing for."""

    stripe_refund_id: str
    amount: int
    before: int
    """What was taken for it earlier."""


@dataclass(frozen=True, slots=True)
class GiveBack:
    """A refund failed after its money had left: it came back."""

    stripe_refund_id: str
    amount: int


@dataclass(frozen=True, slots=True)
class HoldDispute:
    """The payment is contested: hold what can be held, and reserve nothing new."""

    stripe_dispute_id: str
    amount: int


@dataclass(frozen=True, slots=True)
class DebitDispute:
    """Stripe has withdrawn contested money from us."""

    stripe_dispute_id: str
    amount: int
    before: int


@dataclass(frozen=True, slots=True)
class ReverseDispute:
    """Stripe has given contested money back to us."""

    stripe_dispute_id: str
    amount: int
    before: int


@dataclass(frozen=True, slots=True)
class ReleaseDispute:
    """The dispute is over: what is still held for it is free again."""

    stripe_dispute_id: str


Effect = Credit | FinishRefund | ClawBack | GiveBack | HoldDispute | DebitDispute | ReverseDispute | ReleaseDispute


@dataclass(frozen=True, slots=True)
class PostedRefund:
    """What the ledger knows of one refund."""

    taken: int = 0
    returned: int = 0

    @property
    def net(self) -> int:
        """What it takes at present."""
        return self.taken - self.returned


@dataclass(frozen=True, slots=True)
class PostedDispute:
    """What the ledger knows of one dispute."""

    held: bool = False
    """It was held for, whatever there was to hold."""
    debited: int = 0
    reversed: int = 0
    released: bool = False

    @property
    def net(self) -> int:
        """What it takes at present."""
        return self.debited - self.reversed


@dataclass(frozen=True, slots=True)
class PaymentState:
    """What was posted for a payment. Amounts in micro-dollars of credit."""

    credited: int = 0
    held: Mapping[str, int] = field(default_factory=dict)
    """Our refunds that money is held for, by our id."""
    refunds: Mapping[str, PostedRefund] = field(default_factory=dict)
    """By Stripe's id."""
    disputes: Mapping[str, PostedDispute] = field(default_factory=dict)
    """By Stripe's id."""

    @property
    def room(self) -> int:
        """How much may still be taken back."""
        taken = sum(refund.net for refund in self.refunds.values())
        contested = sum(dispute.net for dispute in self.disputes.values())
        return self.credited - taken - contested - sum(self.held.values())

    def after(self, effect: Effect) -> PaymentState:
        """Return the state once an effect is posted."""
        match effect:
            case Credit():
                return replace(self, credited=self.credited + effect.amount)
            case FinishRefund():
                held = {key: amount for key, amount in self.held.items() if key != effect.refund_id}
                refunds = {**self.refunds, effect.stripe_refund_id: PostedRefund(taken=effect.amount)}
                return replace(self, held=held, refunds=refunds)
            case ClawBack() | GiveBack():
                return replace(self, refunds={**self.refunds, effect.stripe_refund_id: self._refund_after(effect)})
            case _:
                return replace(self, disputes={**self.disputes, effect.stripe_dispute_id: self._dispute_after(effect)})

    def _refund_after(self, effect: ClawBack | GiveBack) -> PostedRefund:
        posted = self.refunds.get(effect.stripe_refund_id, PostedRefund())
        if isinstance(effect, ClawBack):
            return replace(posted, taken=posted.taken + effect.amount)
        return replace(posted, returned=posted.returned + effect.amount)

    def _dispute_after(self, effect: HoldDispute | DebitDispute | ReverseDispute | ReleaseDispute) -> PostedDispute:
        posted = self.disputes.get(effect.stripe_dispute_id, PostedDispute())
        match effect:
            case HoldDispute():
                return replace(posted, held=True)
            case DebitDispute():
                return replace(posted, debited=posted.debited + effect.amount)
            case ReverseDispute():
                return replace(posted, reversed=posted.reversed + effect.amount)
            case ReleaseDispute():
                return replace(posted, released=True)


def effects(facts: PaymentFacts, state: PaymentState) -> list[Effect]:
    """Return what must be posted, in order, so that the ledger says what Stripe says. Empty when it does."""
    found: list[Effect] = []
    while (effect := next(_wanted(facts, state), None)) is not None:
        found.append(effect)
        state = state.after(effect)
    return found


def net_of(facts: PaymentFacts) -> int:
    """Return what a payment brings in once it has succeeded: without its tax."""
    return max(0, facts.amount - facts.tax)


def share_of(facts: PaymentFacts, gross: int) -> int:
    """Return how much of an amount that was paid with tax is credit. The whole is all of it; parts are rounded down."""
    return gross * net_of(facts) // facts.amount if facts.tax else gross


def target(facts: PaymentFacts) -> int:
    """Return what a payment is worth now: captured net of tax, less refunds and withdrawals, plus reinstatements."""
    if facts.status != SUCCEEDED:
        return 0
    refunded = sum(share_of(facts, refund.amount) for refund in facts.refunds if not has_failed(refund))
    contested = sum(_withdrawn(facts, dispute) - _reinstated(facts, dispute) for dispute in facts.disputes)
    return max(0, net_of(facts) - refunded - contested)


def has_failed(refund: RefundFacts) -> bool:
    """Say whether a refund's money came back."""
    return refund.status in FAILED_REFUNDS


def is_inquiry(dispute: DisputeFacts) -> bool:
    """Say whether nothing but a question was asked so far."""
    return dispute.status in INQUIRIES and not dispute.withdrawn


def is_closed(dispute: DisputeFacts) -> bool:
    """Say whether a dispute is over. One that is lost is not until its money was withdrawn."""
    return dispute.status in CLOSED_DISPUTES and (dispute.status != "lost" or dispute.withdrawn > 0)


def _wanted(facts: PaymentFacts, state: PaymentState) -> Iterator[Effect]:
    """Yield what is missing, the first of which may be posted now."""
    if facts.status == SUCCEEDED and not state.credited and net_of(facts):
        yield Credit(net_of(facts))
    if not state.credited:
        return
    # In the order in which they began, each to its end: what came back made room for what began after it.
    begun: list[RefundFacts | DisputeFacts] = [*facts.refunds, *facts.disputes]
    for one in sorted(begun, key=lambda one: (one.created_at, not _came_back(one), one.id)):
        if isinstance(one, RefundFacts):
            yield from _of_refund(facts, state, one)
        else:
            yield from _of_dispute(facts, state, one)


def _came_back(one: RefundFacts | DisputeFacts) -> bool:
    """Say whether nothing is taken in the end; such a one goes first where two began in the same second."""
    return has_failed(one) if isinstance(one, RefundFacts) else one.reinstated >= one.withdrawn > 0


def _of_refund(facts: PaymentFacts, state: PaymentState, refund: RefundFacts) -> Iterator[Effect]:
    posted = state.refunds.get(refund.id)
    ours = refund.metadata.get("refund_id", "")
    if posted is None and ours in state.held:
        yield FinishRefund(refund.id, ours, state.held[ours])
        return
    posted = posted or PostedRefund()
    missing = share_of(facts, refund.amount) - posted.taken
    # What has failed had its room before anything was held for another.
    room = state.room + (sum(state.held.values()) if has_failed(refund) else 0)
    # What has come back is not taken again: its story is over.
    if not posted.returned and (taken := min(missing, room)) > 0:
        yield ClawBack(refund.id, taken, posted.taken)
    elif has_failed(refund) and posted.net > 0:
        yield GiveBack(refund.id, posted.net)


def _of_dispute(facts: PaymentFacts, state: PaymentState, dispute: DisputeFacts) -> Iterator[Effect]:
    posted = state.disputes.get(dispute.id, PostedDispute())
    withdrawn, reinstated = _withdrawn(facts, dispute), _reinstated(facts, dispute)
    if is_inquiry(dispute) and not posted.held:
        return
    if not posted.held:
        yield HoldDispute(dispute.id, max(0, min(share_of(facts, dispute.amount), state.room)))
    elif (taken := min(withdrawn - posted.debited, state.room)) > 0:
        yield DebitDispute(dispute.id, taken, posted.debited)
    elif (given := min(reinstated, posted.debited) - posted.reversed) > 0:
        yield ReverseDispute(dispute.id, given, posted.reversed)
    elif is_closed(dispute) and not posted.released:
        yield ReleaseDispute(dispute.id)


def _withdrawn(facts: PaymentFacts, dispute: DisputeFacts) -> int:
    return share_of(facts, dispute.withdrawn)


def _reinstated(facts: PaymentFacts, dispute: DisputeFacts) -> int:
    return min(share_of(facts, dispute.reinstated), _withdrawn(facts, dispute))
