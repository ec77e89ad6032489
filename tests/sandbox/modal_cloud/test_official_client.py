"""Modal's own SDK, unmodified and in a process of its own, takes the stand-in for the cloud."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path

import asyncssh
import pytest

pytest.importorskip("modal")

SCRIPT = Path(__file__).with_name("sdk_script.py")


@pytest.fixture(scope="module")
def key():
    return asyncssh.generate_private_key("ssh-ed25519")


@pytest.fixture(scope="module")
async def seen(modal_sandbox, key, tmp_path_factory):
    config = modal_sandbox.config
    told = {
        "MODAL_SERVER_URL": modal_sandbox.modal_url,
        "MODAL_TOKEN_ID": config.modal_token_id,
        "MODAL_TOKEN_SECRET": config.modal_token_secret,
        "MODAL_CONFIG_PATH": str(tmp_path_factory.mktemp("modal") / "none.toml"),
        "MODAL_LOGLEVEL": "ERROR",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(SCRIPT),
        key.export_public_key().decode(),
        env={**os.environ, **told, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 90)
    assert process.returncode == 0, err.decode()
    return json.loads(out)


def test_the_sdk_is_the_version_whose_wire_this_is():
    assert version("modal") == "1.6.4"


def test_a_sandbox_runs_and_its_ways_in_are_told(seen, modal_sandbox):
    truth = next(truth for truth in modal_sandbox.truth if truth.id == seen["id"])
    assert (truth.gpu_name, truth.gpu_count, truth.marker) == ("NVIDIA H100 80GB HBM3", 2, "one")
    assert seen["polled"] is None
    assert set(seen["tunnels"]) == {"22", "8000"}
    assert truth.price_micros_per_hour == 2 * 1_097 * 3600 + 2 * 141_480 + 4 * 23_976


def test_a_sandbox_is_found_by_id_name_and_tag(seen):
    assert seen["tags"] == {"marker": "own-1", "rental": "r1"}
    assert seen["listed"] == [seen["id"]]
    assert seen["listed_otherwise"] == []
    assert seen["by_id"] is None
    assert seen["by_name"] == seen["id"]


def test_what_is_wrong_is_refused_in_the_sdks_words(seen):
    assert seen["refused"] == {
        "name": "AlreadyExistsError",
        "gpu": "InvalidError",
        "time": "InvalidError",
        "image": "ImageBuildError",
        "id": "NotFoundError",
        "app": "NotFoundError",
    }


def test_an_end_is_told_and_booked(seen, modal_sandbox):
    truth = next(truth for truth in modal_sandbox.truth if truth.id == seen["id"])
    assert seen["ended"] == [137, 137]
    cost, seconds = seen["stats"]
    assert Decimal(cost) * 1_000_000 == truth.cost_micros
    assert seconds == truth.gpu_seconds
    assert seen["report"] == ([[seen["app_id"], cost]] if truth.cost_micros else [])
    assert seen["rates"]["H100"] == "0.0010970000"
