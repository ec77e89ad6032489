from __future__ import annotations

from decimal import Decimal

import pytest

from app.catalog import find_family
from app.providers.modal_cloud.prices import GPUS, differences, find_shape, offer_of, shapes

TRUE = {gpu.name: Decimal(gpu.micros_per_second) / 1_000_000 for gpu in GPUS}


def test_everything_on_offer_is_told_once_and_found_by_its_id():
    offers = [offer_of(shape) for shape in shapes()]
    assert len({offer.offer_id for offer in offers}) == len(offers) == 39
    assert all(offer_of(find_shape(offer.offer_id)) == offer for offer in offers)
    assert [find_shape(text) for text in ("", "H100:1", "H100!:3", "A10:8", "H100!:01", "L4")] == [None] * 6


def test_prices_are_modals_own():
    hourly = {gpu.name: gpu.micros_per_second * 3600 for gpu in GPUS}
    assert hourly["H100!"] == 3_949_200
    assert hourly["A100-80GB"] == 2_498_400
    assert hourly["L40S"] == 1_951_200
    assert hourly["T4"] == 590_400
    assert hourly["L4"] == 799_200


def test_an_offer_counts_the_machine_around_its_gpus():
    one, two = (find_shape(f"H100!:{count}").micros_per_hour for count in (1, 2))
    assert two == 2 * one
    assert one == 1_097 * 3600 + 4 * 141_480 + 32 * 23_976


def test_the_catalog_knows_what_is_on_offer():
    known = {offer.gpu_name for shape in shapes() if find_family((offer := offer_of(shape)).gpu_name)}
    assert {"H100", "H200", "B200", "A100", "L4", "L40S"} <= known


@pytest.mark.parametrize("per", [1, 3600])
@pytest.mark.parametrize("named", [str.lower, "GPU_{}".format, "gpu {}".format, str])
def test_rates_that_agree_are_no_difference_whatever_their_unit_and_names(per, named):
    assert differences({named(name): rate * per for name, rate in TRUE.items()}) == []


@pytest.mark.parametrize(("factor", "differs"), [("1.04", False), ("0.96", False), ("1.06", True), ("0.94", True)])
@pytest.mark.parametrize("per", [1, 3600])
def test_a_rate_that_is_off_by_more_than_five_percent_is_told(factor, differs, per):
    found = differences({**TRUE, "L40S": TRUE["L40S"] * Decimal(factor) * per})
    assert [difference.gpu for difference in found] == (["L40S"] if differs else [])
    if differs:
        assert found[0].theirs == int(542 * 3600 * Decimal(factor))


def test_rates_of_other_things_or_in_other_units_say_nothing():
    assert differences({}) == []
    assert differences({"L40S": Decimal(0), "H100": Decimal("1e9"), "T4": Decimal("0.05")}) == []
    assert differences({"Sandbox CPU": Decimal(3), "H100 reserved": Decimal(1), "": Decimal(1)}) == []
