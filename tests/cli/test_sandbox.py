"""The sandbox as a command of its own."""

import subprocess
import sys
import time

import httpx

from .conftest import environment, free_ports, hourglass


def test_market_that_is_not_there_is_named():
    done = hourglass("sandbox", "--market", "/nowhere/at/all", HOURGLASS_PORT=str(free_ports()))
    assert done.returncode == 1
    assert "/nowhere/at/all/vast-offers.csv" in done.stderr


def test_market_of_a_folder_is_what_the_clouds_offer(shared):
    port = free_ports()
    command = [sys.executable, "-m", "app", "sandbox", "--market", str(shared / "market")]
    process = subprocess.Popen(command, env=environment(HOURGLASS_PORT=str(port)), cwd="/", stderr=subprocess.DEVNULL)
    try:
        answer = _patiently(f"http://127.0.0.1:{port + 1}/api/v1/instance-types")
    finally:
        process.terminate()
        assert process.wait(timeout=20) == 0
    rows = (shared / "market" / "lambda-types.csv").read_text(encoding="utf-8").splitlines()
    assert set(answer.json()["data"]) >= {row.split(",")[0] for row in rows[1:3]}


def _patiently(url):
    for _ in range(200):
        try:
            return httpx.get(url, headers={"Authorization": "Bearer sandbox-lambda-key"})
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError("the sandbox did not answer")
