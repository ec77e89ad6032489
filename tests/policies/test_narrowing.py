"""Narrowing, pure: never more than was wanted, never more than any policy allows."""

from __future__ import annotations

import pytest

from app.catalog import Wanted
from app.kit.ids import AccountId, TeamId
from app.policies import Policy, PolicyViolation, Terms, longest, narrow, require_duration

TEAM, ACCOUNT = TeamId.new(), AccountId.new()


def under(*terms, wanted):
    return narrow([Policy(subject=TEAM, terms=one) for one in terms], wanted)


def test_without_limits_nothing_changes():
    wanted = Wanted(families=("rtx-4090",), regions=("US",))
    assert under(Terms(), wanted=wanted) == wanted


def test_families_are_those_wanted_and_allowed_in_the_order_wanted():
    wanted = Wanted(families=("b200", "h100-80gb", "rtx-4090"))
    assert under(Terms(gpu_whitelist=("rtx-4090", "h100-80gb")), wanted=wanted).families == ("h100-80gb", "rtx-4090")


def test_by_memory_any_allowed_family_that_has_it():
    wanted = Wanted(min_vram_gb=80)
    assert under(Terms(gpu_whitelist=("rtx-4090", "h100-80gb")), wanted=wanted).families == ("h100-80gb",)
    with pytest.raises(PolicyViolation, match="GPU with 80 GB not in team whitelist"):
        under(Terms(gpu_whitelist=("rtx-4090",)), wanted=wanted)


def test_a_family_that_is_named_and_not_allowed_is_refused():
    with pytest.raises(PolicyViolation, match="GPU b200 not in team whitelist"):
        under(Terms(gpu_whitelist=("rtx-4090",)), wanted=Wanted(families=("b200",)))


def test_prices_and_reliability_are_the_stricter_of_both():
    wanted = Wanted(max_price_micros_per_hour=500, min_reliability_ppm=900_000)
    strict = under(Terms(max_price_micros_per_hour=400, min_reliability_ppm=950_000), wanted=wanted)
    assert (strict.max_price_micros_per_hour, strict.min_reliability_ppm) == (400, 950_000)
    loose = under(Terms(max_price_micros_per_hour=600, min_reliability_ppm=800_000), wanted=wanted)
    assert (loose.max_price_micros_per_hour, loose.min_reliability_ppm) == (500, 900_000)


def test_every_policys_regions_hold_beside_those_wanted():
    wanted = Wanted(regions=("US",))
    found = under(Terms(allowed_regions=("US", "SE")), Terms(allowed_regions=("us-oregon",)), wanted=wanted)
    assert found.regions == ("US",)
    assert found.region_bounds == (("US", "SE"), ("us-oregon",))


def test_several_policies_meet():
    found = under(
        Terms(gpu_whitelist=("rtx-4090", "b200"), allowed_providers=("north", "south")),
        Terms(gpu_whitelist=("b200",), allowed_providers=("south",)),
        wanted=Wanted(families=("rtx-4090", "b200")),
    )
    assert (found.families, found.providers) == (("b200",), ("south",))


def test_the_shortest_duration_counts():
    policies = [Policy(subject=TEAM, terms=Terms(max_duration_seconds=n)) for n in (7200, None, 3600)]
    assert longest(policies) == 3600
    require_duration(policies, 3600)
    for seconds in (3601, None):
        with pytest.raises(PolicyViolation):
            require_duration(policies, seconds)
    require_duration([Policy(subject=TEAM, terms=Terms())], None)
