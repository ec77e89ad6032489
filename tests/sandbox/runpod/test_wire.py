"""What RunPod's wire promises beyond what its clients ask for."""

import asyncio

import asyncssh
import httpx
import pytest

from app.sandbox import Fault, Sandbox, SandboxConfig

L4, RTX_4090 = "NVIDIA L4", "NVIDIA GeForce RTX 4090"
SOLD = "There are no longer any instances available with the requested specifications. Please refresh and try again."
PROBLEM = "application/problem+json"


def problem(answer, status):
    body = answer.json()
    assert (answer.status_code, body["status"], answer.headers["content-type"]) == (status, status, PROBLEM)
    return body["detail"]


async def test_what_is_free_is_told_to_those_who_ask(runpod):
    plain = (await runpod.gpus())[RTX_4090]
    assert plain["price"] == {"secure": 0.69, "community": 0.34}
    assert "availability" not in plain
    assert "dataCenters" not in plain
    asked = (await runpod.gpus(include="AVAILABILITY", product="POD"))[RTX_4090]
    assert asked["availability"] in {"MEDIUM", "HIGH"}
    assert len(asked["dataCenters"]) >= 3
    assert {"version", "available"} == set(asked["cudaVersions"][0])


async def test_free_gpus_differ_by_cloud_count_country_and_cuda(runpod):
    assert await runpod.free(cloud="COMMUNITY", count=8) == {}
    few, many = await runpod.free(count=1), await runpod.free(count=8)
    assert "NONE" not in few.values() or few != many
    assert set(many) == set(few)
    places = await runpod.free()
    country = next(iter(places)).split("-")[0 if next(iter(places)).startswith(("US", "CA")) else 1]
    there = await runpod.free(countryCodes=country)
    assert there
    assert set(there) < set(places)
    assert RTX_4090 not in await runpod.gpus(include="AVAILABILITY", product="POD", countryCodes="ZZ")


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"include": "AVAILABILITY"}, 400),
        ({"count": "2"}, 400),
        ({"include": "AVAILABILITY", "product": "POD", "cudaVersions": "12.8", "minCudaVersion": "12"}, 400),
        ({"include": "AVAILABILITY", "product": "TOASTER"}, 422),
        ({"include": "AVAILABILITY", "product": "POD", "count": "0"}, 422),
        ({"include": "AVAILABILITY", "product": "POD", "cloud": "secure"}, 422),
        ({"include": "AVAILABILITY", "product": "POD", "countryCodes": "us"}, 422),
        ({"include": "AVAILABILITY", "product": "POD", "cudaVersions": "12"}, 422),
        ({"include": "PRICE"}, 422),
    ],
)
async def test_a_question_that_makes_no_sense_is_refused(runpod, query, status):
    problem(await runpod.http.get("/v2/catalog/gpus", params=query), status)


async def test_data_centres_tell_their_gpus(runpod):
    params = {"include": "GPU_AVAILABILITY", "regions": "EUROPE"}
    rows = (await runpod.http.get("/v2/catalog/datacenters", params=params)).json()["dataCenters"]
    assert {row["region"] for row in rows} == {"EUROPE"}
    assert any(gpu["availability"] != "NONE" for row in rows for gpu in row.get("gpuAvailability", []))
    one = (await runpod.http.get(f"/v2/catalog/datacenters/{rows[0]['id']}")).json()
    assert one["name"] == rows[0]["name"]
    assert "gpuAvailability" not in one


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"bogus": 1}, "$: additional properties 'bogus' not allowed"),
        ({"gpuTypeIds": [L4], "imageName": "x"}, "$: additional properties 'gpuTypeIds' not allowed"),
        ({"gpu": {"id": L4, "count": 1, "spot": True}}, "$.gpu: additional properties 'spot' not allowed"),
        ({"gpu": {"id": L4, "count": 0}}, "$.gpu.count: is not what the schema allows"),
        ({"gpu": {"id": L4, "count": "1"}}, "$.gpu.count: is not what the schema allows"),
        ({"gpu": {"count": 1}}, "$.gpu: missing property 'id'"),
        ({"name": ""}, "$.name: is not what the schema allows"),
        ({"name": ...}, "$: missing property 'name'"),
        ({"image": ...}, "$: missing property 'image'"),
        ({"cloud": "ALL"}, "$.cloud: is not what the schema allows"),
        ({"ports": "22/tcp"}, "$.ports: is not what the schema allows"),
        ({"env": {"A": 1}}, "$.env: is not what the schema allows"),
        ({"disk": 0}, "$.disk: is not what the schema allows"),
        ({"disk": True}, "$.disk: is not what the schema allows"),
        ({"mounts": {"persistent": {"size": 9, "path": "/x"}}}, "$.mounts: is not what the schema allows"),
        ({"startSsh": "true"}, "$.startSsh: is not what the schema allows"),
    ],
)
async def test_a_body_is_strict_and_names_the_property(sandbox, runpod, wrong, error):
    answer = await runpod.order(**wrong)
    problem(answer, 422)
    assert error in answer.json()["errors"]
    assert sandbox.truth == []


