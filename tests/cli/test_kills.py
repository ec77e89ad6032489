"""Killing processes of a whole running service at random instants while rentals come and go, then looking for what is left."""

from __future__ import annotations

import os
import random
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import pytest

from .conftest import Service, free_ports, running

pytestmark = pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks at /proc")

OVER = ("stopped", "failed")
PAUSES = {"worker": (0.3, 1.5), "api": (0.3, 1.5), "postgres": (1.5, 3.0)}
"""Seconds between kills. A PostgreSQL that is killed more than ten times a minute is given up on."""


@pytest.mark.parametrize("victim", ["worker", "api", "postgres"])
def test_kills_lose_no_rental_no_machine_and_no_cent(place: Path, victim: str) -> None:
    survives(place, [victim], seconds=6, customers=3)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_kills_of_everything_for_minutes(place: Path) -> None:
    survives(place, ["worker", "api"] * 10 + ["postgres"], seconds=240, customers=8)


def survives(place: Path, victims: list[str], *, seconds: float, customers: int) -> None:
    with running(place / "home", free_ports()) as service, ThreadPoolExecutor(customers) as pool:
        enough = Event()
        lives = [pool.submit(customer, service, number, enough) for number in range(customers)]
        kills = 0
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            name = random.choice(victims)
            time.sleep(random.uniform(*PAUSES[name]))
            kills += kill(service, name)
        enough.set()
        assert service.process.poll() is None, service.process.stderr.read()
        acknowledged = [rental for life in lives for rental in life.result()]
        assert kills > 0
        assert acknowledged
        books_are_right(service, acknowledged)


def customer(service: Service, number: int, enough: Event) -> list[str]:
    """Rent and stop, again and again, asking each thing until it is answered. Returns what was acknowledged."""
    rented = []
    turn = 0
    while not enough.is_set():
        turn += 1
        body = {"family": "rtx-4090", "max_price_per_hour": "2.00"}
        made = asked(service, "POST", "/v1/rentals", key=f"{number}-{turn}", json=body)
        if made.status_code == 409:
            time.sleep(0.5)
            continue
        assert made.status_code == 202, made.text
        rented.append(made.json()["id"])
        enough.wait(random.uniform(0, 4))
        assert asked(service, "POST", f"/v1/rentals/{rented[-1]}/stop").status_code in {200, 202}
    return rented


def asked(service: Service, method: str, path: str, *, key: str | None = None, json: Any = None) -> httpx.Response:
    """Ask until somebody answers: a connection that breaks or a 5xx says nothing about what happened."""
    headers = {"Idempotency-Key": key} if key else {}
    deadline = time.monotonic() + 60
    answer = None
    while time.monotonic() < deadline:
        with suppress(httpx.TransportError), service.api() as api:
            answer = api.request(method, path, headers=headers, json=json)
            in_progress = answer.status_code == 409 and answer.json()["code"] == "idempotency_in_progress"
            if answer.status_code < 500 and answer.status_code != 429 and not in_progress:
                return answer
        time.sleep(0.2)
    raise AssertionError(f"{method} {path} was never answered: {answer and answer.text}")


def books_are_right(service: Service, acknowledged: list[str]) -> None:
    deadline = time.monotonic() + 200
    while True:
        rentals = {one: asked(service, "GET", f"/v1/rentals/{one}").json() for one in set(acknowledged)}
        machines = httpx.get(f"{service.sandbox_url}/_sandbox/machines", timeout=20).json()["machines"]
        moving = [one["id"] for one in rentals.values() if one["status"] not in OVER]
        left = [machine["id"] for machine in machines if machine["ended_at"] is None]
        if not moving and not left:
            break
        assert time.monotonic() < deadline, (moving, left)
        time.sleep(0.5)
    wallet = asked(service, "GET", "/v1/wallet").json()
    charged = sum(micros(one["cost"]["charged"]) - micros(one["cost"]["refunded"]) for one in rentals.values())
    assert micros(wallet["reserved"]) == 0
    assert micros(wallet["available"]) + charged == 50_000_000
    assert asked(service, "GET", "/v1/billing/ledger/verify").json()["ok"] is True


def micros(dollars: str) -> int:
    whole, _, fraction = dollars.partition(".")
    return int(whole) * 1_000_000 + int(fraction.ljust(6, "0"))


def kill(service: Service, name: str) -> bool:
    pid = found(service, name)
    if pid is None:
        return False
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    return True


def found(service: Service, name: str) -> int | None:
    """Return a child by its log, or the postmaster by the data directory that it holds."""
    if name == "postgres":
        with suppress(OSError, ValueError):
            return int(next(service.home.glob("postgres/**/postmaster.pid")).read_text().split()[0])
        return None
    log = (service.home / "log" / f"{name}.log").resolve()
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and (entry / "fd" / "1").resolve() == log:
                return int(entry.name)
    return None
