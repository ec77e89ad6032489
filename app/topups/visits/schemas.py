"""Wire shapes of visits to Stripe's page, saved cards and the portal."""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self, cast

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from app.kit.money import MICROS_PER_DOLLAR, dollars
from app.topups.gateway.reading import MICROS_PER_CENT
from app.topups.models import CheckoutRow, PaymentMethodRow
from app.topups.visits.checkouts import State
from app.web import Page
from app.web.schemas import MoneyOut, PositiveMoneyIn, TimeOut, Wire

DEPOSIT_MIN: Final = 1 * MICROS_PER_DOLLAR
DEPOSIT_MAX: Final = 5_000 * MICROS_PER_DOLLAR
Status = Literal["created", "open", "processing", "complete", "expired", "failed"]
_Brand = Annotated[str, Field(examples=["visa"])]


def _deposit(micros: int) -> int:
    if not DEPOSIT_MIN <= micros <= DEPOSIT_MAX:
        raise ValueError(f"must be from {dollars(DEPOSIT_MIN)} to {dollars(DEPOSIT_MAX)} dollars")
    if micros % MICROS_PER_CENT:
        raise ValueError("must be a whole number of cents")
    return micros


class CheckoutCreate(Wire):
    """A deposit to be paid by card."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"amount": "25.00", "save_card": True}]})

    amount: Annotated[
        Annotated[PositiveMoneyIn, AfterValidator(_deposit)] | None,
        Field(description="What is to be paid and credited: from 1.00 to 5000.00, in whole cents."),
    ] = None
    preset: Annotated[Literal[10, 25, 50, 100] | None, Field(description="So many dollars, instead of `amount`.")] = (
        None
    )
    save_card: Annotated[bool, Field(description="Keep the card, so that it can be charged later.")] = False

    @model_validator(mode="after")
    def _names_one_amount(self) -> Self:
        if (self.amount is None) == (self.preset is None):
            raise ValueError("must name either amount or preset")
        return self

    @property
    def micros(self) -> int:
        """Return what is to be paid."""
        return self.amount if self.amount is not None else (self.preset or 0) * MICROS_PER_DOLLAR


class CheckoutPage(Page):
    """The query of the list of checkout sessions."""


class PaymentMethodPage(Page):
    """The query of the list of payment methods."""


class CheckoutSession(Wire):
    """A visit to the card processor's page, where a customer pays or saves a card."""

    id: str
    object: Literal["checkout_session"] = "checkout_session"
    purpose: Literal["deposit", "save_card", "confirm_topup"]
    status: Status
    """``processing``: paid, and the money is on its way. What is credited stands on the payment."""
    url: str | None
    """Where to send the customer while it is open."""
    amount: MoneyOut | None
    save_card: bool
    payment_id: str | None
    payment_method_id: str | None
    """The card that was saved, where only that was asked for."""
    topup_attempt_id: str | None
    created_at: TimeOut
    expires_at: TimeOut
    completed_at: TimeOut | None

    @classmethod
    def of(cls, row: CheckoutRow) -> CheckoutSession:
        """Return a visit as it is shown."""
        return cls(
            id=row.id,
            purpose=cast("Literal['deposit', 'save_card', 'confirm_topup']", row.purpose),
            status=cast("Status", row.state),
            url=row.url if row.state == State.OPEN else None,
            amount=row.amount,
            save_card=row.save_card,
            payment_id=row.payment_id,
            payment_method_id=row.payment_method_id,
            topup_attempt_id=row.attempt_id,
            created_at=row.created_at,
            expires_at=row.expires_at,
            completed_at=row.completed_at,
        )


class PaymentMethod(Wire):
    """A saved card."""

    id: str
    object: Literal["payment_method"] = "payment_method"
    brand: _Brand
    last4: str
    exp_month: int
    exp_year: int
    created_at: TimeOut

    @classmethod
    def of(cls, row: PaymentMethodRow) -> PaymentMethod:
        """Return a card as it is shown."""
        return cls(
            id=row.id,
            brand=row.brand,
            last4=row.last4,
            exp_month=row.exp_month,
            exp_year=row.exp_year,
            created_at=row.created_at,
        )


class PortalSession(Wire):
    """A way into the page where a customer manages cards and receipts."""

    object: Literal["portal_session"] = "portal_session"
    url: str
    """A secret: whoever has it is let in. For the customer's browser, at once, and nowhere else."""
