"""The catalog over HTTP."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import Depends, Path, Query, Request, Response

from app import audit
from app.catalog import placement_endpoints, price_endpoints, queries  # noqa: F401 - the routes of the other two
from app.catalog.discounts import list_spot_discounts
from app.catalog.errors import UnknownFamily
from app.catalog.families import FAMILIES, find_family, get_family
from app.catalog.filters import HISTORY_DEFAULT, ListingFilter, ListingPage
from app.catalog.listing import Spot, Wanted
from app.catalog.normalising import DEFAULT_DISK_GB
from app.catalog.polling import REQUEST_SPACING_SECONDS, request_refresh
from app.catalog.provider_schemas import ProviderOut, RefreshIn, RefreshOut
from app.catalog.queries import ListedListing, ProviderStatus
from app.catalog.routing import CatalogWork, router
from app.catalog.schemas import (
    FacetsOut,
    FamilyOut,
    ListingOut,
)
from app.kit.errors import NotFound
from app.kit.ids import ListingId
from app.web import ListAnswer, Principal, Work, answer, calling, list_answer, responses_for
from app.web.errors import InvalidCursor, ValidationFailed
from app.web.exchange import state_of

__all__ = ["router"]

Caller = Annotated[Principal, Depends(calling("catalog:read"))]
Identifier = Annotated[str, Path(min_length=1, max_length=64)]

_ANYTHING = Wanted(gpu_count=None, spot=Spot.PREFER)
_LOOK_SECONDS = 0.2


@router.get("/families", response_model=ListAnswer[FamilyOut], operation_id="list_families", responses=responses_for())
async def list_families(work: CatalogWork) -> Response:
    """Return every GPU family with what is on offer of it now."""
    on_offer = await _families_on_offer(work)
    data = [FamilyOut.of(family, on_offer.get(family.slug)) for family in FAMILIES]
    return answer(ListAnswer(data=data, has_more=False))


@router.get(
    "/families/{family_id}", response_model=FamilyOut, operation_id="get_family", responses=responses_for(NotFound)
)
async def get_one_family(family_id: Identifier, work: CatalogWork) -> Response:
    """Return one family, by its slug or any usual name, with its measured spot discount."""
    family = find_family(family_id)
    if family is None:
        raise NotFound("There is no such GPU family.")
    on_offer = await _families_on_offer(work)
    discounts = await list_spot_discounts(work.session, family.slug, since=work.at - HISTORY_DEFAULT)
    return answer(FamilyOut.of(family, on_offer.get(family.slug), discounts=discounts))


@router.get(
    "/listings",
    response_model=ListAnswer[ListingOut],
    operation_id="list_listings",
    responses=responses_for(InvalidCursor, UnknownFamily, ValidationFailed),
)
async def list_all(page: Annotated[ListingPage, Query()], work: CatalogWork) -> Response:
    """Return what can be rented now, the best first by the chosen order."""
    position = work.after(page)
    after = None if position is None else (int(position[0]), str(position[1]))
    rows = await queries.list_listings(
        work.session, page.wanted(), at=work.at, sort=page.sort, limit=page.limit + 1, after=after
    )

    def render(row: ListedListing) -> ListingOut:
        family = get_family(row.listing.family)
        return ListingOut.of(row.listing, family=family, disk_gb=page.disk_gb, at=work.at)

    return answer(
        list_answer(rows, page, render=render, seal=lambda row: work.cursor((row.sort_key, row.listing.id), page))
    )


@router.get(
    "/listings/{listing_id}", response_model=ListingOut, operation_id="get_listing", responses=responses_for(NotFound)
)
async def get_one(
    listing_id: Identifier, work: CatalogWork, disk_gb: Annotated[int, Query(ge=1, le=10**6)] = DEFAULT_DISK_GB
) -> Response:
    """Return one listing, also one that is gone: `available` says whether it can be rented."""
    try:
        listing = await queries.get_listing(work.session, ListingId.parse(listing_id))
    except ValueError:
        raise NotFound("There is no such listing.") from None
    return answer(ListingOut.of(listing, family=get_family(listing.family), disk_gb=disk_gb, at=work.at))


@router.get(
    "/catalog/facets",
    response_model=FacetsOut,
    operation_id="get_catalog_facets",
    responses=responses_for(UnknownFamily, ValidationFailed),
)
async def get_facets(wishes: Annotated[ListingFilter, Query()], work: CatalogWork) -> Response:
    """Count the listings that fit, by family, provider, region, country, GPU count, kind and security tier."""
    return answer(FacetsOut.of(await queries.facets(work.session, wishes.wanted(), at=work.at)))


@router.get(
    "/providers", response_model=ListAnswer[ProviderOut], operation_id="list_providers", responses=responses_for()
)
async def list_providers(work: CatalogWork) -> Response:
    """Return every provider: what it can do, its health, its last poll."""
    states = await queries.list_providers(work.session)
    return answer(ListAnswer(data=[ProviderOut.of(state, work.at) for state in states], has_more=False))


@router.post(
    "/catalog/refresh",
    response_model=RefreshOut,
    operation_id="refresh_catalog",
    responses={202: {"model": RefreshOut}, **responses_for(ValidationFailed)},
)
async def refresh(body: RefreshIn, caller: Caller, request: Request) -> Response:
    """Ask for fresh listings and wait a little for them: 200 when every provider has answered, 202 when some have not."""
    state = state_of(request)
    asked_at = state.clock.now()
    async with state.db.begin(caller.account_id) as session:
        before = {status.provider: status for status in await queries.list_providers(session)}
        names = set(before if body.providers is None else body.providers)
        if unknown := names - set(before):
            raise ValidationFailed(f"Unknown providers: {len(unknown)}. GET /v1/providers lists them.")
        await request_refresh(session, names, at=asked_at)
        told = {"providers": sorted(names)}
        entry = audit.Entry(caller.account_id, "catalog.refresh_requested", caller.account_id, asked_at, details=told)
        await audit.write(session, entry)
    looks = int(body.wait_seconds / _LOOK_SECONDS)
    while True:
        async with state.db.begin(caller.account_id) as session:
            now = [status for status in await queries.list_providers(session) if status.provider in names]
        outcomes = {status.provider: _outcome(before[status.provider], status, asked_at) for status in now}
        if "pending" not in outcomes.values():
            return answer(RefreshOut.of(outcomes, now))
        if looks <= 0:
            retry_after = {"Retry-After": str(REQUEST_SPACING_SECONDS)}
            return answer(RefreshOut.of(outcomes, now), status=202, headers=retry_after)
        looks -= 1
        await asyncio.sleep(_LOOK_SECONDS)


def _outcome(before: ProviderStatus, now: ProviderStatus, asked_at: datetime) -> str:
    """Return what became of a request: an answer so recent that the worker would not ask again is as good as new."""
    if now.paused:
        return "paused"
    recent = asked_at - timedelta(seconds=REQUEST_SPACING_SECONDS)
    if now.last_success_at is not None and now.last_success_at > recent and not now.consecutive_failures:
        return "refreshed"
    attempted = now.last_attempt_at is not None and now.last_attempt_at >= asked_at
    if attempted and now.polls_failed > before.polls_failed:
        return "failed"
    return "pending"


async def _families_on_offer(work: Work) -> dict[str, queries.Facet]:
    rows = await queries.facets(work.session, _ANYTHING, at=work.at, dimensions=["family"])
    return {row.value: row for row in rows}
