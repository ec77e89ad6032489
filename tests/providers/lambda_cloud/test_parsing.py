import pytest

from app.providers.contract import Connection, MachineStatus, Offer
from app.providers.lambda_cloud.parsing import marker_of, parse_launch, parse_machine, parse_offer, stocks
from app.providers.offers import parse_offers
from app.providers.reading import Malformed, read_json

TYPES = read_json(
    b"""{"gpu_1x_h100_pcie":{"instance_type":{"name":"gpu_1x_h100_pcie","description":"1x H100 (80 GB PCIe)",
    "gpu_description":"H100 (80 GB PCIe)","price_cents_per_hour":329,
    "specs":{"vcpus":26,"memory_gib":225,"storage_gib":1024,"gpus":1}},
    "regions_with_capacity_available":[{"name":"us-east-1","description":"Virginia, USA"}]}}"""
)
KIND = TYPES["gpu_1x_h100_pcie"]
INSTANCE = {
    "id": "0920582c7ff041399e34823a0be62549",
    "name": "own-1",
    "ip": "198.51.100.2",
    "status": "active",
    "instance_type": KIND["instance_type"],
    "tags": [{"key": "marker", "value": "own-1"}],
}


def offers(types):
    return parse_offers(stocks(types), parse_offer, provider="lambda")


def with_type(name="gpu_1x_h100_pcie", regions=KIND["regions_with_capacity_available"], specs=None, **changes):
    kind = {**KIND["instance_type"], **changes, "specs": {**KIND["instance_type"]["specs"], **(specs or {})}}
    return {**TYPES, name: {"instance_type": kind, "regions_with_capacity_available": regions}}


def test_a_type_in_a_region_is_an_offer_in_our_units():
    assert offers(TYPES) == [
        Offer(
            provider="lambda",
            offer_id="gpu_1x_h100_pcie:us-east-1",
            gpu_name="h100_pcie",
            gpu_count=1,
            vram_mib=81920,
            price_micros_per_hour=3_290_000,
            disk_micros_per_gb_month=0,
            spot=False,
            region_id="us-east-1",
            region_name="Virginia, USA",
            country="US",
            cpu_cores=26,
            ram_mib=230_400,
            disk_gb_max=1099,
            egress_micros_per_gb=0,
            interconnect="pcie",
            security_tier="secure",
            static_ip=True,
        )
    ]


def test_each_region_with_capacity_is_an_offer_of_its_own():
    regions = [{"name": "us-west-1", "description": "California, USA"}, {"name": "europe-central-1"}]
    assert [(offer.region_id, offer.country) for offer in offers(with_type(regions=regions))] == [
        ("us-west-1", "US"),
        ("europe-central-1", "DE"),
    ]
    assert offers(with_type(regions=[])) == []


def test_grace_hopper_is_arm():
    types = with_type("gpu_1x_gh200", gpu_description="GH200 (96 GB)")
    found = {offer.gpu_name: offer for offer in offers(types)}
    assert found["gh200"].architecture == "arm64"
    assert found["gh200"].vram_mib == 98304
    assert found["h100_pcie"].architecture == "x86_64"


@pytest.mark.parametrize(
    "changes",
    [
        {"gpu_description": "H100", "description": "1x H100"},
        {"price_cents_per_hour": 3.29},
        {"price_cents_per_hour": 0},
        {"price_cents_per_hour": "329"},
        {"specs": {"gpus": "one"}},
        {"regions": None},
        {"regions": ["us-east-1"]},
        {"regions": [{"name": "us:east"}]},
        {"name": "h100"},
    ],
)
def test_what_can_not_be_read_is_left_out(changes):
    assert len(offers({**with_type("gpu_8x_b200_sxm6"), **with_type(**changes)})) <= 2
    with pytest.raises(Malformed):
        offers({changes.get("name", "gpu_1x_h100_pcie"): with_type(**changes)[changes.get("name", "gpu_1x_h100_pcie")]})


def test_machines_without_a_gpu_are_no_matter():
    types = with_type("cpu_4x_general", specs={"gpus": 0})
    assert [offer.gpu_name for offer in offers(types)] == ["h100_pcie"]


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ("booting", "provisioning"),
        ("active", "running"),
        ("unhealthy", "failed"),
        ("terminating", "deleting"),
        ("terminated", "gone"),
        ("preempted", "preempted"),
        ("something-new", "provisioning"),
    ],
)
def test_statuses_in_one_vocabulary(said, status):
    machine = parse_machine({**INSTANCE, "status": said}, ssh_port=22)
    assert machine.status == MachineStatus(status)
    assert machine.connection == (Connection("198.51.100.2", 22, "ubuntu") if said == "active" else None)
    assert machine.price_micros_per_hour == 3_290_000


def test_an_address_may_come_late():
    bare = {key: INSTANCE[key] for key in ("id", "status")}
    machine = parse_machine(bare, ssh_port=22)
    assert (machine.status, machine.connection, machine.marker) == (MachineStatus.RUNNING, None, None)


@pytest.mark.parametrize(
    ("changes", "marker"),
    [
        ({}, "own-1"),
        ({"name": "renamed"}, "own-1"),
        ({"tags": None}, "own-1"),
        ({"tags": [{"key": "owner", "value": "x"}], "name": "n"}, "n"),
        ({"tags": "x", "name": None}, None),
    ],
)
def test_the_tag_outlives_a_renaming(changes, marker):
    assert marker_of({**INSTANCE, **changes}) == marker


@pytest.mark.parametrize("key", ["id", "status"])
def test_an_instance_without_identity_or_state_is_malformed(key):
    with pytest.raises(Malformed):
        parse_machine({**INSTANCE, key: None}, ssh_port=22)


@pytest.mark.parametrize("data", [None, {}, {"instance_ids": []}, {"instance_ids": [5]}, {"instance_ids": "x"}, []])
def test_a_launch_without_an_id_is_malformed(data):
    with pytest.raises(Malformed):
        parse_launch(data)
