"""What must be so after a day, however it went."""

from __future__ import annotations

import math

from app import audit as audit_book
from app.costs import invariants as cost_invariants
from app.ledger import invariants as ledger_invariants
from app.lots import invariants as lot_invariants
from app.providers.modal_cloud.adapter import MACHINE_SECONDS_MAX
from app.refills import invariants as refill_invariants
from app.rentals import completeness
from app.rentals import invariants as rental_invariants
from app.sandbox.machines import Truth
from app.topups.payments import invariants as topup_invariants
from app.wallet import invariants as wallet_invariants
from tests.simulation.clouds import is_strange
from tests.simulation.customers import Customer
from tests.simulation.days import DEPLOYMENT, Day
from tests.simulation.stretches import LINES, RUNS, overcharged

_ROOMS = (ledger_invariants, wallet_invariants, lot_invariants, refill_invariants, topup_invariants)
_PREFIX = f"hg-{DEPLOYMENT}-rent_"
_CENT = 10_000


async def broken(day: Day, customers: list[Customer]) -> list[str]:
    """Return every sentence of every room that does not hold now."""
    async with day.databases.worker.begin_unscoped() as session:
        found = [str(one) for one in (await rental_invariants.broken(session)).items()]
        for room in _ROOMS:
            found += [str(one) for one in await room.broken_for(session, [one.account for one in customers])]
        found += [str(one) for one in (await cost_invariants.broken(session, at=day.timeline.at)).items()]
        found += [str(one) for one in await completeness.untold_for(session, [one.account for one in customers])]
        for customer in customers:
            told = await audit_book.verify(session, account_id=customer.account)
            found += [] if told.ok else [f"the audit of {customer.account} does not verify: {told}"]
    return found + day.surprises


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
    wrong += [f"a stranger's machine was ended: {one}" for one in strangers if _ended_early(one)]
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
        wrong += await _unheeded(day, customer)
    return wrong + await _overcharged(day) + await _costs(day)


async def _money(day: Day, customer: Customer) -> list[str]:
    row = await day.admin.fetchrow(
        "SELECT available, reserved, (SELECT coalesce(sum(charged - refunded), 0)::bigint FROM holds h "
        "WHERE h.account_id = w.account_id) AS spent FROM wallets w WHERE account_id = $1",
        customer.account,
    )
    if row["reserved"] == 0 and row["available"] + row["spent"] == customer.paid_in and row["available"] >= 0:
        return []
    return [f"{customer.account} paid in {customer.paid_in}, has {dict(row)}"]


async def _overcharged(day: Day) -> list[str]:
    """Return every stretch that was charged for seconds in which there was nothing to use."""
    machines = {machine.id: machine for machine in day.sky.world.fleet.truth()}
    runs, lines = await day.admin.fetch(RUNS), await day.admin.fetch(LINES)
    found, count = overcharged(runs, lines, machines, now=day.timeline.at)
    day.seen["audit.stretches"] += count
    for run in runs:
        day.seen[f"{run['kind']} on {machines[run['machine_id']].provider}"] += 1
    return found


async def _unheeded(day: Day, customer: Customer) -> list[str]:
    """Return every change that was acknowledged and after which the stretch before it was billed on."""
    wrong = []
    for kind, rental_id, at in customer.changed:
        billed = await day.admin.fetchval(
            "SELECT count(*) FROM rental_runs WHERE rental_id = $1 AND kind = $2 AND began_at < $3 "
            "AND (ended_at IS NULL OR ended_at > $3)",
            rental_id, kind, at,
        )  # fmt: skip
        if billed:
            wrong.append(f"{rental_id} was billed as one that {kind} though its end was accepted at {at}")
    return wrong


async def _costs(day: Day) -> list[str]:
    """Return every machine whose exact cost is another than it really was."""
    truth = {(machine.provider, machine.id): machine.cost_micros for machine in day.sky.world.fleet.truth()}
    rows = await day.admin.fetch("SELECT provider, machine_id, micros FROM machine_costs WHERE exact")
    return [
        f"{row['provider']} {row['machine_id']} cost {truth[row['provider'], row['machine_id']]}, noted {row['micros']}"
        for row in rows
        if abs(truth[row["provider"], row["machine_id"]] - row["micros"]) > _CENT
    ]


def _ended_early(machine: Truth) -> bool:
    """Say whether a machine that is nobody's here is gone, and not because its cloud lets none run for longer."""
    seconds_max = {"modal": MACHINE_SECONDS_MAX}.get(machine.provider, math.inf)
    return machine.ended_at is not None and (machine.ended_at - machine.created_at).total_seconds() < seconds_max
