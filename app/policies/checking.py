"""A dry run: what the decision about a rental would be right now, by the very functions that decide. Nothing is written."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from app import catalog
from app.policies.committing import check
from app.policies.deciding import Verdict, Wish
from app.policies.narrowing import longest, narrow
from app.policies.reading import Rules

NONE_ALLOWED = "No offers matching policy constraints"
NO_OFFERS = "no_matching_listings"


async def rehearse(
    session: AsyncSession,
    rules: Rules,
    wanted: catalog.Wanted,
    *,
    price: int | None,
    max_duration_seconds: int | None,
    max_spend: int | None,
    at: datetime,
) -> Verdict:
    """Return the verdict about the cheapest listing that is wanted and allowed, or about one at a given price.

    Raises:
        PolicyViolation: nothing that is named is allowed; what a request would be told, too.
    """
    allowed = narrow(rules.policies, wanted)
    if price is not None:
        family = wanted.families[0] if wanted.families else None
        wish = Wish(reserve=price, gpu_count=wanted.gpu_count or 1, family=family, price_micros_per_hour=price)
    elif matches := await catalog.cheapest(session, allowed, at=at, limit=1):
        wish = _about(matches[0])
    else:
        return Verdict(allowed=False, reason=NONE_ALLOWED, code=NO_OFFERS)
    wish = replace(
        wish,
        reserve=wish.reserve if max_spend is None else min(wish.reserve, max_spend),
        max_duration_seconds=max_duration_seconds or longest(rules.policies),
    )
    return await check(session, rules, wish, at=at)


def _about(match: catalog.Match) -> Wish:
    found = match.listing
    return Wish(
        reserve=match.all_in_micros_per_hour,
        gpu_count=found.gpu_count,
        family=found.family,
        provider=found.provider,
        region_id=found.region_id,
        country=found.country,
        price_micros_per_hour=match.all_in_micros_per_hour,
        reliability_ppm=found.reliability_ppm,
    )
