"""Parsing a list of offers: what can't be read is left out, counted and told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

import structlog

from app.providers.contract import Offer
from app.providers.reading import Malformed, T

_log = structlog.get_logger()


def parse_offers(values: Iterable[T], parse: Callable[[T], Offer | None], *, provider: str) -> list[Offer]:
    """Return the offers that can be read, each once. None from ``parse`` leaves one out without counting it.

    Raises:
        Malformed: not one of them could be read, so the whole answer is not what we take it for.
    """
    found: dict[tuple[str, bool], Offer] = {}
    left_out: Counter[str] = Counter()
    for value in values:
        try:
            offer = parse(value)
        except Malformed as reason:
            left_out[str(reason)] += 1
        else:
            if offer is not None:
                found.setdefault((offer.offer_id, offer.spot), offer)
    if left_out:
        _log.warning(
            "offers_left_out", provider=provider, count=left_out.total(), kept=len(found), reasons=dict(left_out)
        )
        if not found:
            raise Malformed("no offer can be read")
    return list(found.values())
