"""Quotes over HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import Depends, Request, Response

from app.catalog import UnknownFamily
from app.policies import PolicyViolation, UnknownTeam
from app.rentals.asking.asking import Chosen
from app.rentals.asking.composing import new_quote
from app.rentals.asking.schemas import Rate, Region
from app.rentals.asking.wishes import QuoteCreate
from app.rentals.errors import NoMatchingListings, UnknownReference
from app.rentals.models import QuoteRow
from app.web import IDEMPOTENT, Answer, Work, consulting, new_router, replay_or_run, responses_for
from app.web.schemas import MoneyOut, TimeOut, Wire

router = new_router("/v1/quotes", tag="rentals")
Asking = Annotated[Work, Depends(consulting("rentals:write"), scope="function")]


class QuotedAttempt(Wire):
    """A listing that would be tried."""

    order: int
    listing_id: str
    provider: str
    region: Region
    spot: bool
    price_per_hour: MoneyOut


class Quote(Wire):
    """A listing and its price, locked for a minute and for one rental."""

    id: str
    object: Literal["quote"] = "quote"
    family: str
    model: str
    gpu_count: int
    region: Region
    provider: str
    spot: bool
    disk_gb: int
    rate: Rate
    hold: MoneyOut
    """What a rental reserves: one hour, unless its ``max_spend`` is less."""
    attempts: list[QuotedAttempt]
    """In the order in which they would be tried."""
    created_at: TimeOut
    expires_at: TimeOut

    @classmethod
    def of(cls, row: QuoteRow, chosen: Sequence[Chosen]) -> Quote:
        """Return a quote as it is shown."""
        first = chosen[0]
        return cls(
            id=row.id,
            family=first.family,
            model=first.model,
            gpu_count=first.gpu_count,
            region=Region.of(first),
            provider=first.provider,
            spot=first.spot,
            disk_gb=row.wanted["disk_gb"],
            rate=Rate.of(row.rate, first),
            hold=row.rate,
            attempts=[_attempt(n, one) for n, one in enumerate(chosen, start=1)],
            created_at=row.created_at,
            expires_at=row.expires_at,
        )


@router.post(
    "",
    status_code=201,
    response_model=Quote,
    operation_id="create_quote",
    responses=responses_for(
        NoMatchingListings,
        UnknownFamily,
        UnknownReference,
        UnknownTeam,
        PolicyViolation,
        *IDEMPOTENT,
    ),
)
async def create(body: QuoteCreate, work: Asking, request: Request) -> Response:
    """Lock the cheapest listing that fits, and its price, for 60 seconds. Nothing is reserved yet."""

    async def run() -> Answer:
        row, chosen = await new_quote(work.session, body, principal=work.principal, at=work.at)
        return Answer(Quote.of(row, chosen))

    return await replay_or_run(work, request, status=201, run=run)


def _attempt(order: int, chosen: Chosen) -> QuotedAttempt:
    return QuotedAttempt(
        order=order,
        listing_id=chosen.listing_id,
        provider=chosen.provider,
        region=Region.of(chosen),
        spot=chosen.spot,
        price_per_hour=chosen.all_in_micros_per_hour,
    )
