"""The wallet on the wire."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from app.wallet.usage import Used
from app.web import Page
from app.web.schemas import MoneyOut, PositiveMoneyIn, TimeIn, TimeOut, Wire


class Wallet(Wire):
    """The account's money at one moment."""

    object: Literal["wallet"] = "wallet"
    available: MoneyOut
    """May be spent on a new rental."""
    reserved: MoneyOut
    """Held against live rentals."""
    total: MoneyOut
    """`available` and `reserved`."""
    accrued: MoneyOut
    """Live usage not yet captured; lies inside `reserved`."""
    burn_per_hour: MoneyOut
    """What everything that is billed right now costs per hour."""
    runway_seconds: int | None
    """How long everything that runs can go on; null when nothing runs."""
    incoming: MoneyOut
    """Payments in flight; not spendable yet."""
    owed: MoneyOut
    """Paid from the next inflow before anything becomes available."""
    running: int
    """How many rentals are billed right now: those that run, and those that hibernate."""
    frozen: bool
    """Nothing new can be reserved while a difference in the books is looked into."""
    restricted: bool
    """Nothing new can be reserved while a payment is disputed."""
    alert_below: MoneyOut | None
    """A warning is told when available comes down to this."""
    as_of: TimeOut


class WalletUpdate(Wire):
    """What can be changed of a wallet."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"alert_below": "5.00"}]})

    alert_below: Annotated[
        PositiveMoneyIn | None, Field(description="Warn when available comes down to this; null for never.")
    ]


Ending = Literal["wallet_empty", "max_spend", "budget_exceeded"]
"""Why a hold comes to its end."""


class Hold(Wire):
    """Money held for one rental, or for a refund or a dispute of a payment."""

    object: Literal["hold"] = "hold"
    kind: Literal["rental", "refund", "dispute"]
    rental_id: str | None
    refund_id: str | None
    dispute_id: str | None
    payment_id: str | None
    """The payment that is refunded or disputed."""
    state: Literal["waiting", "running", "open"]
    """A rental's is waiting or running; a refund's or a dispute's is open."""
    rate_per_hour: MoneyOut | None
    """Null for what is no rental."""
    held: MoneyOut
    """Held at the last settlement."""
    remaining: MoneyOut
    """`held` less `accrued`."""
    accrued: MoneyOut
    charged: MoneyOut
    """Captured so far."""
    billed_seconds: int
    max_spend: MoneyOut | None
    funded_until: TimeOut | None
    """The last moment the hold covers; null while nothing is billed."""
    ends_at: TimeOut | None
    """When a stop will be issued: the hold can't be renewed in full, or a budget is used up; null while neither is so."""
    ends_because: Ending | None
    as_of: TimeOut


class HoldPage(Page):
    """The open holds, in falling order of what they are for: refunds, rentals (the newest first), disputes."""


class Grouping(StrEnum):
    """What usage is summed by."""

    RENTAL = "rental"
    DAY = "day"


class UsagePage(Page):
    """Which usage to sum, and how; newest first."""

    group_by: Annotated[Grouping, Field(description="By rental, or by day of UTC.")] = Grouping.DAY
    since: Annotated[TimeIn | None, Field(alias="from", description="Only what was used then or later.")] = None
    until: Annotated[TimeIn | None, Field(alias="to", description="Only what was used before then.")] = None


class Usage(Wire):
    """What one rental, or one day, cost: sums of the ledger's rows."""

    object: Literal["usage"] = "usage"
    rental_id: str | None
    day: str | None
    seconds: int
    charged: MoneyOut
    refunded: MoneyOut
    total: MoneyOut
    """`charged` less `refunded`."""

    @classmethod
    def of(cls, used: Used, group_by: Grouping) -> Usage:
        """Return a sum in its form."""
        return cls(
            rental_id=used.key if group_by is Grouping.RENTAL else None,
            day=used.key if group_by is Grouping.DAY else None,
            seconds=used.seconds,
            charged=used.charged,
            refunded=used.refunded,
            total=used.charged - used.refunded,
        )