async def test_what_newer_clients_send_is_taken(runpod):
    gpu = {"id": RTX_4090, "count": 1, "minRamPerGpu": 8, "minVcpuCountPerGpu": 4, "allowedCudaVersions": []}
    pod = await runpod.ordered(gpu=gpu, entrypoint=["/bin/sh"], cmd=["-c", "true"], image="ubuntu:24.04", args="x")
    assert pod["args"] == "x"


@pytest.mark.parametrize(
    ("wrong", "status", "detail"),
    [
        ({"cpu": {"id": "cpu3c", "vcpuCount": 2}}, 400, "exactly one of gpu or cpu must be set"),
        ({"gpu": ...}, 400, "exactly one of gpu or cpu must be set"),
        ({"gpu": {"id": L4, "count": 1, "minCudaVersion": "12.8", "allowedCudaVersions": ["12.8"]}}, 400, "exclusive"),
        ({"gpu": {"id": L4, "count": 64}}, 400, SOLD),
        ({"gpu": {"id": L4}}, 400, SOLD),
        ({"gpu": {"id": L4, "count": 1, "minCudaVersion": "99.0"}}, 400, SOLD),
        ({"gpu": {"id": L4, "count": 1, "allowedCudaVersions": ["9.1"]}}, 400, SOLD),
        ({"dataCenterIds": ["MARS-1"]}, 400, SOLD),
        ({"gpu": {"id": "NVIDIA None", "count": 1}}, 404, "GPU type not found"),
        ({"templateId": "abc"}, 404, "template not found"),
        ({"mounts": {"network": [{"volumeId": "v", "path": "/x"}]}}, 404, "network volume not found"),
    ],
)
async def test_a_sound_body_may_break_a_rule_or_find_no_gpu(sandbox, runpod, wrong, status, detail):
    assert detail in problem(await runpod.order(**wrong), status)
    assert sandbox.truth == []


async def test_a_pod_comes_up_by_and_by(slow, clock):
    sandbox, runpod = slow
    pod_id = (await runpod.ordered())["id"]
    seen = []
    for _ in range(4):
        row = await runpod.get(pod_id)
        seen.append((row["status"], row["runtime"] is None, row["ssh"]["direct"] is None, row["startedAt"] is None))
        assert row["cost"] == 0.69
        await clock.advance(21)
    row = await runpod.is_up(pod_id)
    assert seen[:3] == [
        ("PROVISIONING", True, True, True),
        ("STARTING", True, True, True),
        ("RUNNING", True, True, True),
    ]
    assert row["ssh"]["direct"]["port"] == row["runtime"]["ports"][0]["public"] == sandbox.truth[0].ssh_port


async def test_the_key_in_the_environment_opens_the_door(sandbox, runpod):
    ours, accounts = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    line = accounts.export_public_key().decode().strip()
    await runpod.http.put("/v2/account/ssh-keys", json={"keys": [line]})
    with_own = await runpod.ordered(env={"PUBLIC_KEY": ours.export_public_key().decode()}, startSsh=True)
    with_accounts = await runpod.ordered(startSsh=True)
    without = await runpod.ordered()

    async def enters(pod, key):
        address = (await runpod.is_up(pod["id"]))["ssh"]["direct"]
        options = {"username": "root", "client_keys": [key], "known_hosts": None, "config": []}
        try:
            async with asyncssh.connect(address["host"], address["port"], **options) as ssh:
                return (await ssh.run("nvidia-smi -L", check=True)).stdout.startswith("GPU 0: NVIDIA GeForce RTX 4090")
        except asyncssh.PermissionDenied:
            return False

    assert [await enters(with_own, key) for key in (ours, accounts)] == [True, False]
    assert [await enters(with_accounts, key) for key in (ours, accounts)] == [False, True]
    assert not await enters(without, accounts)


