"""The ledger on the wire."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from app.kit.ids import RentalId
from app.ledger.kinds import Bucket, Kind
from app.web import Page
from app.web.schemas import MoneyOut, TimeIn, TimeOut, Wire

_RentalText = Annotated[str, AfterValidator(RentalId.parse)]
_MomentText = TimeIn | None


class LedgerPage(Page):
    """Which transfers to list, newest first."""

    kind: Annotated[Kind | None, Field(description="Only this kind of movement.")] = None
    rental_id: Annotated[_RentalText | None, Field(max_length=64, description="Only movements of this rental.")] = None
    since: Annotated[_MomentText, Field(alias="from", description="Only what took effect then or later.")] = None
    until: Annotated[_MomentText, Field(alias="to", description="Only what took effect before then.")] = None


class Metered(Wire):
    """Which seconds of a rental a movement pays for."""

    rate_per_hour: MoneyOut
    from_second: int
    """Exclusive."""
    to_second: int
    """Inclusive."""
    base_second: int
    """From which second on this rate holds. So n seconds of it cost ⌊rate x n / 3600⌋, and the movement is the
    difference of that up to `to_second` and up to `from_second`."""


class References(Wire):
    """What a movement belongs to, by kind: at most a rental and one other."""

    rental_id: str | None
    payment_id: str | None
    refund_id: str | None
    dispute_id: str | None
    topup_id: str | None
    lot_id: str | None
    """A lot of credit."""


class Transfer(Wire):
    """One movement of money from one bucket of the account to another. Never changed."""

    id: str
    object: Literal["transfer"] = "transfer"
    seq: int
    """Counts the account's movements from 1 without gaps."""
    kind: Kind
    debit: Bucket
    """The bucket it left."""
    credit: Bucket
    """The bucket it entered."""
    amount: MoneyOut
    available_after: MoneyOut
    reserved_after: MoneyOut
    owed_after: MoneyOut
    effective_at: TimeOut
    created_at: TimeOut
    rental_id: str | None
    actor: str
    description: str
    usage: Metered | None
    reference: str | None
    """The payment, refund, dispute, top-up or lot of credit that it belongs to."""
    refs: References


class Verification(Wire):
    """What recomputing the account's ledger found."""

    object: Literal["ledger_verification"] = "ledger_verification"
    ok: bool
    rows: int
    """How many transfers were read and recomputed."""
    seals: int
    """How many seals of the hash chain agreed."""
    first_bad_seq: int | None
    """Where the trouble begins."""
    verified_at: TimeOut
