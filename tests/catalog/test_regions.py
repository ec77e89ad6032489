from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.catalog.regions import normalise_region


@pytest.mark.parametrize(
    ("region_id", "region_name", "country", "expected"),
    [
        ("", "Texas, US, NA", None, ("us-texas", "Texas, US", "US")),
        ("", "Oregon, US", None, ("us-oregon", "Oregon, US", "US")),
        ("", ", US, NA", None, ("us", "US", "US")),
        ("", ", CN, AS", None, ("cn", "CN", "CN")),
        (
            "",
            "Hafnarfjarðarkaupstaður, IS, EU",
            None,
            ("is-hafnarfjardarkaupstadur", "Hafnarfjarðarkaupstaður, IS", "IS"),
        ),
        ("", "Bács-Kiskun, HU, EU", None, ("hu-bacs-kiskun", "Bács-Kiskun, HU", "HU")),
        ("bacs-kiskun-hu-eu", "Bács-Kiskun, HU, EU", "EU", ("bacs-kiskun-hu-eu", "Bács-Kiskun, HU", "HU")),
        ("", "東京, JP", None, ("jp", "東京, JP", "JP")),
        ("us-east-1", "Virginia, USA", None, ("us-east-1", "Virginia, USA", "US")),
        ("CANADA-1", "CANADA-1", None, ("canada-1", "CANADA-1", "CA")),
        ("US-East", "US-East", "us", ("us-east", "US-East", "US")),
        ("", "", None, ("unknown", "Unknown", None)),
    ],
)
def test_a_place_has_one_spelling(region_id, region_name, country, expected):
    region = normalise_region(region_id, region_name, country)
    assert (region.id, region.name, region.country) == expected


@given(st.text(max_size=120), st.text(max_size=120), st.none() | st.text(max_size=4))
def test_whatever_a_cloud_says_the_id_is_fit_for_a_url_and_the_name_for_a_page(region_id, region_name, country):
    region = normalise_region(region_id, region_name, country)
    assert region.id
    assert set(region.id) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert region.name.isprintable()
    assert region.country is None or (len(region.country) == 2 and region.country.isascii())