async def test_only_prepared_images_answer_by_themselves(sandbox, runpod):
    for more, answers in [
        ({"image": "ubuntu:24.04"}, False),
        ({"image": "ubuntu:24.04", "cmd": ["-c", "exec sshd -D"]}, True),
        ({"image": "runpod/base:1"}, True),
    ]:
        row = await runpod.is_up((await runpod.ordered(**more))["id"])
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", row["ssh"]["direct"]["port"])
        except ConnectionRefusedError:
            assert not answers
        else:
            assert answers
            writer.close()
            await writer.wait_closed()


async def test_ports_are_told_once_they_are_open(runpod):
    row = await runpod.is_up((await runpod.ordered(ports=["8000/tcp", "8888/http", "nonsense"]))["id"])
    assert [(port["private"], port["type"]) for port in row["runtime"]["ports"]] == [(8000, "tcp"), (8888, "http")]
    assert row["ssh"]["direct"] is None


@pytest.mark.parametrize(
    ("steps", "action", "allowed"),
    [
        ([], "start", False),
        ([], "restart", False),
        ([], "stop", True),
        (["up"], "start", False),
        (["up"], "restart", True),
        (["up", "stop"], "stop", False),
        (["up", "stop"], "restart", False),
        (["up", "stop"], "start", True),
    ],
)
async def test_an_action_needs_its_status(runpod, steps, action, allowed):
    pod_id = (await runpod.ordered())["id"]
    for step in steps:
        await (runpod.is_up(pod_id) if step == "up" else runpod.act(pod_id, step))
    assert (action in (await runpod.get(pod_id))["actions"]) == allowed
    answer = await runpod.act(pod_id, action)
    if allowed:
        assert answer.json()["id"] == pod_id
    else:
        assert "not valid" in problem(answer, 409)


async def test_a_stopped_pod_starts_on_its_host_or_not_at_all(sandbox, runpod):
    pod = await runpod.ordered()
    await runpod.is_up(pod["id"])
    stopped = (await runpod.act(pod["id"], "stop")).json()
    assert (stopped["status"], stopped["cost"], stopped["cudaVersion"]) == ("EXITED", 0, pod["cudaVersion"])
    place = f"SECURE:{pod['dataCenterId']}:1:{RTX_4090}"
    sandbox.change_offer(place, "withdraw")
    assert problem(await runpod.act(pod["id"], "start"), 400).startswith("There are not enough free GPUs on the host")
    sandbox.change_offer(place, "restore", stock=1)
    assert (await runpod.act(pod["id"], "start")).status_code == 200
    assert (await runpod.free(minCudaVersion="1"))[pod["dataCenterId"]] == "NONE"
    assert (await runpod.is_up(pod["id"]))["dataCenterId"] == pod["dataCenterId"]


async def test_a_pod_may_come_back_without_gpus(sandbox, runpod):
    pod = await runpod.ordered()
    await runpod.is_up(pod["id"])
    await runpod.act(pod["id"], "stop")
    sandbox.faults.add(Fault("wrong_gpu", "start", provider="runpod"))
    assert (await runpod.act(pod["id"], "start")).json()["gpu"]["count"] == 0


async def test_an_end_gives_the_gpus_back(sandbox, runpod):
    def stock(place):
        return next(offer["stock"] for offer in sandbox.offers() if offer["id"] == place)

    pod = await runpod.ordered()
    place = f"SECURE:{pod['dataCenterId']}:1:{RTX_4090}"
    before = stock(place)
    await runpod.act(pod["id"], "stop")
    assert stock(place) == before + 1
    assert (await runpod.act(pod["id"], "terminate")).status_code == 204
    assert stock(place) == before + 1
    assert await runpod.get(pod["id"]) is None
    assert problem(await runpod.http.delete(f"/v2/pods/{pod['id']}"), 404) == "pod not found"


async def test_a_change_is_partial_and_strict(runpod):
    pod_id = (await runpod.ordered(env={"A": "1"}))["id"]
    path = f"/v2/pods/{pod_id}"
    row = (await runpod.http.patch(path, json={"name": "own-2", "locked": True})).json()
    assert (row["name"], row["locked"], row["env"]) == ("own-2", True, {"A": "1"})
    problem(await runpod.act(pod_id, "stop"), 409)
    problem(await runpod.http.patch(path, json={"gpu": {"id": L4}}), 422)
    problem(await runpod.http.patch(path, json={"mounts": {"persistent": {"size": 10, "path": "/x"}}}), 400)
    problem(await runpod.http.patch(path, json={"templateId": "x"}), 404)
    problem(await runpod.http.post(f"{path}/action", json={"action": "explode"}), 422)


