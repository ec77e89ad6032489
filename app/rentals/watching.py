"""Watching: is what we bill for still there? A cloud's list is the pulse; SSH settles a doubt.

A machine counts as well when its cloud says that it runs; every few rounds, and whenever in doubt, it must answer over
SSH as well. One that was not well for ``host_lost_seconds`` is lost: billed to its last pulse, refunded if it was young.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple
from zlib import crc32

from app import wallet
from app.kit.ids import AccountId, RentalId
from app.kit.leases import bucket_name, fenced
from app.kit.reconcile import Round
from app.machines import ShellError
from app.providers import MachineStatus
from app.rentals import queries
from app.rentals.booting import connection_of
from app.rentals.giving_up import doom, failure
from app.rentals.models import AttemptRow
from app.rentals.runs import end_run
from app.rentals.states import Status, move
from app.rentals.tools import Tools

_PROBE_EVERY_ROUNDS = 10
_PROBE_SECONDS = 15
_PROBES_AT_ONCE = 16


class Live(NamedTuple):
    """A running rental with its machine."""

    account_id: str
    rental_id: str
    number: int
    bucket: int
    machine_id: str
    heartbeat_at: datetime | None


@dataclass(slots=True)
class Watch:
    """What one worker remembers between rounds: how many there were, and whom it doubts."""

    rounds: int = 0
    doubted: set[str] = field(default_factory=set)


async def watch(tools: Tools, memory: Watch, this: Round, provider: str) -> str:
    """Take the pulse of everything of ours that runs at one cloud. A cloud that does not answer proves nothing."""
    async with tools.db.begin_unscoped() as session:
        found = await queries.find_live(session, provider=provider, buckets=this.holding.buckets)
    if not found:
        return "nothing_runs"
    live = [Live(*row) for row in found]
    machines = {m.machine_id: m for m in await tools.providers[provider].list_machines(tools.marker_prefix)}
    memory.rounds += 1
    running = {m.machine_id for m in machines.values() if m.status is MachineStatus.RUNNING}
    doubtful = [one for one in live if one.machine_id not in running or _due_for_probe(memory, one)]
    gate = asyncio.Semaphore(_PROBES_AT_ONCE)
    answered = await asyncio.gather(*(_answers(tools, gate, one) for one in doubtful))
    unwell = {one.rental_id for one, ok in zip(doubtful, answered, strict=True) if not ok}
    memory.doubted = {one.rental_id for one in live if one.rental_id in unwell}
    await _beat(tools, this, [one for one in live if one.rental_id not in unwell])
    at = tools.clock.now()
    patience = timedelta(seconds=tools.limits_for(provider).host_lost_seconds)
    lost = [one for one in live if one.rental_id in unwell and (one.heartbeat_at or at) + patience <= at]
    for one in lost:
        await lose(tools, this, one)
    return "lost" if lost else "doubted" if unwell else "well"


async def lose(tools: Tools, this: Round, one: Live) -> None:
    """End a rental whose host is lost: charge to the last pulse, give everything back if it hardly ran."""
    at = tools.clock.now()
    account_id, rental_id = AccountId(one.account_id), RentalId(one.rental_id)
    async with tools.db.begin_unscoped() as session:
        await fenced(session, this.holding, [bucket_name(one.bucket)])
        await wallet.lock(session, account_id=account_id)
        rental = await queries.lock_rental(session, account_id=account_id, rental_id=rental_id)
        attempt = await queries.find_alive(session, account_id=account_id, rental_id=rental_id)
        if rental is None or rental.status != Status.RUNNING or attempt is None or rental.running_at is None:
            return
        end = max(rental.running_at, min(at, rental.heartbeat_at or at))
        await wallet.close(session, account_id=account_id, rental_id=rental_id, at=at, billable_until=end)
        await end_run(session, rental, at=end, because="host_lost")
        limits = tools.limits_for(attempt.provider)
        young = end < rental.running_at + timedelta(seconds=limits.full_refund_seconds)
        await wallet.refund_host_fault(
            session,
            account_id=account_id,
            rental_id=rental_id,
            at=at,
            reason="the host was lost",
            good_until=None if young else end,
        )
        doom(attempt, at=at, reason="host_lost", message="The machine no longer answers.", nothing_there=False)
        rental.ended_at, rental.settled_at = end, at
        rental.failure = failure("host_lost", stage=None, message="The machine no longer answers.")
        await move(session, rental, Status.FAILED, at=at, data={"reason": "host_lost"})


def _due_for_probe(memory: Watch, one: Live) -> bool:
    turn = crc32(one.rental_id.encode()) % _PROBE_EVERY_ROUNDS == memory.rounds % _PROBE_EVERY_ROUNDS
    return turn or one.rental_id in memory.doubted


async def _answers(tools: Tools, gate: asyncio.Semaphore, one: Live) -> bool:
    async with tools.db.begin_unscoped() as session:
        attempt = await session.get(AttemptRow, (one.account_id, one.rental_id, one.number))
    if attempt is None or attempt.connection is None:
        return False
    try:
        async with (
            gate,
            tools.open_shell(
                connection_of(attempt),
                private_key=tools.platform_key.private,
                deadline_seconds=_PROBE_SECONDS,
                known_host=attempt.host_key,
            ) as shell,
        ):
            answer = await shell.run("nvidia-smi -L")
            return answer.status == 0
    except ShellError:
        return False


async def _beat(tools: Tools, this: Round, well: list[Live]) -> None:
    if not well:
        return
    async with tools.db.begin_unscoped() as session:
        await fenced(session, this.holding, [bucket_name(one.bucket) for one in well])
        await queries.save_heartbeats(session, [(one.account_id, one.rental_id) for one in well], at=tools.clock.now())
