import copy

import pytest

from app.catalog.families import match_family
from app.providers.contract import Connection, MachineStatus, Offer
from app.providers.offers import parse_offers
from app.providers.reading import Malformed, read_json
from app.providers.runpod.parsing import (
    Place,
    gpu_count_of,
    largest_count,
    marker_of,
    parse_booking,
    parse_machine,
    parse_offer,
    read_place,
    stocks,
)

GPU = read_json(
    b"""{"id":"NVIDIA GeForce RTX 4090","name":"RTX 4090","pool":"ADA_24","manufacturer":"NVIDIA","memory":24,
    "secure":true,"community":true,"price":{"secure":0.69,"community":0.34},"maxCount":{"secure":8,"community":4},
    "availability":"HIGH","dataCenters":[{"id":"US-KS-2","name":"US Kansas 2","availability":"HIGH"}],
    "cudaVersions":[{"version":"12.8","available":true}]}"""
)
POD = read_json(
    b"""{"id":"7h9k2m4n6p","name":"own-1","image":"img","args":"","disk":20,"ports":["22/tcp"],"env":{},
    "registry":null,"status":"RUNNING","actions":["stop","restart","terminate"],"mounts":{},
    "gpu":{"id":"NVIDIA GeForce RTX 4090","count":1},"cloud":"SECURE","dataCenterId":"US-KS-2","cudaVersion":"12.8",
    "ssh":{"proxy":{"host":"ssh.runpod.io","port":22,"username":"7h9k2m4n6p-64411eb2","command":"ssh"},
           "direct":{"host":"198.51.100.5","port":34446,"username":"root","command":"ssh"}},
    "template":null,"cost":0.69,"locked":false,"globalNetworking":{"enabled":false},
    "runtime":{"uptime":60,"ports":[{"private":22,"public":34446,"type":"tcp","ip":"198.51.100.5"}]},
    "createdAt":"2026-06-01T12:00:00Z","startedAt":"2026-06-01T12:02:00Z"}"""
)


def offers(*gpus, cloud="SECURE", gpu_count=1):
    return parse_offers(stocks(list(gpus), cloud=cloud, gpu_count=gpu_count), parse_offer, provider="runpod")


def at(*places, **changes):
    return {**GPU, "dataCenters": [{"id": each, "name": each, "availability": "LOW"} for each in places], **changes}


def test_a_type_in_a_data_centre_is_an_offer_in_our_units():
    assert offers(GPU, gpu_count=2) == [
        Offer(
            provider="runpod",
            offer_id="SECURE:US-KS-2:2:NVIDIA GeForce RTX 4090",
            gpu_name="NVIDIA GeForce RTX 4090",
            gpu_count=2,
            vram_mib=24_576,
            price_micros_per_hour=1_380_000,
            disk_micros_per_gb_month=100_000,
            spot=False,
            region_id="US-KS-2",
            region_name="US Kansas 2",
            country="US",
            egress_micros_per_gb=0,
            stopped_micros_per_hour=0,
            cuda_max="12.8",
            security_tier="secure",
        )
    ]


def test_the_community_has_prices_and_a_tier_of_its_own():
    [offer] = offers(GPU, cloud="COMMUNITY")
    assert (offer.price_micros_per_hour, offer.security_tier) == (340_000, "community")
    assert offers(GPU, cloud="COMMUNITY", gpu_count=8) == []
    assert offers({**GPU, "community": False}, cloud="COMMUNITY") == []


@pytest.mark.parametrize(
    ("place", "country"),
    [
        ("US-KS-2", "US"),
        ("CA-MTL-3", "CA"),
        ("EU-RO-1", "RO"),
        ("EUR-IS-1", "IS"),
        ("OC-AU-1", "AU"),
        ("AP-JP-1", "JP"),
    ],
)
def test_a_country_is_read_from_a_data_centre(place, country):
    [offer] = offers(at(place))
    assert (offer.region_id, offer.country) == (place, country)


def test_places_without_any_are_left_out_and_a_new_word_is_not():
    places = [
        {"id": "US-KS-2", "name": "a", "availability": "NONE"},
        {"id": "US-TX-3", "name": "b", "availability": "PLENTY"},
        {"id": "EU-RO-1", "name": "c"},
    ]
    assert [offer.region_id for offer in offers({**GPU, "dataCenters": places})] == ["US-TX-3"]


