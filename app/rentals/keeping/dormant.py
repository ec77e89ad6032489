"""Watching what hibernates: is what we bill a disk for still there, and still off?

A cloud's list is the pulse. A machine that its cloud has started again is turned off; one that the cloud says is gone,
or that was not seen for ``host_lost_seconds`` though it was asked for, is lost: billed to its last pulse.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta

from app import wallet
from app.kit.ids import AccountId, RentalId
from app.kit.leases import bucket_name, fenced
from app.kit.reconcile import Round
from app.providers import Machine, MachineStatus, Provider, ProviderError
from app.rentals import finding
from app.rentals.models import AttemptRow
from app.rentals.placing.power import LOST, OFF, give_up_for_lost, held_power, seen_at, turn_off
from app.rentals.states import Status
from app.rentals.tools import Tools


async def look_after(tools: Tools, this: Round, provider: str) -> str:
    """Take the pulse of everything of ours that hibernates at one cloud. A cloud that does not answer proves nothing."""
    async with tools.db.begin_unscoped() as session:
        dormant = await finding.list_hibernated(session, provider=provider, buckets=this.holding.buckets)
    if not dormant:
        return "nothing_hibernates"
    cloud = tools.providers[provider]
    machines = {machine.machine_id: machine for machine in await cloud.list_machines(tools.marker_prefix)}
    present = [attempt for attempt in dormant if _is_there(machines, attempt)]
    await _beat(tools, this, present)
    await _turn_off_again(cloud, present, machines)
    missing = [attempt for attempt in dormant if not _is_there(machines, attempt)]
    outcomes = [await _judge(tools, this, cloud, attempt) for attempt in missing]
    return next((said for said in ("lost", "doubted") if said in outcomes), "well")


def _is_there(machines: Mapping[str, Machine], attempt: AttemptRow) -> bool:
    machine = machines.get(attempt.machine_id or "")
    return machine is not None and machine.status not in LOST


async def _beat(tools: Tools, this: Round, present: Sequence[AttemptRow]) -> None:
    if not present:
        return
    async with tools.db.begin_unscoped() as session:
        await fenced(session, this.holding, [bucket_name(attempt.bucket) for attempt in present])
        rentals = [(attempt.account_id, attempt.rental_id) for attempt in present]
        await finding.save_heartbeats(session, rentals, at=tools.clock.now(), status=Status.HIBERNATED)


async def _turn_off_again(cloud: Provider, present: Sequence[AttemptRow], machines: Mapping[str, Machine]) -> None:
    for attempt in present:
        if machines[attempt.machine_id or ""].status is MachineStatus.RUNNING:
            with suppress(ProviderError):  # asked again at the next look
                await turn_off(cloud, attempt)


async def _judge(tools: Tools, this: Round, cloud: Provider, attempt: AttemptRow) -> str:
    """Decide about a machine that the list leaves out, which is no word of its end yet."""
    try:
        machine = await seen_at(cloud, attempt)
    except ProviderError:
        return "doubted"
    if machine is not None and (machine.status in OFF or machine.status not in LOST):
        await _beat(tools, this, [attempt])
        return "well"
    at = tools.clock.now()
    patience = timedelta(seconds=tools.limits_for(attempt.provider).host_lost_seconds)
    async with tools.db.begin_unscoped() as session:
        held = await held_power(session, this, attempt, status=Status.HIBERNATED)
        if held is None:
            return "moved_on"
        rental, row = held
        pulse = min(at, max(rental.heartbeat_at or at, rental.hibernated_at or at))
        if pulse + patience > at:
            return "doubted"
        await give_up_for_lost(session, rental, row, end=pulse, at=at)
        await wallet.refund_host_fault(
            session,
            account_id=AccountId(rental.account_id),
            rental_id=RentalId(rental.id),
            at=at,
            reason="the machine was lost",
            good_until=pulse,
        )
    return "lost"
