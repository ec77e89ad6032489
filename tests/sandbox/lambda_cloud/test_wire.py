"""What Lambda's wire promises beyond what its client asks for."""

import asyncio

import httpx
import pytest


async def test_the_key_may_be_a_bearer_token_or_the_user_of_basic(sandbox):
    key = sandbox.config.lambda_key
    async with httpx.AsyncClient(base_url=sandbox.url) as http:
        assert (await http.get("/api/v1/instances", auth=(key, ""))).status_code == 200
        for auth in (None, ("wrong", "")):
            refused = await http.get("/api/v1/instances", auth=auth)
            assert (refused.status_code, refused.json()["error"]["code"]) == (401, "global/invalid-api-key")


async def test_a_body_is_json_without_any_content_type(lambda_):
    await lambda_.add_key()
    kind, region = await lambda_.available()
    body = f'{{"instance_type_name":"{kind}","region_name":"{region}","ssh_key_names":["k1"],"quantity":1}}'
    request = lambda_.http.build_request("POST", "/api/v1/instance-operations/launch", content=body.encode())
    assert "content-type" not in request.headers
    assert (await lambda_.http.send(request)).status_code == 200
    assert "name" not in (await lambda_.listed())[0]


@pytest.mark.parametrize(
    "wrong",
    [
        {"region_name": "moon-1"},
        {"ssh_key_names": []},
        {"ssh_key_names": ["k1", "k1"]},
        {"name": "x" * 65},
        {"quantity": 2},
        {"image": {"family": "windows"}},
        {"tags": [{"key": "x"}]},
        {"user_data": "x" * (1024 * 1024 + 1)},
    ],
)
async def test_a_wrong_launch_is_refused_and_makes_nothing(sandbox, lambda_, wrong):
    await lambda_.add_key()
    answer = await lambda_.launch(**wrong)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "global/invalid-parameters")
    assert sandbox.truth == []


async def test_an_unknown_key_name_is_not_found(lambda_):
    assert (await lambda_.launch(ssh_key_names=["nobody"])).status_code == 404


async def test_a_grace_machine_takes_no_x86_image(sandbox, lambda_):
    await lambda_.add_key()
    sandbox.change_offer("gpu_1x_gh200:us-east-3", "restore", stock=1)
    more = {"instance_type_name": "gpu_1x_gh200", "region_name": "us-east-3"}
    assert (await lambda_.launch(**more, image={"family": "ubuntu-24-04"})).status_code == 400
    assert (await lambda_.launch(**more, image={"family": "lambda-stack-24-04"})).status_code == 200


async def test_names_of_keys_are_taken_once_and_keys_in_use_stay(lambda_):
    key = await lambda_.add_key()
    again = await lambda_.http.post("/api/v1/ssh-keys", json={"name": "k1"})
    assert again.json()["error"]["code"] == "global/duplicate"
    number = await lambda_.launched()
    refused = await lambda_.http.delete(f"/api/v1/ssh-keys/{key['id']}")
    assert refused.json()["error"]["code"] == "ssh-keys/key-in-use"
    await lambda_.terminate(number)
    await lambda_.reaches(number, "terminated")
    assert (await lambda_.http.delete(f"/api/v1/ssh-keys/{key['id']}")).status_code == 200


async def test_every_machine_has_an_address_of_its_own(sandbox, lambda_):
    await lambda_.add_key()
    numbers = [await lambda_.launched() for _ in range(3)]
    rows = [await lambda_.reaches(number, "active") for number in numbers]
    assert len({row["ip"] for row in rows}) == 3
    assert {row.ssh_port for row in sandbox.truth} == {sandbox.config.ssh_port}


async def test_a_restart_keeps_the_address_and_the_bill_running(slow_world, clock):
    sandbox, _, lambda_ = slow_world
    await lambda_.add_key()
    number = await lambda_.launched()
    await clock.advance(60)
    address = (await lambda_.reaches(number, "active"))["ip"]
    await clock.advance(1000)
    await lambda_.http.post("/api/v1/instance-operations/restart", json={"instance_ids": [number]})
    assert (await lambda_.get(number))["ip"] == address
    await asyncio.sleep(0.3)
    await clock.advance(60)
    await lambda_.reaches(number, "active")
    assert sandbox.truth[0].gpu_seconds == 1060


async def test_stocks_move_by_the_seed(slow_world, clock):
    sandbox, _, _ = slow_world
    before = [offer for offer in sandbox.offers() if offer["provider"] == "lambda"]
    await clock.advance(3600)
    after = [offer for offer in sandbox.offers() if offer["provider"] == "lambda"]
    assert before != after
    assert all(0 <= offer["stock"] <= 6 for offer in after)