def test_a_type_without_named_places_is_offered_anywhere():
    everywhere = {key: value for key, value in GPU.items() if key != "dataCenters"}
    [offer] = offers(everywhere, cloud="COMMUNITY")
    assert (offer.offer_id, offer.country) == ("COMMUNITY:ANY:1:NVIDIA GeForce RTX 4090", None)
    assert offers({**everywhere, "availability": "NONE"}) == []


def test_the_newest_cuda_with_free_hosts_counts():
    said = [("12.10", True), ("12.9", True), ("13.0", False), ("new", True)]
    rows = [{"version": version, "available": available} for version, available in said]
    [offer] = offers({**GPU, "cudaVersions": [*rows, "x"]})
    assert offer.cuda_max == "12.10"
    [offer] = offers({**GPU, "cudaVersions": None})
    assert offer.cuda_max is None


def test_only_gpus_with_our_driver_are_offered():
    assert offers({**GPU, "manufacturer": "AMD"}) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"id": None},
        {"id": "x" * 200},
        {"memory": "24"},
        {"memory": 0},
        {"price": {"secure": "0.69"}},
        {"price": {"secure": 0}},
        {"price": {"secure": -1}},
        {"price": {"secure": 10**9}},
        {"price": None},
        {"maxCount": None},
        {"maxCount": {"secure": 10**6}},
        {"dataCenters": [{"id": "../../x", "name": "a", "availability": "HIGH"}]},
        {"dataCenters": [{"id": "A:B", "name": "a", "availability": "HIGH"}]},
        {"dataCenters": ["x"]},
        {"availability": 7, "dataCenters": None},
    ],
)
def test_a_type_that_makes_no_sense_is_left_out_alone(changes):
    assert [offer.gpu_name for offer in offers({**GPU, **changes}, GPU)] == ["NVIDIA GeForce RTX 4090"]
    with pytest.raises(Malformed):
        offers({**GPU, **changes})


@pytest.mark.parametrize(
    ("gpu_id", "memory", "family"),
    [
        ("NVIDIA GeForce RTX 3090", 24, "rtx-3090"),
        ("NVIDIA GeForce RTX 5090", 32, "rtx-5090"),
        ("NVIDIA RTX A6000", 48, "a6000-48gb"),
        ("NVIDIA A40", 48, "a40-48gb"),
        ("NVIDIA RTX 6000 Ada Generation", 48, "rtx-6000-ada-48gb"),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", 96, "rtx-pro-6000-96gb"),
        ("NVIDIA L4", 24, "l4"),
        ("NVIDIA L40", 48, "l40-48gb"),
        ("NVIDIA L40S", 48, "l40s-48gb"),
        ("NVIDIA A100 80GB PCIe", 80, "a100-80gb"),
        ("NVIDIA A100-SXM4-80GB", 80, "a100-80gb"),
        ("NVIDIA H100 PCIe", 80, "h100-80gb"),
        ("NVIDIA H100 80GB HBM3", 80, "h100-80gb"),
        ("NVIDIA H100 NVL", 94, "h100-nvl-94gb"),
        ("NVIDIA H200", 141, "h200-141gb"),
        ("NVIDIA B200", 180, "b200"),
        ("NVIDIA B300 SXM6 AC", 288, "b300"),
    ],
)
def test_every_type_is_of_a_family_that_we_know(gpu_id, memory, family):
    [offer] = offers({**GPU, "id": gpu_id, "memory": memory})
    assert match_family(offer.gpu_name, offer.vram_mib).family.slug == family


def test_the_largest_machines_are_known():
    assert largest_count([GPU, "x", {}], "SECURE") == 8
    assert largest_count([GPU], "COMMUNITY") == 4
    assert largest_count([], "SECURE") == 0


def test_an_offers_id_is_read_back():
    place = Place("COMMUNITY", "EU-RO-1", 4, "NVIDIA H100 80GB HBM3")
    assert read_place(str(place)) == place
    for other in (
        "",
        "1001",
        "SECURE:US-KS-2:1",
        "SECURE:US-KS-2:1:",
        "SECURE:us:1:x",
        "OTHER:US-KS-2:1:x",
        "SECURE::1:x",
    ):
        assert read_place(other) is None
    assert read_place("SECURE:US-KS-2:x:NVIDIA L4") is None


