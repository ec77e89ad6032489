"""``hourglass up`` from nothing: how long until the first request is served."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.ground import Ground
from benchmarks.money import Budget
from benchmarks.report import Row

_OWN = ("DATABASE_URL", "HOURGLASS_", "VAST_", "LAMBDA_")


async def measure(ground: Ground, budget: Budget) -> list[Row]:
    """Return the row of this part."""
    fresh, again = [], []
    for number in range(budget.rounds):
        home = ground.home / f"home{number}"
        fresh.append(await asyncio.to_thread(_seconds_to_serve, home))
        again.append(await asyncio.to_thread(_seconds_to_serve, home))
        shutil.rmtree(home)
    said = f"slowest {max(fresh):.1f} s; on a home that was there {statistics.median(again):.1f} s"
    return [
        Row("hourglass up, first served request", statistics.median(fresh), 5, is_ceiling=True, unit=" s", said=said)
    ]


def _seconds_to_serve(home: Path) -> float:
    """Start, wait for the line that it prints once a request was served, and stop."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OWN)}
    own = {"HOURGLASS_HOME": str(home), "HOURGLASS_PORT": str(random.randrange(20_000, 32_000))}
    began = time.perf_counter()
    command = [sys.executable, "-m", "app", "up", "--json"]
    with subprocess.Popen(
        command, env=kept | own, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            seconds = time.perf_counter() - began
            assert line, "it did not start; is one of four ports in a row taken?"
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=60)
    return seconds
