from datetime import UTC, datetime, timedelta

import httpx
import pytest

from app.providers import NoCapacity, OutcomeUnknown, Rejected, Unavailable

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
MACHINES = "/v1/core/virtual-machines"
ENVIRONMENTS = "/v1/core/environments"
KEYS = "/v1/core/keypairs"
HISTORY = "/v1/billing/billing/history/virtual-machine"
OFFER = "n3-H100x1:CANADA-1"
CREATED = httpx.Response(200, json={"status": True, "instances": [{"id": 7, "name": "own-1", "status": "CREATING"}]})
TAKEN = httpx.Response(409, json={"status": False, "error_reason": "already_exist", "message": "exists"})


def rule(port):
    return {
        "direction": "ingress",
        "ethertype": "IPv4",
        "protocol": "tcp",
        "remote_ip_prefix": "0.0.0.0/0",
        "port_range_min": port,
        "port_range_max": port,
    }


def listed(*rows, **more):
    return httpx.Response(200, json={"status": True, "instances": list(rows), **more})


def row(number, name="own-1", status="ACTIVE"):
    return {"id": number, "name": name, "status": status}


async def test_an_order_becomes_the_body_that_the_cloud_wants(cloud, hyperstack, order):
    cloud.on("POST", MACHINES, CREATED)
    assert await hyperstack.create(order(OFFER, ports=(8000, 22), env={"A": "1"})) == "7"
    [body] = cloud.bodies("POST", MACHINES)
    assert body.pop("user_data").startswith("#cloud-config\n")
    assert body == {
        "name": "own-1",
        "environment_name": "default-CANADA-1",
        "image_name": "Ubuntu Server 22.04 LTS R535 CUDA 12.2",
        "flavor_name": "n3-H100x1",
        "key_name": "platform-key",
        "count": 1,
        "assign_floating_ip": True,
        "enable_port_randomization": False,
        "labels": ["own-1"],
        "security_rules": [rule(22), rule(8000)],
    }
    assert {request.headers["api_key"] for request in cloud.requests} == {"k"}


async def test_a_name_that_is_taken_means_that_the_machine_is_there_already(cloud, hyperstack, order):
    cloud.on("POST", MACHINES, TAKEN)
    cloud.on("GET", MACHINES, listed(row(6, "own-10"), row(7)))
    assert await hyperstack.create(order(OFFER)) == "7"
    assert cloud.count("POST", MACHINES) == 1
    assert cloud.requests[-1].url.params["search"] == "own-1"


@pytest.mark.parametrize(
    "answer", [listed(), listed(row(7, status="DELETING")), httpx.Response(500), httpx.Response(401)]
)
async def test_a_name_that_is_taken_by_nobody_to_be_seen_leaves_the_create_in_doubt(cloud, hyperstack, order, answer):
    cloud.on("POST", MACHINES, TAKEN)
    cloud.on("GET", MACHINES, answer)
    with pytest.raises(OutcomeUnknown):
        await hyperstack.create(order(OFFER))


async def test_a_region_gets_its_environment_and_key_when_first_needed(cloud, hyperstack, order, public_key):
    made = {"id": 2, "name": "default-NORWAY-1", "region": "NORWAY-1"}
    cloud.on("POST", ENVIRONMENTS, httpx.Response(200, json={"status": True, "environment": made}))
    key = {"id": 9, "name": "as-stored", "public_key": public_key, "environment": made}
    cloud.on("POST", KEYS, httpx.Response(200, json={"status": True, "keypair": key}))
    cloud.on("POST", MACHINES, CREATED)
    for _ in range(2):
        await hyperstack.create(order("n3-H100x1:NORWAY-1"))
    assert cloud.bodies("POST", ENVIRONMENTS) == [{"name": "default-NORWAY-1", "region": "NORWAY-1"}]
    [sent] = cloud.bodies("POST", KEYS)
    assert (sent["environment_name"], sent["name"].startswith("hourglass-")) == ("default-NORWAY-1", True)
    assert [body["key_name"] for body in cloud.bodies("POST", MACHINES)] == ["as-stored", "as-stored"]


async def test_an_environment_that_another_process_made_meanwhile_is_taken(cloud, hyperstack, order):
    ours = {"id": 1, "name": "default-CANADA-1", "region": "CANADA-1"}
    cloud.on(
        "GET",
        ENVIRONMENTS,
        httpx.Response(200, json={"environments": []}),
        httpx.Response(200, json={"environments": [ours]}),
    )
    cloud.on("POST", ENVIRONMENTS, TAKEN)
    cloud.on("POST", MACHINES, CREATED)
    assert await hyperstack.create(order(OFFER)) == "7"


@pytest.mark.parametrize("path", [ENVIRONMENTS, KEYS])
async def test_doubt_about_an_environment_or_a_key_is_no_doubt_about_a_machine(cloud, hyperstack, order, path):
    cloud.on("GET", path, httpx.Response(200, json={"environments": [], "keypairs": []}))
    cloud.on("POST", path, httpx.Response(500))
    with pytest.raises(Unavailable):
        await hyperstack.create(order(OFFER))
    assert cloud.count("POST", MACHINES) == 0


async def test_after_a_rejected_create_everything_is_looked_up_again(cloud, hyperstack, order):
    gone = httpx.Response(404, json={"status": False, "error_reason": "not_found", "message": "Keypair"})
    cloud.on("POST", MACHINES, gone, CREATED)
    with pytest.raises(Rejected):
        await hyperstack.create(order(OFFER))
    await hyperstack.create(order(OFFER))
    for path in (ENVIRONMENTS, KEYS, "/v1/core/images"):
        assert cloud.count("GET", path) == 2