def test_a_pod_is_a_machine():
    machine = parse_machine(POD)
    assert machine.machine_id == "7h9k2m4n6p"
    assert (machine.marker, machine.status) == ("own-1", MachineStatus.RUNNING)
    assert machine.connection == Connection("198.51.100.5", 34446, "root")
    assert machine.ports == {22: ("198.51.100.5", 34446)}
    assert machine.created_at.isoformat() == "2026-06-01T12:00:00+00:00"


def test_a_pods_price_has_its_storage():
    assert parse_machine(POD).price_micros_per_hour == 690_000 + 2_778
    assert parse_machine({**POD, "mounts": {"persistent": {"size": 52}}}).price_micros_per_hour == 690_000 + 10_000
    assert parse_machine({**POD, "status": "EXITED", "cost": 0}).price_micros_per_hour == 0
    assert parse_machine({**POD, "cost": None}).price_micros_per_hour is None


@pytest.mark.parametrize(
    ("status", "runtime", "expected"),
    [
        ("PROVISIONING", None, MachineStatus.PROVISIONING),
        ("STARTING", None, MachineStatus.PROVISIONING),
        ("RUNNING", None, MachineStatus.PROVISIONING),
        ("RUNNING", POD["runtime"], MachineStatus.RUNNING),
        ("RUNNING", {}, MachineStatus.RUNNING),
        ("EXITED", None, MachineStatus.STOPPED),
        ("ERROR", None, MachineStatus.FAILED),
        ("TERMINATED", None, MachineStatus.GONE),
        ("MIGRATING", None, MachineStatus.PROVISIONING),
    ],
)
def test_every_status_has_its_place(status, runtime, expected):
    machine = parse_machine({**POD, "status": status, "runtime": runtime})
    assert (machine.status, machine.status_message) == (expected, status)
    assert (machine.connection is None) == (expected is not MachineStatus.RUNNING)


def test_the_direct_connection_serves_where_no_port_is_told():
    assert parse_machine({**POD, "runtime": {}}).connection == Connection("198.51.100.5", 34446, "root")
    proxy_only = {**POD, "runtime": {}, "ssh": {**POD["ssh"], "direct": None}}
    assert parse_machine(proxy_only).connection is None


@pytest.mark.parametrize(
    "row",
    [
        {"private": 22, "public": None, "type": "tcp", "ip": "198.51.100.5"},
        {"private": 22, "public": 34446, "type": "tcp", "ip": None},
        {"private": 22, "public": 34446, "type": "http", "ip": "100.65.0.7"},
        {"private": 22, "public": 99_999, "type": "tcp", "ip": "198.51.100.5"},
        {"private": 22, "public": 34446, "type": "tcp", "ip": "-oProxyCommand=x"},
        "x",
    ],
)
def test_a_port_that_is_not_public_is_none(row):
    assert parse_machine({**POD, "runtime": {"ports": [row]}}).ports == {}


@pytest.mark.parametrize("changes", [{"id": None}, {"id": ""}, {"name": 5}, {"status": None}, {"status": ["RUNNING"]}])
def test_a_pod_without_what_we_need_is_malformed(changes):
    with pytest.raises(Malformed):
        parse_machine({**POD, **changes})


def test_what_we_can_live_without_may_be_garbage():
    changes = {"cost": "x", "createdAt": "yesterday", "ssh": [], "runtime": {"ports": 5}, "mounts": [], "disk": "x"}
    machine = parse_machine({**copy.deepcopy(POD), **changes})
    assert (machine.price_micros_per_hour, machine.created_at, machine.connection) == (None, None, None)


def test_a_pod_may_have_no_name_and_no_gpus():
    assert marker_of({**POD, "name": ""}) is None
    assert gpu_count_of(POD) == 1
    assert gpu_count_of({**POD, "gpu": {"id": "x", "count": 0}}) == 0
    assert gpu_count_of({"id": "x"}) == 0


def test_a_booking_is_dollars_for_a_pod():
    booking = parse_booking({"podId": "a1", "totalAmount": 1, "startTime": "x"})
    assert (booking.pod_id, booking.dollars) == ("a1", 1)
    for wrong in ({"podId": "a1"}, {"totalAmount": 1}, {"podId": "a1", "totalAmount": "1"}):
        with pytest.raises(Malformed):
            parse_booking(wrong)
