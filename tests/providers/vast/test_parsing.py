from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from app.providers.contract import Connection, MachineStatus, Offer
from app.providers.reading import Malformed, read_json
from app.providers.vast.parsing import parse_charge, parse_key, parse_machine, parse_offer

OFFER = read_json(
    b"""{"id":1001,"ask_contract_id":1001,"machine_id":77,"host_id":5,"gpu_name":"RTX 4090","num_gpus":1,
    "gpu_ram":24564,"gpu_total_ram":24564,"dph_base":0.30,"dph_total":0.31,"min_bid":0.15,
    "storage_cost":0.15,"disk_space":500.0,"cpu_cores":64,"cpu_cores_effective":16.0,"cpu_ram":128000,
    "geolocation":"Oregon, US","reliability":0.998,"reliability2":0.998,"rentable":true,"rented":false,
    "verification":"verified","inet_down":900.0,"inet_up":800.0,"direct_port_count":10,
    "cuda_max_good":12.8,"compute_cap":890,"score":300.0,"duration":864000.0,"is_bid":false}"""
)

INSTANCE = read_json(
    b"""{"id":555,"machine_id":77,"actual_status":"running","cur_state":"running","next_state":"running",
    "intended_status":"running","status_msg":"success, running","label":"own-1","ssh_host":"ssh5.vast.ai",
    "ssh_port":12345,"public_ipaddr":"198.51.100.7","ports":{"22/tcp":[{"HostIp":"0.0.0.0","HostPort":"40022"}],
    "8000/tcp":[{"HostIp":"0.0.0.0","HostPort":"40080"}],"53/udp":[{"HostPort":"40053"}]},
    "start_date":1790000000.5,"dph_total":0.31,"is_bid":false,"extra_env":[]}"""
)
PENDING = {**INSTANCE, "actual_status": None, "cur_state": "unloaded", "ports": None}
STOPPED = {"intended_status": "stopped", "cur_state": "stopped", "next_state": "stopped", "actual_status": "exited"}


def test_an_offer_comes_in_our_units():
    assert parse_offer(OFFER, spot=False) == Offer(
        provider="vast",
        offer_id="1001",
        gpu_name="RTX 4090",
        gpu_count=1,
        vram_mib=24564,
        price_micros_per_hour=300_000,
        disk_micros_per_gb_month=150_000,
        spot=False,
        region_id="oregon-us",
        region_name="Oregon, US",
        country="US",
        cpu_cores=16,
        ram_mib=30517,
        disk_gb_max=500,
        inet_up_mbps=800,
        inet_down_mbps=900,
        cuda_max="12.8",
        reliability_ppm=998_000,
        host_id="77",
    )


def test_a_bid_is_the_floor_with_a_margin():
    assert parse_offer(OFFER, spot=True).price_micros_per_hour == 165_000
    assert parse_offer({**OFFER, "min_bid": Decimal("0.0001")}, spot=True).price_micros_per_hour == 1_000


@pytest.mark.parametrize("value", [None, 0, 117, True, "0.2", -1])
def test_a_floor_that_nobody_can_bid_is_malformed(value):
    with pytest.raises(Malformed):
        parse_offer({**OFFER, "min_bid": value}, spot=True)


@pytest.mark.parametrize(
    ("place", "region"),
    [
        ("Oregon, US", ("oregon-us", "Oregon, US", "US")),
        (", US", ("us", "US", "US")),
        ("Sweden", ("sweden", "Sweden", None)),
        (None, ("unknown", "Unknown", None)),
        ("", ("unknown", "Unknown", None)),
        (5, ("unknown", "Unknown", None)),
    ],
)
def test_places_may_be_partial(place, region):
    offer = parse_offer({**OFFER, "geolocation": place}, spot=False)
    assert (offer.region_id, offer.region_name, offer.country) == region


@pytest.mark.parametrize("name", ["id", "gpu_name", "num_gpus", "gpu_ram", "dph_base", "storage_cost"])
@pytest.mark.parametrize("value", [None, "x" * 500, [], {}, -1, Decimal("1e99999")])
def test_an_offer_without_what_we_need_is_malformed(name, value):
    with pytest.raises(Malformed):
        parse_offer({**OFFER, name: value}, spot=False)


@pytest.mark.parametrize(
    "name",
    [
        "cpu_cores",
        "cpu_cores_effective",
        "cpu_ram",
        "disk_space",
        "inet_up",
        "inet_down",
        "inet_up_cost",
        "cuda_max_good",
        "reliability",
        "static_ip",
        "hosting_type",
        "cpu_arch",
        "machine_id",
    ],
)
@pytest.mark.parametrize("value", [None, "x", [], {}, -1, Decimal("1e99999")])
def test_an_offer_does_without_what_is_nice_to_have(name, value):
    assert parse_offer({**OFFER, name: value}, spot=False).offer_id == "1001"