async def test_a_list_of_keys_replaces_the_one_before(runpod):
    path = "/v2/account/ssh-keys"
    for keys in (["ssh-ed25519 AAAA a", "ecdsa-sha2-nistp256 BBBB"], []):
        await runpod.http.put(path, json={"keys": keys})
        assert (await runpod.http.get(path)).json() == {"keys": keys}
    problem(await runpod.http.put(path, json={"keys": ["-----BEGIN PRIVATE KEY-----"]}), 422)
    problem(await runpod.http.put(path, json={"keys": [], "merge": True}), 422)


async def test_every_refusal_is_a_problem(sandbox, runpod):
    assert problem(await runpod.http.put("/v2/pods"), 405)
    assert problem(await runpod.http.get("/v2/nowhere"), 404)
    assert problem(await runpod.http.post("/v2/pods", content=b"{"), 400)
    async with httpx.AsyncClient(base_url=sandbox.url) as http:
        nobody = await http.get("/v2/pods")
        stranger = await http.get("/v2/pods", headers={"Authorization": "Bearer wrong"})
    assert problem(nobody, 401) == "missing bearer token"
    assert problem(stranger, 401)
    assert "ratelimit" not in stranger.headers
    for kind, status in (("server_error", 500), ("no_credit", 402), ("rate_limited", 429)):
        sandbox.faults.add(Fault(kind, "list_machines", provider="runpod", retry_after="7"))
        refused = await runpod.http.get("/v2/pods")
        assert problem(refused, status)
        assert refused.headers["retry-after"] == "7"


async def test_a_terminate_may_fail_and_have_happened(sandbox, runpod):
    pod_id = (await runpod.ordered())["id"]
    sandbox.faults.add(Fault("server_error", "destroy", provider="runpod", after_effect=True))
    assert (await runpod.http.delete(f"/v2/pods/{pod_id}")).status_code == 500
    assert await runpod.get(pod_id) is None


async def test_quotas_are_told_on_every_answer_and_held_when_they_are_on(tmp_path):
    sandbox = await Sandbox.start(SandboxConfig(home=tmp_path, ssh_port=0, rate_limits=True))
    key = {"Authorization": f"Bearer {sandbox.config.runpod_key}"}
    async with httpx.AsyncClient(base_url=sandbox.url, headers=key) as http:
        first = await http.get("/v2/pods")
        assert first.headers["ratelimit"].startswith('"minute";r=59;t=')
        assert first.headers["ratelimit-policy"] == ('"minute";q=60;w=60, "hour";q=3000;w=3600, "day";q=50000;w=86400')
        answers = [await http.get("/v2/pods") for _ in range(60)]
        assert [answer.status_code for answer in answers] == [200] * 59 + [429]
        assert problem(answers[-1], 429) == "rate limit exceeded for the minute window"
        assert 1 <= int(answers[-1].headers["retry-after"]) <= 60
        assert answers[-1].headers["ratelimit"].startswith('"minute";r=0;t=')
    await sandbox.aclose()


async def test_prices_and_stocks_move_by_the_seed(slow, clock):
    sandbox, _ = slow
    before = [offer for offer in sandbox.offers() if offer["provider"] == "runpod"]
    await clock.advance(3600 * 6)
    after = [offer for offer in sandbox.offers() if offer["provider"] == "runpod"]
    assert {offer["price_micros_per_hour"] for offer in before} != {offer["price_micros_per_hour"] for offer in after}
    assert [offer["stock"] for offer in before] != [offer["stock"] for offer in after]
    assert all(offer["stock"] >= 0 for offer in after)


async def test_an_offer_is_repriced_and_unknown_ones_are_not(sandbox, runpod):
    sandbox.change_offer(_some_offer(sandbox), "reprice", factor="2")
    assert (await runpod.gpus())[L4]["price"]["secure"] == 0.86
    for offer_id, deed in ((_some_offer(sandbox), "explode"), ("SECURE:MARS-1:1:NVIDIA L4", "withdraw")):
        with pytest.raises(LookupError):
            sandbox.change_offer(offer_id, deed)


def _some_offer(sandbox):
    return next(offer["id"] for offer in sandbox.offers() if str(offer["id"]).endswith(f":1:{L4}"))
