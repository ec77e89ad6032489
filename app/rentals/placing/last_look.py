"""The last look: was a machine that is about to be destroyed, turned off or left still well when its rental left it?

A host may die unseen between two looks. What was charged since the machine last answered, or while it was off was last
seen, is then given back, once: a look that finds it well is written down, and what was given back is not given again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from app import wallet
from app.events import Event, record
from app.kit.ids import AccountId, RentalId
from app.kit.leases import bucket_name, fenced
from app.kit.money import dollars
from app.kit.reconcile import Round
from app.machines import ShellError
from app.providers import ProviderError
from app.rentals import queries
from app.rentals.models import AttemptRow, RunRow
from app.rentals.placing.booting import connection_of
from app.rentals.placing.power import LOST, held_power, seen_at
from app.rentals.runs import list_runs, shorten_run
from app.rentals.states import Stage, Status
from app.rentals.tools import Tools

_LOOK_SECONDS = 10
_STOPPED = "the machine no longer answered when it was stopped"
_HIBERNATED = "the machine no longer answered when it was to hibernate"
_DISK_LOST = "the machine was lost while it was off"


async def look(tools: Tools, this: Round, attempt: AttemptRow) -> None:
    """Give back what a rental was charged for a machine that no longer answers. Only for one that a stop has doomed."""
    run = await _unseen_run(tools, attempt)
    if run is None:
        return
    is_well = await (_answers if run.kind == "ran" else _is_there)(tools, attempt)
    at = tools.clock.now()
    account_id, rental_id = AccountId(attempt.account_id), RentalId(attempt.rental_id)
    async with tools.db.begin_unscoped() as session:
        await fenced(session, this.holding, [bucket_name(attempt.bucket)])
        await wallet.lock(session, account_id=account_id)
        rental = await queries.lock_rental(session, account_id=account_id, rental_id=rental_id)
        row = await queries.lock_attempt(session, account_id=account_id, rental_id=rental_id, number=attempt.number)
        if rental is None or row is None or row.status != "doomed":
            return
        last = row.answered_at if run.kind == "ran" else rental.heartbeat_at
        known = max(run.began_at, last or run.began_at)
        if is_well:
            row.answered_at = at
        elif given := await wallet.refund_host_fault(
            session,
            account_id=account_id,
            rental_id=rental_id,
            at=at,
            reason=_STOPPED,
            good_until=known,
        ):
            await _tell(session, attempt, given, _STOPPED, at=at)


async def look_before_rest(tools: Tools, this: Round, attempt: AttemptRow, *, is_running: bool) -> None:
    """Give back what a rental was charged for a machine that no longer answers, or that its cloud says is not running.

    Only for one that is to hibernate, and only the first time.
    """
    async with tools.db.begin_unscoped() as session:
        run = await _last_run(session, attempt)
    if run is None or run.ended_at is None or (attempt.answered_at is not None and attempt.answered_at >= run.ended_at):
        return
    answers = is_running and await _answers(tools, attempt)
    at = tools.clock.now()
    async with tools.db.begin_unscoped() as session:
        held = await held_power(session, this, attempt, status=Status.HIBERNATING)
        run = await _last_run(session, attempt)
        if held is None or run is None or run.ended_at is None:
            return
        rental, row = held
        if answers:
            row.answered_at = at
            return
        row.answered_at = known = max(run.began_at, min(run.ended_at, row.answered_at or run.began_at))
        if given := await shorten_run(session, rental, run, end=known, at=at, reason=_HIBERNATED):
            await _tell(session, attempt, given, _HIBERNATED, at=at)


async def give_back_lost_disk(tools: Tools, this: Round, attempt: AttemptRow) -> None:
    """Give back what a rental that is to be resumed was charged for its machine's disk since that was last seen.

    For a machine that is gone. Doing so again gives nothing.
    """
    at = tools.clock.now()
    async with tools.db.begin_unscoped() as session:
        await fenced(session, this.holding, [bucket_name(attempt.bucket)])
        await wallet.lock(session, account_id=AccountId(attempt.account_id))
        rental = await queries.lock_rental(session, account_id=attempt.account_id, rental_id=attempt.rental_id)
        run = await _last_run(session, attempt, kinds=("hibernated",))
        if rental is None or rental.stage != Stage.RESUMING or run is None or rental.heartbeat_at is None:
            return
        known = max(run.began_at, rental.heartbeat_at)
        if given := await shorten_run(session, rental, run, end=known, at=at, reason=_DISK_LOST):
            await _tell(session, attempt, given, _DISK_LOST, at=at)


async def _last_run(session: AsyncSession, attempt: AttemptRow, *, kinds: Sequence[str] = ("ran",)) -> RunRow | None:
    """Return the rental's last stretch, if it is of such a kind and on this machine."""
    runs = await list_runs(session, account_id=AccountId(attempt.account_id), rental_id=attempt.rental_id)
    return runs[-1] if runs and runs[-1].kind in kinds and runs[-1].attempt == attempt.number else None


async def _tell(session: AsyncSession, attempt: AttemptRow, given: int, reason: str, *, at: datetime) -> None:
    data = {"amount": dollars(given), "reason": reason}
    account_id, rental_id = AccountId(attempt.account_id), RentalId(attempt.rental_id)
    await record(session, Event(account_id, rental_id, "rental.refunded", at, data=data))


async def _unseen_run(tools: Tools, attempt: AttemptRow) -> RunRow | None:
    """Return the stretch that a stop ended on this machine, unless the machine has answered since."""
    if attempt.reason is not None or attempt.live_at is None or attempt.destroy_tries:
        return None
    async with tools.db.begin_unscoped() as session:
        rental = await queries.find_rental(session, account_id=attempt.account_id, rental_id=attempt.rental_id)
        run = await _last_run(session, attempt, kinds=("ran", "hibernated"))
    if rental is None or run is None or run.ended_at is None or run.ended_at != rental.ended_at:
        return None
    return None if attempt.answered_at is not None and attempt.answered_at >= run.ended_at else run


async def _is_there(tools: Tools, attempt: AttemptRow) -> bool:
    try:
        machine = await seen_at(tools.providers[attempt.provider], attempt)
    except ProviderError:  # a cloud that does not answer proves nothing
        return True
    return machine is not None and machine.status not in LOST


async def _answers(tools: Tools, attempt: AttemptRow) -> bool:
    if attempt.connection is None:
        return False
    try:
        async with tools.open_shell(
            connection_of(attempt),
            private_key=tools.platform_key.private,
            deadline_seconds=_LOOK_SECONDS,
            known_host=attempt.host_key,
        ) as shell:
            return (await shell.run("nvidia-smi -L", deadline_seconds=_LOOK_SECONDS)).status == 0
    except ShellError:
        return False
