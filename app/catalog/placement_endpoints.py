"""Placements over HTTP."""

from __future__ import annotations

from fastapi import Response

from app.catalog.errors import UnknownFamily
from app.catalog.placement_schemas import PlacementIn, PlacementsOut
from app.catalog.placing import rank_placements
from app.catalog.routing import CatalogWork, router
from app.web import answer, responses_for
from app.web.errors import ValidationFailed


@router.post(
    "/placements",
    response_model=PlacementsOut,
    operation_id="rank_placements",
    responses=responses_for(UnknownFamily, ValidationFailed),
)
async def rank(body: PlacementIn, work: CatalogWork) -> Response:
    """Rank places by price, measured latency and probability of launch, and show how. Nothing is reserved or kept."""
    ranking, placements = await rank_placements(work.session, body.wanted(), body.formula, at=work.at)
    return answer(PlacementsOut.of(body, ranking, placements, at=work.at))
