"""Payments, refunds and disputes on the wire."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal, cast

from pydantic import AfterValidator, ConfigDict, Field

from app.kit.ids import PaymentId
from app.topups.models import DisputeRow, PaymentRow, RefundRow
from app.topups.payments.rows import HELD
from app.web import Page
from app.web.schemas import MoneyOut, PositiveMoneyIn, TimeOut, Wire

PaymentIdIn = Annotated[str, AfterValidator(PaymentId.parse), Field(max_length=64)]
RefundStatus = Literal["pending", "succeeded", "failed", "canceled"]


class PaidWith(Wire):
    """The card that paid."""

    brand: str
    last4: str


class Payment(Wire):
    """Money that a card has paid, or is paying, into the wallet."""

    id: str
    object: Literal["payment"] = "payment"
    status: Literal["processing", "succeeded", "failed", "canceled"]
    source: Literal["checkout", "auto_topup"]
    amount: MoneyOut
    """What the card paid, with tax."""
    tax: MoneyOut
    credited: MoneyOut
    """What came into the wallet."""
    refunded: MoneyOut
    disputed: MoneyOut
    """What the card's bank has taken back."""
    refundable: MoneyOut | None = None
    """How much can be refunded now; told when one payment is read."""
    card: PaidWith | None
    receipt_url: str | None
    """The receipt, with whatever was refunded."""
    checkout_id: str | None
    topup_attempt_id: str | None
    created_at: TimeOut
    succeeded_at: TimeOut | None

    @classmethod
    def of(cls, row: PaymentRow, *, refundable: int | None = None) -> Payment:
        """Return a payment in its form."""
        return cls.model_validate(
            {
                "id": row.id,
                "status": row.status,
                "source": row.source,
                "amount": row.amount,
                "tax": row.tax,
                "credited": row.credited,
                "refunded": row.refunded,
                "disputed": row.disputed,
                "refundable": refundable,
                "card": PaidWith(brand=row.brand or "", last4=row.last4) if row.last4 else None,
                "receipt_url": row.receipt_url,
                "checkout_id": row.checkout_id,
                "topup_attempt_id": row.attempt_id,
                "created_at": row.created_at,
                "succeeded_at": row.succeeded_at,
            }
        )


class PaymentStatus(StrEnum):
    """Where a payment stands."""

    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


class PaymentPage(Page):
    """Which payments to list, newest first."""

    status: Annotated[PaymentStatus | None, Field(description="Only payments in this state.")] = None


class RefundCreate(Wire):
    """A refund to make: to the card that paid."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"payment_id": "pay_01K8ZQ4X8N6M2J3R5T7V9W1Y3B", "amount": "10.00"}]}
    )

    payment_id: PaymentIdIn
    amount: Annotated[
        PositiveMoneyIn | None, Field(description="In whole cents; everything refundable when left out.")
    ] = None
    reason: Annotated[
        Literal["requested_by_customer", "duplicate"], Field(description="Why; the card's bank is told.")
    ] = "requested_by_customer"


class Refund(Wire):
    """Money on its way back to the card that paid."""

    id: str
    object: Literal["refund"] = "refund"
    payment_id: str
    amount: MoneyOut
    """What leaves the wallet."""
    status: RefundStatus
    source: Literal["ours", "external"]
    """`external` was made at the card processor, not here."""
    reason: str | None
    failure_reason: str | None
    created_by: str
    created_at: TimeOut
    resolved_at: TimeOut | None

    @classmethod
    def of(cls, row: RefundRow) -> Refund:
        """Return a refund in its form: until its end is known, it is pending."""
        return cls(
            id=row.id,
            payment_id=row.payment_id,
            amount=row.amount,
            status="pending" if row.status in HELD else cast("RefundStatus", row.status),
            source=cast("Literal['ours', 'external']", row.source),
            reason=row.reason,
            failure_reason=row.failure_reason,
            created_by=row.created_by,
            created_at=row.created_at,
            resolved_at=row.resolved_at,
        )


class RefundPage(Page):
    """Which refunds to list, newest first."""

    payment_id: Annotated[PaymentIdIn | None, Field(description="Only refunds of this payment.")] = None


class Dispute(Wire):
    """A payment that the card's owner contests."""

    id: str
    object: Literal["dispute"] = "dispute"
    payment_id: str
    amount: MoneyOut
    reason: str
    status: str
    """The card processor's own word, such as `needs_response`, `under_review`, `won`, `lost`, `warning_closed`."""
    phase: Literal["inquiry", "open", "closed"]
    """An inquiry has moved no money. While one is open, nothing new can be reserved from the wallet."""
    withdrawn: MoneyOut
    """What was taken from the wallet for it."""
    reinstated: MoneyOut
    """What of that came back."""
    due_by: TimeOut | None
    created_at: TimeOut
    updated_at: TimeOut
    closed_at: TimeOut | None

    @classmethod
    def of(cls, row: DisputeRow) -> Dispute:
        """Return a dispute in its form."""
        return cls(
            id=row.id,
            payment_id=row.payment_id,
            amount=row.amount,
            reason=row.reason,
            status=row.status,
            phase=cast("Literal['inquiry', 'open', 'closed']", row.phase),
            withdrawn=row.withdrawn,
            reinstated=row.reinstated,
            due_by=row.due_by,
            created_at=row.created_at,
            updated_at=row.updated_at,
            closed_at=row.closed_at,
        )


class DisputePage(Page):
    """Which disputes to list, newest first."""

    payment_id: Annotated[PaymentIdIn | None, Field(description="Only disputes of this payment.")] = None
