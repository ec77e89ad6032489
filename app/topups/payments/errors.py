"""What can be said against a refund.

AppError
├── NotRefundable          409   the payment's state, or its age, allows no refund
│   ├── PaymentDisputed    409   its card's owner contests it: the bank decides
│   └── RefundWindowOver   409   it is older than 14 days
└── RefundTooLarge         422   more than what is left of the payment
"""

from __future__ import annotations

from app.kit.errors import AppError
from app.kit.money import dollars


class NotRefundable(AppError):
    """There is nothing of this payment that can be refunded."""

    status = 409
    code = "not_refundable"
    suggestion = "Read the payment: refundable says how much of it can go back."


class PaymentDisputed(NotRefundable):
    """The payment is disputed; the card's bank decides."""

    code = "payment_disputed"
    suggestion = "Wait until the dispute is closed; GET /v1/billing/disputes shows it."


class RefundWindowOver(NotRefundable):
    """Payments are refunded for 14 days."""

    code = "refund_window_over"
    suggestion = "The credit stays in the wallet and does not expire."


class RefundTooLarge(AppError):
    """The amount is more than what is left of the payment."""

    status = 422
    code = "refund_too_large"
    suggestion = "Ask for refundable at most, or leave the amount out to refund all of it."

    @classmethod
    def of(cls, *, amount: int, refundable: int) -> RefundTooLarge:
        """Return the error with both figures, in dollars on the wire."""
        return cls(
            f"{dollars(amount)} was asked for and {dollars(refundable)} can be refunded.",
            extra={"amount": dollars(amount), "refundable": dollars(refundable)},
        )
