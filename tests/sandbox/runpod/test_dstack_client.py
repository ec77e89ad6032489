"""RunPod's client in dstack, as published and used: in an environment and a process of its own."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path

import pytest

PYTHON = Path(sys.prefix) / "dstack" / "bin" / "python"
PRELUDE = """
import json, sys, time
from dstack._internal.core.backends.runpod import api_client
api_client.API_V2_URL = sys.argv[1] + "/v2"
client = api_client.RunpodApiClient(sys.argv[2])
show = lambda value: print(json.dumps(value))
ORDER = dict(
    name="own-1", cloud="SECURE", gpu_type_id="NVIDIA GeForce RTX 4090", gpu_count=1, min_cpu_count_per_gpu=4,
    min_memory_in_gb_per_gpu=8, container_disk_in_gb=20, image_name="ubuntu:24.04", entrypoint=["/bin/sh"],
    cmd=["-c", "sleep 1"], ports=["22/tcp", "8000/http"], env={"A": "1"},
)
def refused(**changes):
    try:
        client.create_pod(**{**ORDER, **changes})
    except api_client.RunpodV2ClientError as error:
        show([error.status, error.detail, error.errors])
"""

pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason="dstack is not installed: make install-dstack")


@pytest.fixture
def dstack(sandbox, tmp_path):
    """Run Python against its ``client``; what it shows comes back as values."""

    async def call(code):
        process = await asyncio.create_subprocess_exec(
            PYTHON, "-c", PRELUDE + code, sandbox.url, sandbox.config.runpod_key,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)}, stdin=DEVNULL, stdout=PIPE, stderr=PIPE,
        )  # fmt: skip
        out, err = await asyncio.wait_for(process.communicate(), 120)
        assert process.returncode == 0, err.decode()
        return [json.loads(line) for line in out.splitlines()]

    return call


async def test_it_goes_through_a_life(dstack, sandbox):
    keys, made, up, gone = await dstack("""
show([client.validate_api_key(), api_client.RunpodApiClient("wrong").validate_api_key()])
made = client.create_pod(**ORDER)
show([made["status"], made["runtime"]])
for _ in range(200):
    pod = client.get_pod(made["id"])
    if pod["runtime"]:
        break
    time.sleep(0.02)
show([pod["status"], pod["runtime"]["ports"][0]])
show([client.get_pod("nobody"), client.terminate_pod("nobody"), client.terminate_pod(pod["id"]),
      client.get_pod(pod["id"]), client.list_container_registry_credentials()])
""")
    assert keys == [True, False]
    assert made == ["PROVISIONING", None]
    [truth] = sandbox.truth
    assert up == ["RUNNING", {"private": 22, "public": truth.ssh_port, "type": "tcp", "ip": "127.0.0.1"}]
    assert gone == [None, False, True, None, []]
    assert (truth.marker, truth.status) == ("own-1", "gone")


async def test_its_errors_are_the_ones_it_knows(dstack, sandbox):
    shown = await dstack("""
refused(gpu_count=64)
refused(data_center_ids=["MARS-1"])
refused(container_disk_in_gb=0)
refused(network_volume_id="v", volume_mount_path="/x")
""")
    assert [status for status, _, _ in shown] == [400, 400, 422, 404]
    assert all("no longer any instances" in detail for _, detail, _ in shown[:2])
    assert shown[2][2] == ["$.disk: is not what the schema allows"]
    assert sandbox.truth == []