def test_what_is_taken_is_not_on_offer():
    assert parse_offer({**OFFER, "rentable": False}, spot=False) is None
    assert parse_offer({**OFFER, "rented": True}, spot=False) is None


def test_the_end_of_an_instance_is_when_its_host_takes_it_back():
    assert parse_machine(INSTANCE).preempts_at is None
    ends = parse_machine({**INSTANCE, "end_date": Decimal("1790864000.5")}).preempts_at
    assert ends == parse_machine(INSTANCE).created_at + timedelta(days=10)
    assert parse_machine({**INSTANCE, "end_date": "soon"}).preempts_at is None


def test_names_tell_the_interconnect():
    for name, form in (("H100 SXM", "sxm"), ("A100 PCIE", "pcie"), ("H100 NVL", "nvl"), ("RTX 4090", None)):
        assert parse_offer({**OFFER, "gpu_name": name}, spot=False).interconnect == form


def test_a_running_instance_is_reached_directly():
    machine = parse_machine(INSTANCE)
    assert machine.status is MachineStatus.RUNNING
    assert machine.marker == "own-1"
    assert machine.connection == Connection("198.51.100.7", 40022, "root")
    assert machine.ports == {22: ("198.51.100.7", 40022), 8000: ("198.51.100.7", 40080)}
    assert machine.price_micros_per_hour == 310_000
    assert machine.created_at == datetime(2026, 9, 21, 14, 13, 20, tzinfo=UTC)


def test_without_a_direct_port_the_proxy_is_taken():
    machine = parse_machine({**INSTANCE, "ports": {}})
    assert machine.connection == Connection("ssh5.vast.ai", 12345, "root")
    assert parse_machine({**INSTANCE, "ports": None, "ssh_host": "-oX"}).connection is None


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"actual_status": None}, "provisioning"),
        ({"actual_status": "created"}, "provisioning"),
        ({"actual_status": "loading"}, "provisioning"),
        ({"actual_status": "rebooting"}, "provisioning"),
        ({"actual_status": "stopped"}, "provisioning"),
        ({"actual_status": "something new"}, "provisioning"),
        ({"actual_status": "created", "status_msg": "Error: OCI runtime create failed: …"}, "failed"),
        ({"actual_status": "running"}, "running"),
        ({"actual_status": "exited"}, "failed"),
        ({"actual_status": "unknown"}, "failed"),
        ({"actual_status": "offline"}, "failed"),
        ({"actual_status": "frozen", "intended_status": "frozen"}, "hibernated"),
        ({"actual_status": "running", "intended_status": "stopped"}, "stopping"),
        (STOPPED, "stopped"),
        ({**STOPPED, "actual_status": "offline"}, "stopped"),
        ({**STOPPED, "actual_status": "unknown", "cur_state": "running"}, "stopping"),
        ({**STOPPED, "is_bid": True}, "preempted"),
        ({**STOPPED, "is_bid": True, "next_state": "running"}, "stopped"),
    ],
)
def test_statuses_in_one_vocabulary(changes, status):
    machine = parse_machine({**INSTANCE, **changes})
    assert machine.status == MachineStatus(status)
    assert (machine.connection is not None) == (status == "running")


@pytest.mark.parametrize("key", ["id", "label", "actual_status", "intended_status", "cur_state", "next_state"])
def test_an_instance_whose_identity_or_state_is_of_another_type_is_malformed(key):
    with pytest.raises(Malformed):
        parse_machine({**INSTANCE, key: ["x"]})


@pytest.mark.parametrize("value", [None, "x", [], {"22/tcp": None}, {"22/tcp": []}, {"22/tcp": [{}]}, {"x": [{}]}, 5])
def test_odd_ports_are_no_ports(value):
    assert parse_machine({**INSTANCE, "ports": value}).ports == {}


def test_keys_come_under_two_names(public_key):
    assert parse_key({"id": 1, "key": public_key}) == parse_key({"id": 1, "public_key": public_key})
    assert parse_key({"id": 1, "key": "ssh-rsa AAAA"}) is None


def test_charges_need_times_and_an_amount():
    row = {"start": 1, "end": 2, "source": "instance-555", "amount": Decimal("1.23")}
    assert parse_charge(row).dollars == Decimal("1.23")
    for key in ("start", "end", "amount"):
        with pytest.raises(Malformed):
            parse_charge({**row, key: "x"})
