from decimal import Decimal

import pytest

from app.providers.contract import Offer
from app.providers.hyperstack.market import flavors_of, parse_offer, parse_prices, parse_stocks, split_offer_id
from app.providers.offers import parse_offers
from app.providers.reading import Malformed, read_json

FLAVOR = read_json(
    b"""{"id":1,"name":"n3-H100x1","display_name":null,"region_name":"CANADA-1","cpu":28,"ram":180.0,"disk":100,
    "ephemeral":750,"gpu":"H100-80G-PCIe","gpu_count":1,"stock_available":true,"created_at":"2024-01-01T00:00:00",
    "labels":[],"features":{"network_optimised":false,"no_hibernation":false,"no_snapshot":false,
    "local_storage_only":false}}"""
)
BOOK = [
    {"id": 10, "name": "H100-80G-PCIe", "value": Decimal("2.5"), "original_value": Decimal("2.5")},
    {"id": 11, "name": "H100-80G-PCIe-spot", "value": "2.000000000"},
    {"id": 12, "name": "RTX-A6000", "value": "0.5"},
    {"id": 13, "name": "Quantum-9", "value": 9},
    {"id": 14, "name": "Cloud-SSD", "value": Decimal("0.000096774")},
    {"id": 15, "name": "Public IP", "value": Decimal("0.00672")},
]
STOCKS = [{"region": "CANADA-1", "stock-type": "GPU", "models": [
    {"model": "H100-80G-PCIe", "available": "10+", "configurations": {"1x": 10, "2x": 5, "4x": 0, "8x": 1}},
]}]  # fmt: skip


def offer(book=BOOK, stocks=STOCKS, **changes):
    return parse_offer({**FLAVOR, **changes}, parse_prices(book), parse_stocks(stocks))


def test_a_flavor_with_its_price_is_an_offer_in_our_units():
    assert offer() == Offer(
        provider="hyperstack",
        offer_id="n3-H100x1:CANADA-1",
        gpu_name="H100-80G-PCIe",
        gpu_count=1,
        vram_mib=81_920,
        price_micros_per_hour=2_506_720,
        disk_micros_per_gb_month=0,
        spot=False,
        region_id="CANADA-1",
        region_name="Canada",
        country="CA",
        cpu_cores=28,
        ram_mib=184_320,
        disk_gb_max=100,
        egress_micros_per_gb=0,
        stopped_micros_per_hour=9_678,
        interconnect="pcie",
        security_tier="secure",
        static_ip=True,
    )


def test_several_gpus_cost_several_times_as_much_and_share_one_address():
    assert offer(gpu_count=8, name="n3-H100x8").price_micros_per_hour == 8 * 2_500_000 + 6_720


def test_spot_is_a_kind_of_gpu_with_its_own_price_given_as_a_text():
    found = offer(gpu="H100-80G-PCIe-spot", name="n3-H100x1-spot", features={"no_hibernation": True})
    assert (found.spot, found.gpu_name, found.price_micros_per_hour) == (True, "H100-80G-PCIe", 2_006_720)
    assert found.stopped_micros_per_hour is None


@pytest.mark.parametrize("features", [None, {}, {"no_hibernation": True}, {"no_hibernation": "no"}])
def test_only_what_is_said_to_hibernate_does(features):
    assert offer(features=features).stopped_micros_per_hour is None


@pytest.mark.parametrize(
    "changes",
    [
        {"stock_available": False},
        {"stock_available": None},
        {"gpu_count": 0, "gpu": ""},
        {"gpu": "B200-SXM"},
        {"gpu_count": 4},
        {"book": []},
        {"book": [{"name": "H100-80G-PCIe", "value": 0}]},
    ],
)
def test_what_is_sold_out_or_has_no_price_is_no_offer(changes):
    assert offer(**changes) is None


def test_without_rows_for_them_disk_and_address_cost_what_is_published():
    found = offer(book=BOOK[:1])
    assert (found.price_micros_per_hour, found.stopped_micros_per_hour) == (2_506_720, 9_678)


def test_a_stock_that_nobody_tells_is_no_obstacle():
    assert offer(gpu_count=2, stocks=[]) is not None
    assert offer(gpu_count=3, name="n3-H100x3") is not None
    assert offer(stocks=[None, {"region": 5}, {"region": "CANADA-1", "models": ["x", {"model": "H100"}]}]) is not None


@pytest.mark.parametrize(
    "changes",
    [
        {"gpu_count": "1"},
        {"gpu_count": None},
        {"name": "n3:H100"},
        {"name": "n3 H100"},
        {"region_name": "canada:1"},
        {"region_name": None},
        {"disk": -1},
        {"disk": "100"},
        {"gpu": "Quantum-9"},
        {"gpu": 5},
    ],
)
def test_what_can_not_be_read_is_malformed(changes):
    with pytest.raises(Malformed):
        offer(**changes)


def test_memory_is_in_the_name_or_in_the_table():
    assert offer(gpu="RTX-A6000").vram_mib == 48 * 1024
    assert offer(gpu="RTX-A6000").interconnect is None


def test_regions_that_we_do_not_know_are_offered_under_their_own_name():
    found = offer(region_name="MARS-2", stocks=[])
    assert (found.region_name, found.country) == ("MARS-2", None)


def test_a_price_book_of_garbage_is_malformed_and_single_rows_are_left_out():
    with pytest.raises(Malformed):
        parse_prices([{"name": 5, "value": "x"}, None])
    assert set(parse_prices([*BOOK, None, {"name": "x", "value": "-1"}, {"name": "y", "value": "1e9"}]).rows) == {
        row["name"] for row in BOOK
    }


def test_a_group_that_can_not_be_read_is_counted_as_a_flavor_that_can_not():
    groups = [{"gpu": "x", "flavors": [FLAVOR]}, None, {"flavors": "x"}]
    found = parse_offers(
        flavors_of(groups), lambda one: parse_offer(one, parse_prices(BOOK), parse_stocks(STOCKS)), provider="x"
    )
    assert len(found) == 1
    with pytest.raises(Malformed):
        parse_offers(flavors_of([None]), lambda one: parse_offer(one, parse_prices(BOOK), {}), provider="x")


@pytest.mark.parametrize("offer_id", ["", "1001", "n3-H100x1", ":CANADA-1", "n3-H100x1:", "a/b:CANADA-1", "x:../y"])
def test_an_id_of_another_form_is_none_of_ours(offer_id):
    assert split_offer_id(offer_id) is None
    assert split_offer_id("n3-H100x1:CANADA-1") == ("n3-H100x1", "CANADA-1")
