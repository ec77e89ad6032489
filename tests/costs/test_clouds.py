"""Each cloud that has books: what its machine cost is known exactly, and its day agrees with ours."""

from __future__ import annotations

import pytest

from app.catalog import match_family
from app.costs import compare_day
from tests.costs.rows import costs_of


@pytest.mark.parametrize(
    "cloud_names", [("runpod",), ("hyperstack",), ("vast",), ("modal",)], ids=lambda names: names[0]
)
async def test_books_say_exactly_what_a_machine_cost_and_its_day_agrees(stage, rich, ran, known, cloud_names):
    (name,) = cloud_names
    offers = [offer for offer in await stage.tools.providers[name].list_offers() if not offer.spot]
    offer = min(offers, key=lambda offer: offer.price_micros_per_hour)
    today = stage.clock.now().date()
    rental_id = await ran(
        await rich(),
        family=match_family(offer.gpu_name, offer.vram_mib).family.slug,
        wanted={"providers": cloud_names},
        seconds=7200,
    )
    await known()
    stage.clock.advance(6 * 3600)
    await known()
    (cost,) = await costs_of(stage)
    (truth,) = stage.sandbox.truth
    assert (cost["rental_id"], cost["machine_id"]) == (rental_id, truth.id)
    assert (cost["state"], cost["exact"]) == ("final", True)
    assert abs(cost["micros"] - truth.cost_micros) <= truth.cost_micros // 100
    stage.clock.advance(18 * 3600)
    found = await compare_day(stage.tools, name, today, at=stage.clock.now())
    assert found.ok, found.document()
    assert (found.machines, found.foreign) == (1, 0)
