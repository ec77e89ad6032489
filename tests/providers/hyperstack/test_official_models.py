"""What we send and read, held against the models of Hyperstack's published client."""

import json

import httpx

from app.providers.hyperstack.parsing import parse_machine
from app.sandbox import Sandbox, SandboxConfig
from tests.importing import LateModule

hyperstack_client = LateModule("hyperstack")

MACHINES, ENVIRONMENTS, KEYS = (f"/v1/core/{name}" for name in ("virtual-machines", "environments", "keypairs"))


async def test_every_body_that_we_send_is_one_that_the_client_could_have_sent(cloud, hyperstack, order, public_key):
    made = {"id": 2, "name": "default-US-1", "region": "US-1"}
    key = {"id": 9, "name": "k", "public_key": public_key, "environment": made}
    cloud.on("POST", ENVIRONMENTS, httpx.Response(200, json={"environment": made}))
    cloud.on("POST", KEYS, httpx.Response(200, json={"keypair": key}))
    cloud.on("POST", MACHINES, httpx.Response(200, json={"instances": [{"id": 7}]}))
    await hyperstack.create(order("n3-H100x1:US-1", ports=(8000,), env={"A": "1"}))
    for path, model in (
        (ENVIRONMENTS, hyperstack_client.CreateEnvironment),
        (KEYS, hyperstack_client.ImportKeypairPayload),
        (MACHINES, hyperstack_client.CreateInstancesPayload),
    ):
        [body] = cloud.bodies("POST", path)
        understood = json.loads(model.from_dict(body).to_json())
        assert {key: understood[key] for key in body} == body


async def test_a_machine_that_the_sandbox_shows_reads_the_same_to_both(public_key):
    sandbox = await Sandbox.start(SandboxConfig(boot_seconds=60, ssh_port=0))
    headers = {"api_key": sandbox.config.hyperstack_key}
    async with httpx.AsyncClient(base_url=f"{sandbox.url}/v1", headers=headers) as http:
        await http.post("/core/environments", json={"name": "e", "region": "US-1"})
        await http.post("/core/keypairs", json={"name": "k", "environment_name": "e", "public_key": public_key})
        body = {"name": "own-1", "environment_name": "e", "key_name": "k", "flavor_name": "n3-L40x1", "count": 1}
        created = await http.post("/core/virtual-machines", json={**body, "image_name": "Ubuntu Server 22.04 LTS"})
        assert created.status_code == 200
        text = (await http.get("/core/virtual-machines")).text
    await sandbox.aclose()
    [theirs], [ours] = hyperstack_client.Instances.from_json(text).instances, json.loads(text)["instances"]
    found = parse_machine(ours, ssh_port=22)
    assert (found.machine_id, found.marker, found.status_message) == (str(theirs.id), theirs.name, theirs.status)
    assert found.created_at.replace(tzinfo=None) == theirs.created_at
