"""Reading price sheets."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from app.providers.manual.sheet import SheetError, parse_sheet

SHEET = """
as_of = 2026-11-01
max_age_days = 10

[[offers]]
id = "rack-a"
gpu = "NVIDIA H100 80GB HBM3"
gpu_count = 8
vram_gib = 80
price_per_hour = "19.20"
disk_per_gb_month = "0.05"
region = "berlin-1"
country = "DE"
ram_gib = 1024
interconnect = "sxm"
reliability = 0.995
"""


def test_an_offer_is_read_in_our_units():
    [offer] = parse_sheet(SHEET).offers
    assert (offer.offer_id, offer.gpu_count, offer.vram_mib, offer.ram_mib) == ("rack-a", 8, 81_920, 1_048_576)
    assert (offer.price_micros_per_hour, offer.disk_micros_per_gb_month) == (19_200_000, 50_000)
    assert (offer.reliability_ppm, offer.interconnect, offer.country) == (995_000, "sxm", "DE")
    assert (offer.priced_at, offer.priced_until) == (
        datetime(2026, 11, 1, tzinfo=UTC),
        datetime(2026, 11, 11, tzinfo=UTC),
    )


def test_a_sheet_holds_from_its_day_for_as_long_as_it_says():
    sheet = parse_sheet(SHEET)
    assert not sheet.is_stale(sheet.as_of)
    assert not sheet.is_stale(sheet.as_of + timedelta(days=10))
    assert sheet.is_stale(sheet.as_of + timedelta(days=10, seconds=1))
    assert sheet.is_stale(sheet.as_of - timedelta(seconds=1))


def test_a_sheet_without_an_age_holds_a_month():
    assert parse_sheet(SHEET.replace("max_age_days = 10", "")).max_age == timedelta(days=30)


@pytest.mark.parametrize(
    ("line", "instead", "said"),
    [
        ("as_of = 2026-11-01", "", "as_of must be a date"),
        ("as_of = 2026-11-01", 'as_of = "yesterday"', "as_of must be a date"),
        ("max_age_days = 10", "max_age_days = 0", "max_age_days"),
        ("max_age_days = 10", "max_days = 10", "max_days is no field"),
        ('id = "rack-a"', "", "offer 1: id is missing"),
        ('id = "rack-a"', 'id = "../x"', "offer 1: id must be"),
        ('price_per_hour = "19.20"', "price_per_hour = 19.20", "dollars are written as a text"),
        ('price_per_hour = "19.20"', 'price_per_hour = "0.00"', "nothing is for nothing"),
        ('price_per_hour = "19.20"', 'price_per_hour = "-1.00"', "no price is below zero"),
        ("gpu_count = 8", "gpu_count = true", "offer 1: gpu_count"),
        ("gpu_count = 8", "gpu_count = 1000", "offer 1: gpu_count"),
        ('country = "DE"', 'country = "Germany"', "two capital letters"),
        ('interconnect = "sxm"', 'interconnect = "rope"', "must be one of sxm, pcie, nvl"),
        ("reliability = 0.995", "reliability = 99.5", "a share from 0 to 1"),
        ("[[offers]]", "[[offers]", "no TOML"),
        ("[[offers]]", "[offers]", "offers must be"),
        ('country = "DE"', 'colour = "red"', "colour is no field"),
    ],
)
def test_what_is_wrong_is_told_where_it_stands(line, instead, said):
    with pytest.raises(SheetError, match=said.replace("[", r"\[")):
        parse_sheet(SHEET.replace(line, instead))


def test_the_same_offer_twice_is_refused():
    with pytest.raises(SheetError, match="rack-a stands twice"):
        parse_sheet(SHEET + SHEET[SHEET.index("[[offers]]") :])