async def test_an_offer_of_another_form_is_not_to_be_had(cloud, hyperstack, order):
    with pytest.raises(NoCapacity):
        await hyperstack.create(order("1001"))
    assert cloud.requests == []


async def test_a_marker_is_no_longer_than_a_name_may_be(cloud, hyperstack, order):
    with pytest.raises(Rejected):
        await hyperstack.create(order(OFFER, marker="x" * 51))
    assert cloud.requests == []


async def test_lists_are_read_until_a_page_is_not_full_whatever_size_the_cloud_gives(cloud, hyperstack):
    pages = [
        listed(row(1, "own-1"), row(2, "theirs"), count=5, page_size=2),
        listed(row(3, "own-3"), row(4, "own-4", "HIBERNATED"), count=5, page_size=2),
        listed(row(5, "own-5", "DELETED"), count=5, page_size=2),
    ]
    cloud.on("GET", MACHINES, *pages)
    found = await hyperstack.list_machines("own-")
    assert [machine.machine_id for machine in found] == ["1", "3", "4"]
    assert [request.url.params["page"] for request in cloud.requests] == ["1", "2", "3"]


async def test_a_cloud_that_knows_no_pages_is_asked_no_more_than_twice(cloud, hyperstack):
    cloud.on("GET", MACHINES, listed(*(row(number, f"own-{number}") for number in range(1, 101))))
    assert len(await hyperstack.list_machines("own-")) == 100
    assert len(cloud.requests) == 2


async def test_pages_without_end_are_no_answer(cloud, hyperstack):
    cloud.on("GET", MACHINES, *(listed(row(number, f"own-{number}"), page_size=1) for number in range(1, 300)))
    with pytest.raises(Unavailable):
        await hyperstack.list_machines("own-")


async def test_of_two_twins_the_one_that_lives_is_found(cloud, hyperstack):
    cloud.on("GET", MACHINES, listed(row(7, status="DELETED"), row(8, status="DELETING"), row(9), row(1, "own-10")))
    assert (await hyperstack.find_by_marker("own-1")).machine_id == "9"


async def test_a_key_is_known_in_any_environment_and_removed_from_all(cloud, hyperstack, public_key):
    def key(number, environment):
        return {"id": number, "name": "k", "public_key": public_key, "environment": {"name": environment}}

    other = {**key(5, "default-US-1"), "public_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAA"}
    rows = [other, key(7, "default-CANADA-1"), key(8, "default-US-1")]
    cloud.on("GET", KEYS, httpx.Response(200, json={"keypairs": rows}))
    assert await hyperstack.ensure_ssh_key("any", public_key) == "7"
    for number in (7, 8):
        cloud.on("DELETE", f"/v1/core/keypair/{number}", httpx.Response(200, json={"status": True}))
    await hyperstack.remove_ssh_key("7")
    assert [request.url.path[-1] for request in cloud.requests if request.method == "DELETE"] == ["7", "8"]
    await hyperstack.remove_ssh_key("99")


def books(status="DELETED", bill=1.25, number=7):
    return {
        "attributes": {"infrahub_id": number, "resource_name": "own-1", "status": status},
        "metrics": {"incurred_bill": bill, "price_per_hour": 2.5, "usage_time": 30.0},
    }


def keep_books(cloud, *rows, alone=()):
    details = {"billing_history_vm_details": {"billing_history": list(alone)}}
    cloud.on("GET", f"{HISTORY}/7", httpx.Response(200, json=details))
    cloud.on("GET", HISTORY, httpx.Response(200, json={"billing_history_vm": {"billing_history": list(rows)}}))


async def cost(hyperstack, seconds=3600):
    end = START + timedelta(seconds=seconds)
    found = await hyperstack.realised_cost("7", start=START, end=end, price_micros_per_hour=2_500_000)
    return found.micros, found.exact


async def test_books_that_know_of_the_end_are_final(cloud, hyperstack):
    keep_books(cloud, books(number=6, bill=99), books(), alone=[books()])
    assert await cost(hyperstack) == (1_250_000, True)
    sent = cloud.requests[0].url.params
    assert (sent["start_date"], sent["end_date"]) == ("2026-03-01T12:00:00", "2026-03-01T13:00:00")
    assert cloud.requests[1].url.params["search"] == "own-1"


async def test_books_that_lag_give_an_estimate_that_is_never_below_the_meter(cloud, hyperstack):
    keep_books(cloud, books("ACTIVE"), alone=[books()])
    assert await cost(hyperstack) == (2_500_000, False)
    assert await cost(hyperstack, 61) == (1_250_000, False)
    keep_books(cloud)
    assert await cost(hyperstack, 61) == (83_334, False)


async def test_a_machine_that_the_books_have_never_heard_of_is_estimated(cloud, hyperstack):
    cloud.on("GET", f"{HISTORY}/7", httpx.Response(404, json={"status": False, "error_reason": "not_found"}))
    assert await cost(hyperstack) == (2_500_000, False)


async def test_the_books_of_a_period_are_read_to_the_end(cloud, hyperstack):
    pagination = {"page": 1, "per_page": 1, "pages": 2}
    pages = [
        {"billing_history_vm": {"billing_history": [books(number=number)], "pagination": pagination}}
        for number in (7, 8)
    ]
    empty = {"billing_history_vm": {"billing_history": [], "pagination": pagination}}
    cloud.on("GET", HISTORY, *(httpx.Response(200, json=page) for page in [*pages, empty]))
    end = START + timedelta(days=1, microseconds=1)
    lines = await hyperstack.list_costs(start=START, end=end)
    assert [(line.machine_id, line.marker, line.micros) for line in lines] == [
        ("7", "own-1", 1_250_000),
        ("8", "own-1", 1_250_000),
    ]
    assert cloud.requests[0].url.params["end_date"] == "2026-03-02T12:00:01"
