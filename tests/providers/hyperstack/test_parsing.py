from datetime import UTC, datetime

import pytest

from app.providers.contract import Connection, CostLine, MachineStatus
from app.providers.hyperstack.parsing import cost_line, parse_booked, parse_created, parse_key, parse_machine
from app.providers.reading import Malformed, read_json

MACHINE = read_json(
    b"""{"id":4242,"name":"own-1","status":"ACTIVE","vm_state":"active","power_state":"RUNNING",
    "environment":{"id":1,"name":"default-CANADA-1","region":"CANADA-1","org_id":1},"image":{"name":"Ubuntu"},
    "keypair":{"name":"k1"},"fixed_ip":"10.0.0.4","floating_ip":"198.51.100.7","floating_ip_status":"ATTACHED",
    "labels":["changed"],"created_at":"2026-01-01T10:20:30","security_rules":[
    {"direction":"ingress","protocol":"tcp","port_range_min":22,"port_range_max":22},
    {"direction":"ingress","protocol":"tcp","port_range_min":8000,"port_range_max":8000},
    {"direction":"ingress","protocol":"tcp","port_range_min":1,"port_range_max":9},
    {"direction":"egress","protocol":"tcp","port_range_min":53,"port_range_max":53},
    {"direction":"ingress","protocol":"icmp","port_range_min":null,"port_range_max":null}]}"""
)
ROW = read_json(
    b"""{"attributes":{"id":"a","infrahub_id":4242,"resource_name":"own-1","status":"DELETED"},
    "metrics":{"incurred_bill":1.2500001,"price_per_hour":2.5,"usage_time":30.0}}"""
)


def machine(**changes):
    return parse_machine({**MACHINE, **changes}, ssh_port=22)


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ("CREATING", "provisioning"),
        ("BUILD", "provisioning"),
        ("STARTING", "provisioning"),
        ("REBOOTING", "provisioning"),
        ("RESTORING", "provisioning"),
        ("ACTIVE", "running"),
        ("STOPPING", "stopping"),
        ("HIBERNATING", "stopping"),
        ("SHUTOFF", "stopped"),
        ("HIBERNATED", "hibernated"),
        ("DELETING", "deleting"),
        ("DELETED", "gone"),
        ("ERROR", "failed"),
        ("SOMETHING_NEW", "provisioning"),
    ],
)
def test_statuses_in_one_vocabulary(said, status):
    found = machine(status=said)
    assert (found.status, found.status_message) == (MachineStatus(status), said)
    assert found.connection == (Connection("198.51.100.7", 22, "ubuntu") if said == "ACTIVE" else None)


def test_a_machine_in_our_words():
    found = machine()
    assert (found.machine_id, found.marker) == ("4242", "own-1")
    assert found.created_at == datetime(2026, 1, 1, 10, 20, 30, tzinfo=UTC)
    assert found.ports == {8000: ("198.51.100.7", 8000)}


@pytest.mark.parametrize(
    "changes",
    [
        {"floating_ip": None},
        {"floating_ip": "not a host"},
        {"floating_ip_status": "ATTACHING"},
        {"floating_ip_status": "DETACHED"},
        {"floating_ip_status": None},
    ],
)
def test_nobody_gets_in_before_the_address_is_attached(changes):
    assert (machine(**changes).connection, machine(**changes).ports) == (None, {})


@pytest.mark.parametrize("changes", [{"id": "4242"}, {"id": 0}, {"id": True}, {"status": None}, {"name": 5}])
def test_a_machine_without_identity_or_state_is_malformed(changes):
    with pytest.raises(Malformed):
        machine(**changes)


@pytest.mark.parametrize("told", [None, "", "yesterday", "2026-13-01T00:00:00", 5, "2026-01-01T00:00:00+05:00"])
def test_a_time_that_can_not_be_read_is_no_matter(told):
    assert machine(created_at=told).created_at is None


@pytest.mark.parametrize("told", ["2026-01-01T10:20:30.123456", "2026-01-01 10:20:30", "2026-01-01T10:20:30+00:00"])
def test_times_come_in_several_forms(told):
    assert machine(created_at=told).created_at == datetime(2026, 1, 1, 10, 20, 30, tzinfo=UTC)


@pytest.mark.parametrize("answer", [None, [], {}, [None], [{"id": "x"}], [{}]])
def test_a_create_without_an_id_is_malformed(answer):
    with pytest.raises(Malformed):
        parse_created(answer)


def test_the_books_in_micro_dollars_rounded_up():
    found = parse_booked(ROW)
    assert (found.machine_id, found.machine_name, found.micros, found.ended) == ("4242", "own-1", 1_250_001, True)
    assert cost_line(ROW) == CostLine("4242", "own-1", 1_250_001)


@pytest.mark.parametrize("part", ["attributes", "metrics"])
def test_a_row_of_the_books_without_machine_or_amount_is_malformed(part):
    with pytest.raises(Malformed):
        parse_booked({**ROW, part: {}})


def test_keys_know_their_environment_and_kinds_that_we_do_not_use_are_left_out(public_key):
    row = {"id": 7, "name": "k1", "environment": {"name": "default-US-1"}, "public_key": public_key}
    found = parse_key(row)
    assert (found.key_id, found.environment, found.key.line in public_key) == ("7", "default-US-1", True)
    assert parse_key({**row, "public_key": "ssh-rsa AAAA"}) is None
    with pytest.raises(Malformed):
        parse_key({**row, "environment": None})
