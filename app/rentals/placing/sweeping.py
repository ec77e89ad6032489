"""Sweeping: every machine with our marker belongs to a live attempt, or it goes.

An orphan is a machine with this deployment's marker whose attempt is over or does not exist. Strangers' machines, and
those of other deployments in the same cloud account, are never listed here. The way back (a live row whose machine is
gone) is the watch's.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.leases import fenced
from app.kit.reconcile import Round
from app.providers import Machine, MachineStatus
from app.rentals import finding, queries
from app.rentals.models import OrphanRow
from app.rentals.tools import Tools

_ON_THEIR_WAY = frozenset({MachineStatus.DELETING, MachineStatus.GONE})


def lease_name(provider: str) -> str:
    """Return the lease under which one worker sweeps a cloud."""
    return f"provider:{provider}"


async def sweep(tools: Tools, this: Round, provider: str) -> str:
    """Look through one cloud's machines of ours and deal with those that nobody owns."""
    machines = [
        machine
        for machine in await tools.providers[provider].list_machines(tools.marker_prefix)
        if machine.status not in _ON_THEIR_WAY
    ]
    at = tools.clock.now()
    async with tools.db.begin_unscoped() as session:
        await fenced(session, this.holding, [lease_name(provider)])
        unowned = await _unowned(session, tools, machines, at=at)
        ripe = await _note(session, tools, provider, unowned, at=at)
    for machine in ripe:
        await tools.providers[provider].destroy(machine.machine_id)
    return "destroyed" if ripe else "watching" if unowned else "clean"


async def _unowned(session: AsyncSession, tools: Tools, machines: list[Machine], *, at: datetime) -> list[Machine]:
    """Return the machines without an attempt; one whose attempt is over is doomed again, by its own row.

    A cloud may make two machines of one create: the attempt owns the one it knows, the other is nobody's.
    """
    claims = {machine.marker: tools.attempt_of(machine.marker or "") for machine in machines}
    owners = await finding.find_owners(session, rentals=[claim for claim in claims.values() if claim])
    known = {(rental, number): (account, its, status) for account, rental, number, its, status in owners}
    unowned = []
    for machine in machines:
        claim = claims[machine.marker]
        owner = known.get(claim) if claim else None
        if owner is None or claim is None:
            unowned.append(machine)
            continue
        account_id, its, status = owner
        if status == "gone":
            await _doom_again(session, account_id, *claim, machine=machine, at=at)
        elif its is not None and its != machine.machine_id:
            unowned.append(machine)
    return unowned


async def _doom_again(
    session: AsyncSession, account_id: str, rental_id: str, number: int, *, machine: Machine, at: datetime
) -> None:
    """A machine turned up, or is still there, after its attempt was closed."""
    row = await queries.lock_attempt(session, account_id=account_id, rental_id=rental_id, number=number)
    if row is not None and row.status == "gone":
        row.status, row.machine_id, row.next_at, row.gone_at = "doomed", machine.machine_id, at, None


async def _note(
    session: AsyncSession, tools: Tools, provider: str, unowned: list[Machine], *, at: datetime
) -> list[Machine]:
    """Remember unowned machines; return those that have been so for long enough."""
    grace = timedelta(seconds=tools.limits_for(provider).orphan_seconds)
    seen = {row.machine_id: row for row in await finding.list_orphans(session, provider=provider)}
    present = {machine.machine_id for machine in unowned}
    for machine in unowned:
        row = seen.get(machine.machine_id)
        if row is None:
            await _first_seen(session, provider, machine, at=at)
        else:
            row.last_seen_at = at
    for row in seen.values():
        if row.machine_id not in present:
            row.destroyed_at = at
    return [m for m in unowned if (row := seen.get(m.machine_id)) is not None and row.first_seen_at + grace <= at]


async def _first_seen(session: AsyncSession, provider: str, machine: Machine, *, at: datetime) -> None:
    values = {
        "marker": machine.marker or "",
        "first_seen_at": at,
        "last_seen_at": at,
        "destroyed_at": None,
        "price_micros_per_hour": machine.price_micros_per_hour,
        "created_at": machine.created_at,
    }
    statement = insert(OrphanRow).values(provider=provider, machine_id=machine.machine_id, **values)
    await session.execute(statement.on_conflict_do_update(index_elements=["provider", "machine_id"], set_=values))
