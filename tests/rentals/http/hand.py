"""A hand that plays the worker: what reconcilers do over many rounds, done at once."""

from __future__ import annotations

from datetime import timedelta

from app import wallet
from app.kit.ids import RentalId
from app.kit.leases import bucket_of
from app.rentals import queries
from app.rentals.models import AttemptRow, LogRow
from app.rentals.runs import begin_run
from app.rentals.states import Status, move


class Hand:
    """Does by hand what the worker's reconcilers do."""

    def __init__(self, db, clock):
        self.db, self.clock = db, clock

    async def start(self, caller, rental_id):
        """The machine has passed its check."""
        at = self.clock.now()
        account_id, rental_id = caller.account_id, RentalId(rental_id)
        async with self.db.begin_unscoped() as session:
            await wallet.lock(session, account_id=account_id)
            row = await queries.lock_rental(session, account_id=account_id, rental_id=rental_id)
            session.add(
                AttemptRow(
                    account_id=account_id,
                    rental_id=rental_id,
                    number=1,
                    bucket=row.bucket,
                    status="live",
                    provider=row.listing["provider"],
                    offer_id=row.listing["offer_id"],
                    listing=row.listing,
                    marker=f"hg-test-{rental_id}-1",
                    machine_id="m-1",
                    connection={
                        "host": "203.0.113.7",
                        "port": 2201,
                        "username": "root",
                        "ports": {"8000": ["203.0.113.7", 40_001]},
                    },
                    created_at=at,
                    live_at=at,
                    destroy_tries=0,
                )
            )
            await wallet.start(session, account_id=account_id, rental_id=rental_id, at=at)
            await begin_run(session, row, attempt=1, at=at)
            row.attempts, row.running_at, row.heartbeat_at, row.next_at = 1, at, at, None
            if row.max_duration_seconds is not None:
                row.stop_at = at + timedelta(seconds=row.max_duration_seconds)
            await move(session, row, Status.RUNNING, at=at)

    async def settle(self, caller, rental_id):
        due = wallet.Due(caller.account_id, RentalId(rental_id), bucket_of(caller.account_id))
        async with self.db.begin_unscoped() as session:
            await wallet.settle(session, [due], at=self.clock.now())

    async def finish(self, caller, rental_id):
        """The machine is seen to be gone."""
        at = self.clock.now()
        async with self.db.begin_unscoped() as session:
            row = await queries.lock_rental(session, account_id=caller.account_id, rental_id=rental_id)
            attempt = await queries.lock_attempt(session, account_id=caller.account_id, rental_id=rental_id, number=1)
            attempt.status, attempt.gone_at, attempt.next_at = "gone", at, None
            await move(session, row, Status.STOPPED, at=at)

    async def log(self, caller, rental_id, *texts, exit_status=None):
        async with self.db.begin_unscoped() as session:
            row = await queries.lock_rental(session, account_id=caller.account_id, rental_id=rental_id)
            for text in texts:
                session.add(
                    LogRow(
                        account_id=caller.account_id,
                        rental_id=rental_id,
                        from_offset=row.log_offset,
                        text=text,
                        at=self.clock.now(),
                    )
                )
                row.log_offset += len(text.encode())
            row.log_exit = exit_status

    async def row(self, caller, rental_id):
        async with self.db.begin_unscoped() as session:
            return await queries.find_rental(session, account_id=caller.account_id, rental_id=rental_id)
