"""What must be so after a day, however it went."""

from __future__ import annotations

import math
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

from app.ledger import invariants as ledger_invariants
from app.lots import invariants as lot_invariants
from app.refills import invariants as refill_invariants
from app.rentals import invariants as rental_invariants
from app.sandbox.machines import Truth
from app.topups.payments import invariants as topup_invariants
from app.wallet import invariants as wallet_invariants
from tests.simulation.clouds import is_strange
from tests.simulation.customers import Customer
from tests.simulation.days import DEPLOYMENT, Day

_ROOMS = (ledger_invariants, wallet_invariants, lot_invariants, refill_invariants, topup_invariants)
_PREFIX = f"hg-{DEPLOYMENT}-rent_"
_RUNS = """
SELECT s.rental_id, s.began_at, s.ended_at, s.ended_because, s.rate, a.machine_id FROM rental_runs s
JOIN attempts a ON a.account_id = s.account_id AND a.rental_id = s.rental_id AND a.number = s.attempt
WHERE s.kind = 'ran'
"""


async def broken(day: Day, customers: list[Customer]) -> list[str]:
    """Return every sentence of every room that does not hold now."""
    async with day.databases.worker.begin_unscoped() as session:
        found = [str(one) for one in (await rental_invariants.broken(session)).items()]
        for room in _ROOMS:
            found += [str(one) for one in await room.broken_for(session, [one.account for one in customers])]
    return found


async def at_rest(day: Day) -> bool:
    """Say whether nothing is under way any more."""
    moving = await day.admin.fetchval(
        "SELECT (SELECT count(*) FROM rentals WHERE status NOT IN ('stopped', 'failed')) "
        "+ (SELECT count(*) FROM attempts WHERE status <> 'gone')"
    )
    return not moving and not await _left(day)


async def _left(day: Day) -> list[Truth]:
    """Return the machines that are left and should not be.

    One whose cloud dropped our marker, and whose id no answer told us, is beyond anybody's knowledge.
    """
    known = {row["machine_id"] for row in await day.admin.fetch("SELECT machine_id FROM attempts")}
    found = [one for one in day.sky.ours() if (one.marker or "").startswith(_PREFIX) or one.id in known]
    day.seen["audit.a machine that nobody can know"] += len(day.sky.ours()) - len(found)
    return found


async def audit(day: Day, customers: list[Customer]) -> list[str]:
    """Return everything that is wrong with a day that is over."""
    wrong = await broken(day, customers)
    wrong += [f"orphan {one}" for one in await _left(day)]
    strangers = [one for one in day.sky.world.fleet.truth() if is_strange(one)]
    wrong += [f"a stranger's machine was ended: {one}" for one in strangers if one.ended_at is not None]
    rows = {row["id"]: row for row in await day.admin.fetch("SELECT * FROM rentals")}
    wrong += [
        f"stuck {row['id']} {row['status']} {row['stage']}"
        for row in rows.values()
        if row["status"] not in {"stopped", "failed"}
    ]
    for customer in customers:
        wrong += [f"acknowledged and lost: {rental}" for rental in customer.rentals if rental not in rows]
        wrong += [
            f"{rental} ended {rows[rental]['ended_at']} though its stop was accepted at {at}"
            for rental, at in customer.stopped.items()
            if rental in rows and rows[rental]["ended_at"] > at
        ]
        wrong += await _money(day, customer)
    return wrong + await unusable(day)


async def _money(day: Day, customer: Customer) -> list[str]:
    row = await day.admin.fetchrow(
        "SELECT available, reserved, (SELECT coalesce(sum(charged - refunded), 0)::bigint FROM holds h "
        "WHERE h.account_id = w.account_id) AS spent FROM wallets w WHERE account_id = $1",
        customer.account,
    )
    if row["reserved"] == 0 and row["available"] + row["spent"] == customer.paid_in and row["available"] >= 0:
        return []
    return [f"{customer.account} paid in {customer.paid_in}, has {dict(row)}"]


async def unusable(day: Day) -> list[str]:
    """Return every rental that was charged for more seconds than it had a machine that could be used."""
    machines = {machine.id: machine for machine in day.sky.world.fleet.truth()}
    allowed: Counter[str] = Counter()
    told: dict[str, list[str]] = {}
    for run in await day.admin.fetch(_RUNS):
        machine, ended_at = machines[run["machine_id"]], run["ended_at"] or day.timeline.at
        seconds = (ended_at - run["began_at"]) / timedelta(seconds=1)
        lost = uncovered(run["began_at"], ended_at, machine.usable)
        allowed[run["rental_id"]] += math.ceil(run["rate"] * (seconds - lost) / 3600)
        told.setdefault(run["rental_id"], []).append(
            f"{machine.provider} {machine.id} {run['began_at']:%H:%M:%S}-{ended_at:%H:%M:%S} {run['ended_because']}, "
            f"usable {_spans(machine.usable)}"
        )
    costs = await day.admin.fetch("SELECT rental_id, charged - refunded AS cost FROM holds")
    return [
        f"{row['rental_id']} cost {row['cost']} and could be used for {allowed[row['rental_id']]}: {told.get(row['rental_id'])}"
        for row in costs
        if row["cost"] > allowed[row["rental_id"]]
    ]


def uncovered(start: datetime, end: datetime, spans: Any) -> float:
    """Return how many seconds between two moments lie outside some spans."""
    left = (end - start) / timedelta(seconds=1)
    for begins, ends in spans:
        inside = (min(end, ends or end) - max(start, begins)) / timedelta(seconds=1)
        left -= max(0.0, inside)
    return left


def _spans(spans: Any) -> str:
    return ", ".join(f"{begins:%H:%M:%S}-{ends and format(ends, '%H:%M:%S')}" for begins, ends in spans)
