"""The last look: did a machine that is about to be destroyed still answer when its rental was stopped?

A host may die unseen between two looks. What was charged since the machine last answered is then given back, once: a look
that finds it well is written down, and what was given back is not given again.
"""

from __future__ import annotations

from app import wallet
from app.events import Event, record
from app.kit.ids import AccountId, RentalId
from app.kit.leases import bucket_name, fenced
from app.kit.money import dollars
from app.kit.reconcile import Round
from app.machines import ShellError
from app.rentals import queries
from app.rentals.models import AttemptRow, RunRow
from app.rentals.placing.booting import connection_of
from app.rentals.runs import list_runs
from app.rentals.tools import Tools

_LOOK_SECONDS = 10


async def look(tools: Tools, this: Round, attempt: AttemptRow) -> None:
    """Give back what a rental was charged for a machine that no longer answers. Only for one that a stop has doomed."""
    run = await _unseen_run(tools, attempt)
    if run is None:
        return
    answers = await _answers(tools, attempt)
    at = tools.clock.now()
    account_id, rental_id = AccountId(attempt.account_id), RentalId(attempt.rental_id)
    async with tools.db.begin_unscoped() as session:
        await fenced(session, this.holding, [bucket_name(attempt.bucket)])
        await wallet.lock(session, account_id=account_id)
        await queries.lock_rental(session, account_id=account_id, rental_id=rental_id)
        row = await queries.lock_attempt(session, account_id=account_id, rental_id=rental_id, number=attempt.number)
        if row is None or row.status != "doomed":
            return
        known = max(run.began_at, row.answered_at or run.began_at)
        if answers:
            row.answered_at = at
        elif given := await wallet.refund_host_fault(
            session,
            account_id=account_id,
            rental_id=rental_id,
            at=at,
            reason="the machine no longer answered when it was stopped",
            good_until=known,
        ):
            data = {"amount": dollars(given), "reason": "the machine no longer answered when it was stopped"}
            await record(session, Event(account_id, rental_id, "rental.refunded", at, data=data))


async def _unseen_run(tools: Tools, attempt: AttemptRow) -> RunRow | None:
    """Return the stretch that a stop ended on this machine, unless the machine has answered since."""
    if attempt.reason is not None or attempt.live_at is None or attempt.destroy_tries:
        return None
    async with tools.db.begin_unscoped() as session:
        rental = await queries.find_rental(session, account_id=attempt.account_id, rental_id=attempt.rental_id)
        runs = await list_runs(session, account_id=AccountId(attempt.account_id), rental_id=attempt.rental_id)
    if rental is None or not runs:
        return None
    run = runs[-1]
    if run.kind != "ran" or run.attempt != attempt.number or run.ended_at is None or run.ended_at != rental.ended_at:
        return None
    return None if attempt.answered_at is not None and attempt.answered_at >= run.ended_at else run


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
