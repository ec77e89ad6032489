"""README's commands, as written, in a fresh clone: the first starts everything, the others are pasted one after another."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BLOCKS = re.findall(r"^```sh\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
SERVES_SECONDS_MAX = 120


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is committed or about to be, in an empty folder, with the tests' own environment as its .venv."""
    folder = tmp_path_factory.mktemp("clone") / "hourglass"
    folder.mkdir()
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    _copy(listed.decode().split("\0"), folder)
    (folder / ".venv").symlink_to(ROOT / ".venv", target_is_directory=True)
    return folder


def _copy(names: list[str], folder: Path) -> None:
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())


@pytest.fixture(scope="module")
def served(clone: Path) -> Iterator[dict[str, str]]:
    """Paste the first block and wait until it serves."""
    dropped = ("HOURGLASS_", "DATABASE_URL", "VAST_", "LAMBDA_", "STRIPE_", "MAKEFLAGS", "MAKELEVEL", "PYTHONPATH")
    variables = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    variables |= {"HOURGLASS_PORT": str(_free_ports()), "PYTHONPATH": str(clone)}
    said = clone / "up.log"
    with said.open("w") as output:
        process = subprocess.Popen(
            ["sh", "-c", BLOCKS[0]], cwd=clone, env=variables, stdout=output, stderr=output, start_new_session=True
        )
    try:
        deadline = time.monotonic() + SERVES_SECONDS_MAX
        while "serves after" not in said.read_text():
            assert process.poll() is None, said.read_text()
            assert time.monotonic() < deadline, said.read_text()
            time.sleep(0.2)
        yield variables
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        process.wait(timeout=40)


def test_the_blocks_run_as_written_one_after_another(clone: Path, served: dict[str, str]) -> None:
    assert BLOCKS[0] == "make up\n"
    script = "set -e\n" + "\n".join(f"echo '== {number}'\n{block}\necho" for number, block in enumerate(BLOCKS[1:], 1))
    done = subprocess.run(
        ["sh", "-c", script], cwd=clone, env=served, capture_output=True, text=True, timeout=240, check=False
    )

    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    parts = re.split(r"^== \d+\n", done.stdout, flags=re.MULTILINE)[1:]
    assert len(parts) == len(BLOCKS) - 1
    listings, _, running, wallet, market, deposit, statement, teams, commands = (part.strip() for part in parts)
    assert json.loads(listings)["data"][0]["family"] == "rtx-4090"
    assert json.loads((clone / "rental.json").read_text())["status"] == "provisioning"
    assert '"rental.running"' in running
    balance, stopped, ledger = (json.loads(line) for line in _documents(wallet))
    assert balance["total"] > "49"
    assert stopped["status"] in {"stopping", "stopped"}
    assert {"adjustment_credit", "reserve", "release"} <= {row["kind"] for row in ledger["data"]}
    assert all(f'"{cloud}"' in market for cloud in ("vast", "runpod", "lambda", "hyperstack", "modal", "manual"))
    assert "median" in market
    assert '"placements"' in market
    assert "Pay here: http://127.0.0.1:" in deposit
    rule, _, lines = statement.partition("}")
    assert '"state":"off"' in rule.replace(" ", "")
    assert "usage" in lines
    told, report, _ = teams.partition("Team Spending Report:")
    check, entries = _documents(told)
    assert json.loads(check)["reason"] == "GPU h100-80gb not in team whitelist"
    assert "team.created" in entries
    assert report
    assert "running" in commands


def _documents(text: str) -> list[str]:
    """Split JSON documents that stand one after another."""
    documents, decoder = [], json.JSONDecoder()
    while text:
        _, end = decoder.raw_decode(text)
        documents.append(text[:end])
        text = text[end:].lstrip()
    return documents


def _free_ports() -> int:
    """Return a port such that it and the next four are free just now."""
    for first in range(21000, 30000, 5):
        sockets = [socket.socket() for _ in range(5)]
        try:
            for offset, one in enumerate(sockets):
                one.bind(("127.0.0.1", first + offset))
        except OSError:
            continue
        else:
            return first
        finally:
            for one in sockets:
                one.close()
    raise AssertionError("no free ports")
