"""Watching: is what we bill for still there? A cloud's list is the pulse; SSH settles a doubt.

A machine counts as well when its cloud says that it runs; every few minutes, whenever in doubt, and once its cloud has
given notice, it must answer over SSH as well. What may be interrupted (spot, or a cloud that ends machines by the clock)
is interrupted as soon as its cloud says so too, and anything when its cloud has given notice. Any other that was not
well for ``host_lost_seconds`` is lost. What is lost is billed until it last answered, and refunded if it was young. A
machine that is asked tells how busy its GPUs are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zlib import crc32

from app import wallet
from app.kit.ids import AccountId, RentalId
from app.kit.leases import bucket_name, fenced
from app.kit.reconcile import Round
from app.machines import ShellError, look
from app.providers import Gone, Machine, MachineStatus, ProviderError
from app.rentals import finding
from app.rentals.keeping.idleness import Sample, save_use
from app.rentals.keeping.interrupting import Because, interrupt, may_be_interrupted, notice_of, told
from app.rentals.keeping.live import Live, held_live, last_pulse, list_live, run_began
from app.rentals.models import AttemptRow
from app.rentals.placing.booting import connection_of
from app.rentals.placing.giving_up import doom, failure
from app.rentals.runs import end_run
from app.rentals.states import Status, move
from app.rentals.tools import Tools

_PROBE_EVERY_SECONDS = (240, 300)
"""How long no answer is asked for: not all at once, though they began together."""
_PROBE_SECONDS = 15
_PROBES_AT_ONCE = 16


@dataclass(slots=True)
class Watch:
    """What one worker remembers between rounds: whom it doubts."""

    doubted: set[str] = field(default_factory=set)


async def watch(tools: Tools, memory: Watch, this: Round, provider: str) -> str:
    """Take the pulse of everything of ours that runs at one cloud. A cloud that does not answer proves nothing."""
    async with tools.db.begin_unscoped() as session:
        live = await list_live(session, provider=provider, buckets=this.holding.buckets)
    if not live:
        return "nothing_runs"
    machines = {m.machine_id: m for m in await tools.providers[provider].list_machines(tools.marker_prefix)}
    unwell, answered = await _doubt(tools, memory, live, machines, provider)
    memory.doubted = {one.rental_id for one in unwell}
    well = [one for one in live if one.rental_id not in memory.doubted]
    noticed = await _take_notices(tools, this, provider, well, machines)
    await _beat(tools, this, well, answered)
    outcomes = [await _judge(tools, this, provider, one, machines.get(one.machine_id)) for one in unwell]
    return next(
        (said for said in ("lost", "interrupted") if said in outcomes + noticed), "doubted" if unwell else "well"
    )


async def _doubt(
    tools: Tools, memory: Watch, live: Sequence[Live], machines: Mapping[str, Machine], provider: str
) -> tuple[list[Live], list[Sample]]:
    """Ask those that their cloud does not say to be well or is about to take back, or whose turn it is.

    Return who did not answer, and what the others told.
    """
    at = tools.clock.now()
    running = {m.machine_id for m in machines.values() if m.status is MachineStatus.RUNNING}
    capability = tools.providers[provider].capability
    doubtful = [
        one
        for one in live
        if one.machine_id not in running
        or _due_for_probe(memory, one, at=at)
        or notice_of(machines[one.machine_id], one, capability, at=at) is not None
    ]
    gate = asyncio.Semaphore(_PROBES_AT_ONCE)
    answers = await asyncio.gather(*(_answers(tools, gate, one) for one in doubtful))
    asked = list(zip(doubtful, answers, strict=True))
    unwell = [one for one, told in asked if told is None]
    return unwell, [Sample(one.account_id, one.rental_id, one.number, told) for one, told in asked if told is not None]


async def _take_notices(
    tools: Tools, this: Round, provider: str, well: Sequence[Live], machines: Mapping[str, Machine]
) -> list[str]:
    """Act on what a cloud has said of machines that it will take back."""
    capability, at = tools.providers[provider].capability, tools.clock.now()
    outcomes = []
    for one in well:
        machine = machines.get(one.machine_id)
        ends = None if machine is None else notice_of(machine, one, capability, at=at)
        if ends is not None and ends > at:
            outcomes.append(await interrupt(tools, this, one, "notice", preempts_at=ends))
    return outcomes


async def _judge(tools: Tools, this: Round, provider: str, one: Live, machine: Machine | None) -> str:
    """Decide about a machine that is not well: wait, interrupt, or give it up for lost."""
    at = tools.clock.now()
    patience = timedelta(seconds=tools.limits_for(provider).host_lost_seconds)
    overdue = (one.heartbeat_at or at) + patience <= at
    if may_be_interrupted(one, tools.providers[provider].capability):
        because = await _reason(tools, provider, one, machine)
        if because is not None or overdue:
            return await interrupt(tools, this, one, because or "unreachable")
    elif overdue:
        await lose(tools, this, one)
        return "lost"
    return "doubted"


async def _reason(tools: Tools, provider: str, one: Live, machine: Machine | None) -> Because | None:
    """Return what the cloud says of the loss; that a list leaves a machine out is no word of it yet."""
    if machine is not None:
        return told(machine)
    try:
        return told(await tools.providers[provider].get_machine(one.machine_id))
    except Gone:
        return "gone"
    except ProviderError:
        return None


async def lose(tools: Tools, this: Round, one: Live) -> None:
    """End a rental whose host is lost: charge until it last answered, give this run's charge back if it hardly ran."""
    at = tools.clock.now()
    account_id, rental_id = AccountId(one.account_id), RentalId(one.rental_id)
    async with tools.db.begin_unscoped() as session:
        held = await held_live(session, this, one)
        if held is None:
            return
        rental, attempt = held
        began, end = run_began(rental, at=at), last_pulse(rental, one, at=at)
        await wallet.close(session, account_id=account_id, rental_id=rental_id, at=at, billable_until=end)
        await end_run(session, rental, end=end, at=at, because="host_lost")
        young = end < began + timedelta(seconds=tools.limits_for(attempt.provider).full_refund_seconds)
        await wallet.refund_host_fault(
            session,
            account_id=account_id,
            rental_id=rental_id,
            at=at,
            reason="the host was lost",
            good_until=began if young else end,
        )
        doom(attempt, at=at, reason="host_lost", message="The machine no longer answers.", nothing_there=False)
        rental.ended_at, rental.settled_at = end, at
        rental.failure = failure("host_lost", stage=None, message="The machine no longer answers.")
        await move(session, rental, Status.FAILED, at=at, data={"reason": "host_lost"})


