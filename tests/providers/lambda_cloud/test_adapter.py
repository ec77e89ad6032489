import base64
import json
import subprocess
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from app.providers import NoCapacity, Rejected, Unsupported

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LAUNCH = ("POST", "/api/v1/instance-operations/launch")
KEYS = "/api/v1/ssh-keys"
OFFER = "gpu_1x_h100_pcie:us-east-1"
LAUNCHED = httpx.Response(200, json={"data": {"instance_ids": ["0920582c7ff041399e34823a0be62549"]}})


async def test_an_order_becomes_the_body_that_the_cloud_wants(cloud, lambda_, order):
    cloud.on(*LAUNCH, LAUNCHED)
    assert await lambda_.create(order(OFFER)) == "0920582c7ff041399e34823a0be62549"
    assert cloud.bodies(*LAUNCH) == [
        {
            "region_name": "us-east-1",
            "instance_type_name": "gpu_1x_h100_pcie",
            "ssh_key_names": ["platform-key"],
            "name": "own-1",
            "tags": [{"key": "marker", "value": "own-1"}],
        }
    ]


async def test_an_image_family_is_asked_for_by_name(cloud, lambda_, order):
    cloud.on(*LAUNCH, LAUNCHED)
    await lambda_.create(order(OFFER, image="lambda-stack-24-04"))
    assert cloud.bodies(*LAUNCH)[0]["image"] == {"family": "lambda-stack-24-04"}


async def test_variables_reach_the_shell_unharmed(cloud, lambda_, order):
    cloud.on(*LAUNCH, LAUNCHED)
    value = 'a\'b "c" $(touch x) `y`\n%d'
    await lambda_.create(order(OFFER, env={"A": value}))
    first, _, document = cloud.bodies(*LAUNCH)[0]["user_data"].partition("\n")
    assert first == "#cloud-config"
    script = base64.b64decode(json.loads(document)["write_files"][0]["content"]).decode()
    assert printed(script + 'printf %s "$A"') == value


def printed(script: str) -> str:
    return subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout


async def test_an_offer_of_another_form_is_not_to_be_had(cloud, lambda_, order):
    with pytest.raises(NoCapacity):
        await lambda_.create(order("1001"))
    assert cloud.requests == []


async def test_the_key_is_named_by_its_fingerprint(cloud, lambda_, order, public_key):
    cloud.on(*LAUNCH, LAUNCHED)
    cloud.on("GET", KEYS, httpx.Response(200, json={"data": []}))
    added = {"id": "k9", "name": "as-stored", "public_key": public_key}
    cloud.on("POST", KEYS, httpx.Response(200, json={"data": added}))
    await lambda_.create(order(OFFER))
    assert cloud.bodies("POST", KEYS)[0]["name"].startswith("hourglass-")
    assert cloud.bodies(*LAUNCH)[0]["ssh_key_names"] == ["as-stored"]
    assert await lambda_.ensure_ssh_key("any", public_key) == "k9"


async def test_a_key_that_another_process_added_meanwhile_is_taken(cloud, lambda_, public_key):
    keys = [{"id": "a1", "name": "theirs", "public_key": public_key}]
    cloud.on("GET", KEYS, httpx.Response(200, json={"data": []}), httpx.Response(200, json={"data": keys}))
    cloud.on("POST", KEYS, httpx.Response(409, json={"error": {"code": "global/duplicate", "message": "x"}}))
    assert await lambda_.ensure_ssh_key("any", public_key) == "a1"


async def test_a_name_taken_by_another_key_is_rejected(cloud, lambda_, public_key):
    cloud.on("GET", KEYS, httpx.Response(200, json={"data": []}))
    cloud.on("POST", KEYS, httpx.Response(400, json={"error": {"code": "global/duplicate", "message": "x"}}))
    with pytest.raises(Rejected):
        await lambda_.ensure_ssh_key("any", public_key)


async def test_after_a_rejected_launch_the_key_is_looked_up_again(cloud, lambda_, order):
    cloud.on(*LAUNCH, httpx.Response(404, json={"error": {"code": "global/object-does-not-exist"}}), LAUNCHED)
    with pytest.raises(Rejected):
        await lambda_.create(order(OFFER))
    await lambda_.create(order(OFFER))
    assert cloud.count("GET", KEYS) == 2


async def test_of_two_twins_the_one_that_lives_is_found(cloud, lambda_):
    rows = [
        {"id": "a", "name": "own-1", "status": "terminated"},
        {"id": "b", "name": "own-1", "status": "terminating"},
        {"id": "c", "name": "own-1", "status": "booting"},
        {"id": "d", "name": "own-10", "status": "active"},
    ]
    cloud.on("GET", "/api/v1/instances", httpx.Response(200, json={"data": rows}))
    assert (await lambda_.find_by_marker("own-1")).machine_id == "c"
    assert [machine.machine_id for machine in await lambda_.list_machines("own-")] == ["b", "c", "d"]


@pytest.mark.parametrize(
    ("seconds", "micros"), [(0, 0), (1, 54_834), (60, 54_834), (61, 109_667), (3600, 3_290_000), (-5, 0)]
)
async def test_the_cost_is_begun_minutes_at_the_price(lambda_, seconds, micros):
    end = START + timedelta(seconds=seconds)
    found = await lambda_.realised_cost("abc", start=START, end=end, price_micros_per_hour=3_290_000)
    assert (found.micros, found.exact) == (micros, False)


async def test_stop_hibernation_resuming_and_books_are_not_to_be_had(lambda_):
    for deed in (lambda_.stop, lambda_.hibernate, lambda_.resume):
        with pytest.raises(Unsupported):
            await deed("abc")
    with pytest.raises(Unsupported):
        await lambda_.list_costs(start=START, end=START)
