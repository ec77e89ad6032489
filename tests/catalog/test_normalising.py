from __future__ import annotations

import csv
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.catalog.normalising import (
    LeftOut,
    ListingValues,
    all_in_micros_per_hour,
    cuda_rank,
    listing_id,
    normalise,
    normalise_all,
)
from app.kit.ids import ListingId
from app.kit.money import from_price


@given(st.integers(1, 10**11), st.integers(0, 10**8), st.integers(0, 10**5))
def test_all_in_is_gpu_plus_disk_rounded_up_to_a_micro_dollar(price, disk_rate, disk_gb):
    exact = Decimal(price) + Decimal(disk_rate) * disk_gb / 720
    assert 0 <= Decimal(all_in_micros_per_hour(price, disk_rate, disk_gb)) - exact < 1


def test_a_month_has_720_hours():
    assert all_in_micros_per_hour(400_000, 150_000, 20) == 400_000 + 4_167


def test_prices_are_for_the_whole_listing_and_memory_is_per_gpu(make_offer):
    listing = normalise(make_offer(gpu_name="H100 SXM", gpu_count=8, vram_mib=81_559, price_micros_per_hour=16_000_000))
    assert (listing.family, listing.vram_mib, listing.price_micros_per_hour) == ("h100-80gb", 81_559, 16_000_000)


def test_memory_of_a_whole_node_is_not_taken_for_that_of_a_gpu(make_offer):
    assert normalise(make_offer(gpu_name="RTX 4090", gpu_count=2, vram_mib=49_128)) is LeftOut.UNKNOWN_FAMILY


def test_cents_read_as_dollars_are_out_of_bounds(make_offer):
    assert isinstance(normalise(make_offer(price_micros_per_hour=from_price("999"))), ListingValues)
    assert normalise(make_offer(price_micros_per_hour=from_price("1000.000001"))) is LeftOut.PRICE_OUT_OF_BOUNDS
    assert isinstance(normalise(make_offer(gpu_count=2, price_micros_per_hour=from_price("2000"))), ListingValues)


@pytest.mark.parametrize("price", [0, -1])
def test_nothing_is_free(make_offer, price):
    assert normalise(make_offer(price_micros_per_hour=price)) is LeftOut.PRICE_OUT_OF_BOUNDS


@pytest.mark.parametrize(
    ("gpu_name", "vram_mib", "model"),
    [
        ("H100 SXM", 81_559, "H100 SXM 80GB"),
        ("H100 PCIE", 81_559, "H100 PCIe 80GB"),
        ("H100 NVL", 95_830, "H100 NVL 94GB"),
        ("A100 SXM4", 40_960, "A100 SXM 40GB"),
        ("A100 PCIE", 81_920, "A100 PCIe 80GB"),
        ("RTX 4090", 24_564, "RTX 4090 24GB"),
    ],
)
def test_form_and_memory_size_are_kept_apart(make_offer, gpu_name, vram_mib, model):
    assert normalise(make_offer(gpu_name=gpu_name, vram_mib=vram_mib)).model == model


def test_the_form_comes_from_the_cloud_where_the_name_has_none(make_offer):
    assert normalise(make_offer(gpu_name="H100", vram_mib=81_920, interconnect="sxm")).model == "H100 SXM 80GB"


@pytest.mark.parametrize("count", [1, 5, 10, 16])
def test_odd_and_large_gpu_counts_are_listings(make_offer, count):
    assert normalise(make_offer(gpu_count=count)).gpu_count == count


@pytest.mark.parametrize(
    "changes",
    [
        {"gpu_count": 0},
        {"gpu_count": 65},
        {"vram_mib": 0},
        {"offer_id": ""},
        {"offer_id": "a\x00b"},
        {"offer_id": "x" * 300},
        {"host_id": "\ud800"},
        {"reliability_ppm": 1_000_001},
        {"cpu_cores": -1},
        {"ram_mib": 2**63},
        {"min_commitment_seconds": 10**9},
        {"security_tier": "military"},
        {"interconnect": "token ring"},
    ],
    ids=str,
)
def test_an_offer_that_makes_no_sense_is_left_out(make_offer, changes):
    assert normalise(make_offer(**changes)) is LeftOut.MALFORMED


def test_left_out_offers_are_counted_by_reason(make_offer):
    answer = normalise_all(
        "vast",
        [
            make_offer(),
            make_offer(price_micros_per_hour=1),
            make_offer(spot=True),
            make_offer(offer_id="2", vram_mib=49_140),
            make_offer(offer_id="3", price_micros_per_hour=0),
            make_offer(offer_id="4", provider="other"),
        ],
    )
    assert [(listing.offer_id, listing.spot) for listing in answer.listings] == [("1001", False), ("1001", True)]
    assert answer.left_out == {
        LeftOut.DUPLICATE: 1,
        LeftOut.UNKNOWN_FAMILY: 1,
        LeftOut.PRICE_OUT_OF_BOUNDS: 1,
        LeftOut.OTHER_PROVIDER: 1,
    }


def test_a_listing_id_is_an_id_and_depends_on_nothing_but_the_offer():
    first = listing_id("vast", "1", spot=False)
    assert ListingId.parse(first) == first == listing_id("vast", "1", spot=False)
    assert (
        len(
            {
                first,
                listing_id("vast", "1", spot=True),
                listing_id("vast", "2", spot=False),
                listing_id("x", "1", spot=False),
            }
        )
        == 4
    )


def test_cuda_versions_compare_as_numbers():
    assert cuda_rank("12.10") > cuda_rank("12.8") > cuda_rank("12") > cuda_rank("11.8")
    assert cuda_rank("twelve") is None
    assert cuda_rank(None) is None


def test_a_real_day_of_offers_becomes_listings(shared, make_offer):
    with (shared / "market" / "vast-offers.csv").open(encoding="utf-8", newline="") as file:
        offers = [
            make_offer(
                offer_id=str(number),
                gpu_name=row["gpu_name"].replace("_", " "),
                gpu_count=int(row["num_gpus"]),
                vram_mib=int(row["gpu_total_ram_mib"]) // int(row["num_gpus"]),
                price_micros_per_hour=from_price(row["dph_total"]),
                region_id="",
                region_name=row["geolocation"],
                country=None,
            )
            for number, row in enumerate(csv.DictReader(file))
        ]
    answer = normalise_all("vast", offers)
    assert answer.left_out == {LeftOut.UNKNOWN_FAMILY: 1}
    assert {5, 16} <= {listing.gpu_count for listing in answer.listings}
    assert all(listing.country for listing in answer.listings)