def _due_for_probe(memory: Watch, one: Live, *, at: datetime) -> bool:
    if one.answered_at is None or one.rental_id in memory.doubted:
        return True
    least, most = _PROBE_EVERY_SECONDS
    every = least + crc32(one.rental_id.encode()) % (most - least)
    return one.answered_at + timedelta(seconds=every) <= at


async def _answers(tools: Tools, gate: asyncio.Semaphore, one: Live) -> Mapping[int, int] | None:
    """Return how busy each GPU is, as far as it tells; None where the machine or its GPUs don't answer."""
    async with tools.db.begin_unscoped() as session:
        attempt = await session.get(AttemptRow, (one.account_id, one.rental_id, one.number))
    if attempt is None or attempt.connection is None:
        return None
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
            return await look(shell)
    except ShellError:
        return None


async def _beat(tools: Tools, this: Round, well: list[Live], answered: list[Sample]) -> None:
    if not well:
        return
    async with tools.db.begin_unscoped() as session:
        await fenced(session, this.holding, [bucket_name(one.bucket) for one in well])
        at = tools.clock.now()
        await finding.save_heartbeats(session, [(one.account_id, one.rental_id) for one in well], at=at)
        if answered:
            await save_use(session, answered, at=at)
            await finding.save_answers(session, [sample[:3] for sample in answered], at=at)
