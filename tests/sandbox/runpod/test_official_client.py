"""RunPod's own server of tools, as published: a process that speaks JSON-RPC with us and REST with the cloud.

It is a package for Node.js, so it is there only where somebody put it: ``npm install @runpod/mcp-server@4.0.0`` in the
folder ``runpod-mcp`` of the virtual environment.
"""

import asyncio
import json
import os
import shutil
import sys
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path

import asyncssh
import httpx
import jsonschema_rs
import pytest

from app.providers import Order, RunpodProvider, WireOptions

PROGRAM = Path(sys.prefix) / "runpod-mcp" / "node_modules" / "@runpod" / "mcp-server" / "dist" / "stdio.mjs"
NODE = shutil.which("node")
RTX_4090 = "NVIDIA GeForce RTX 4090"

pytestmark = pytest.mark.skipif(NODE is None or not PROGRAM.exists(), reason="RunPod's own client is not installed")


class Tools:
    """Its tools, each a call with arguments."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._number = 0

    async def ask(self, method: str, **params: object) -> dict:
        self._number += 1
        self.tell(method, id=self._number, params=params)
        async with asyncio.timeout(60):
            answer = json.loads(await self._process.stdout.readline())
        return answer["result"]

    def tell(self, method: str, **more: object) -> None:
        self._process.stdin.write(json.dumps({"jsonrpc": "2.0", "method": method, **more}).encode() + b"\n")

    async def use(self, tool: str, **arguments: object) -> dict:
        result = await self.ask("tools/call", name=tool, arguments=arguments)
        said = json.loads(result["content"][0]["text"])
        assert result.get("isError", False) == (said.get("status") in range(400, 600)), said
        return said


@pytest.fixture
async def tools(sandbox, tmp_path):
    process = await asyncio.create_subprocess_exec(
        NODE, PROGRAM, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, limit=8 * 1024 * 1024,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "RUNPOD_API_KEY": sandbox.config.runpod_key,
            "RUNPOD_API_BASE_URL": sandbox.url,
        },
    )  # fmt: skip
    tools = Tools(process)
    about = {"protocolVersion": "2024-11-05", "capabilities": {}, "clientInfo": {"name": "tests", "version": "1"}}
    await tools.ask("initialize", **about)
    tools.tell("notifications/initialized")
    yield tools
    process.stdin.close()
    await asyncio.wait_for(process.wait(), 10)


async def test_it_goes_through_a_life(tools, sandbox, until):
    available = {"include": ["AVAILABILITY"], "product": ["POD"]}
    gpu = await tools.use("get-gpu-type", id=RTX_4090, minCudaVersion="12", **available)
    assert gpu["availability"] == "HIGH"
    place = next(each["id"] for each in gpu["dataCenters"] if each["availability"] == "HIGH")
    assert place in {each["id"] for each in (await tools.use("list-data-centers"))["dataCenters"]}
    order = {"name": "own-1", "image": "runpod/base:1", "gpu": {"id": RTX_4090, "count": 1}, "dataCenterIds": [place]}
    pod = await tools.use("create-pod", body={**order, "ports": ["22/tcp"], "env": {"A": "1"}, "startSsh": True})
    assert (pod["status"], pod["dataCenterId"]) == ("PROVISIONING", place)

    async def is_up():
        row = await tools.use("get-pod", id=pod["id"])
        return row if row["runtime"] else None

    assert (await until(is_up))["status"] == "RUNNING"
    assert (await tools.use("update-pod", id=pod["id"], body={"name": "own-2"}))["name"] == "own-2"
    assert (await tools.use("pod-action", id=pod["id"], body={"action": "stop"}))["status"] == "EXITED"
    assert (await tools.use("pod-action", id=pod["id"], body={"action": "start"}))["status"] == "STARTING"
    assert [row["id"] for row in (await tools.use("list-pods"))["pods"]] == [pod["id"]]
    assert (await tools.use("list-pod-billing", bucketSize="hour", podId=pod["id"]))["metadata"]["query"]["podId"]
    keys = {"keys": ["ssh-ed25519 AAAA me"]}
    assert await tools.use("update-ssh-keys", body=keys) == await tools.use("get-ssh-keys") == keys
    assert await tools.use("delete-pod", id=pod["id"]) == {"status": 204}
    assert (await tools.use("get-pod", id=pod["id"]))["status"] == 404
    assert (sandbox.truth[0].marker, sandbox.truth[0].status) == ("own-2", "gone")


async def test_it_tells_refusals_as_they_are(tools):
    order = {"name": "own-1", "image": "runpod/base:1", "gpu": {"id": RTX_4090, "count": 1}}
    strict = await tools.use("create-pod", body={**order, "bogus": 1})
    assert (strict["status"], strict["errors"]) == (422, ["$: additional properties 'bogus' not allowed"])
    sold = await tools.use("create-pod", body={**order, "gpu": {"id": RTX_4090, "count": 9}})
    assert (sold["status"], "no longer any instances" in sold["detail"]) == (400, True)
    assert (await tools.use("list-gpu-types", include=["AVAILABILITY"]))["status"] == 400
    assert (await tools.use("pod-action", id="nobody", body={"action": "stop"}))["status"] == 404


@pytest.fixture
async def sent():
    """Return the body that our adapter sends for an image."""
    bodies = []

    def answer(request):
        bodies.append(json.loads(request.content))
        return httpx.Response(201, json={"id": "abc"})

    key = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        at_once = WireOptions(pace_factor=0)
        provider = RunpodProvider(api_key="k", base_url="http://runpod.test", client=client, options=at_once)

        async def create(image):
            order = Order(
                marker="own-1", offer_id=f"SECURE:US-KS-2:2:{RTX_4090}", region_id="US-KS-2", spot=False,
                bid_micros_per_hour=None, image=image, disk_gb=20, env={"A": "1"}, ports=(8000,),
                platform_public_key=key,
            )  # fmt: skip
            await provider.create(order)
            return bodies[-1]

        yield create


async def test_its_schema_takes_what_we_send(tools, sent):
    listed = (await tools.ask("tools/list"))["tools"]
    schema = next(tool["inputSchema"] for tool in listed if tool["name"] == "create-pod")
    validator = jsonschema_rs.validator_for({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})

    def errors(body):
        return " ".join(error.message for error in validator.iter_errors({"body": body}))

    prepared = await sent("runpod/base:1")
    assert errors(prepared) == ""
    assert "bogus" in errors({**prepared, "bogus": 1})
    other = await sent("ubuntu:24.04")
    newer = {key: other[key] for key in other if key not in prepared}
    assert set(newer) == {"entrypoint", "cmd"}, "younger than this schema; dstack's client sends them"
