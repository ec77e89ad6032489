"""Statements on the wire."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.statements.summing import Balances, Line, MonthSummed, Statement, Totals
from app.web import Page
from app.web.schemas import MoneyOut, TimeOut, Wire


class Format(StrEnum):
    """How a statement is told."""

    JSON = "json"
    CSV = "csv"
    PDF = "pdf"


class StatementQuery(BaseModel):
    """How to tell a statement."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Annotated[
        Format | None, Field(description="Instead of the `Accept` header: for links that a person follows.")
    ] = None


class MonthPage(Page):
    """The months of which there are statements, newest first."""


class BalancesOut(Wire):
    """The wallet's three numbers, or how they changed, and what is owed."""

    available: MoneyOut
    reserved: MoneyOut
    total: MoneyOut
    """`available` and `reserved`."""
    owed: MoneyOut

    @classmethod
    def of(cls, balances: Balances) -> BalancesOut:
        """Return balances in their form."""
        return cls(available=balances.available, reserved=balances.reserved, total=balances.total, owed=balances.owed)


class MonthOut(Wire):
    """A month of which there is a statement."""

    object: Literal["statement_month"] = "statement_month"
    month: str
    starts_at: TimeOut
    ends_at: TimeOut
    """The first moment that belongs to it no more."""
    final: bool
    """Over, and settled to its end: the statement does not change any more."""
    opening: BalancesOut
    closing: BalancesOut
    movements: int
    """How many movements of money it has."""

    @classmethod
    def of(cls, summed: MonthSummed) -> MonthOut:
        """Return a month in its form."""
        return cls(
            month=str(summed.month),
            starts_at=summed.month.starts_at,
            ends_at=summed.month.ends_at,
            final=summed.final,
            opening=BalancesOut.of(summed.opening),
            closing=BalancesOut.of(summed.closing),
            movements=summed.count,
        )


class MovementsOut(Wire):
    """All movements of one kind in the month."""

    kind: str
    count: int
    amount: MoneyOut
    """Their sum, whichever way they moved."""
    change: BalancesOut
    """What they did to the wallet."""

    @classmethod
    def of(cls, line: Line) -> MovementsOut:
        """Return a line in its form."""
        return cls(kind=line.kind, count=line.count, amount=line.amount, change=BalancesOut.of(line.change))


class UsageOut(Wire):
    """What all rentals cost together."""

    rentals: int
    seconds: int
    charged: MoneyOut
    refunded: MoneyOut
    net: MoneyOut

    @classmethod
    def of(cls, totals: Totals) -> UsageOut:
        """Return totals in their form."""
        return cls(
            rentals=totals.rentals,
            seconds=totals.seconds,
            charged=totals.charged,
            refunded=totals.refunded,
            net=totals.net,
        )


class RentalUsed(Wire):
    """What one rental cost in the month."""

    rental_id: str
    seconds: int
    rate_per_hour: MoneyOut | None
    """Null when only refunds fell into the month."""
    charged: MoneyOut
    refunded: MoneyOut
    net: MoneyOut
    """`charged` less `refunded`."""


class PaymentMade(Wire):
    """A payment whose credit came into the wallet in the month."""

    payment_id: str
    at: TimeOut
    credited: MoneyOut
    """What came into the wallet, or paid a debt of it."""
    charged: MoneyOut | None
    """What the card paid: credit and tax."""
    tax: MoneyOut | None
    brand: str | None
    last4: str | None
    receipt_url: str | None


class StatementHead(Wire):
    """A statement without its lists."""

    object: Literal["statement"] = "statement"
    month: str
    account_id: str
    account_name: str
    currency: Literal["usd"] = "usd"
    starts_at: TimeOut
    ends_at: TimeOut
    """The first moment that belongs to the month no more."""
    as_of: TimeOut
    """For when it holds: the month's end, or the present while the month runs."""
    final: bool
    """Over, and settled to its end: the statement does not change any more."""
    opening: BalancesOut
    movements: list[MovementsOut]
    total_in: MoneyOut
    """What made the total larger."""
    total_out: MoneyOut
    """What made it smaller. `opening.total` + `total_in` less `total_out` is `closing.total`."""
    closing: BalancesOut
    usage: UsageOut

    @classmethod
    def of(cls, statement: Statement, *, account_name: str) -> StatementHead:
        """Return a statement in its form."""
        month = statement.span.month
        return cls(
            month=str(month),
            account_id=statement.span.account_id,
            account_name=account_name,
            starts_at=month.starts_at,
            ends_at=month.ends_at,
            as_of=statement.as_of,
            final=statement.final,
            opening=BalancesOut.of(statement.opening),
            movements=[MovementsOut.of(line) for line in statement.lines],
            total_in=statement.total_in,
            total_out=statement.total_out,
            closing=BalancesOut.of(statement.closing),
            usage=UsageOut.of(statement.usage),
        )


class StatementOut(StatementHead):
    """One account's month: opening + movements = closing, its payments and what each rental cost."""

    payments: list[PaymentMade]
    rentals: list[RentalUsed]
