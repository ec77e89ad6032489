"""Giving up: on one attempt (the next listing is tried), or on the rental (its hold goes back in full)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy.ext.asyncio import AsyncSession

from app import catalog, wallet
from app.kit.ids import AccountId, RentalId
from app.kit.leases import bucket_name, fenced
from app.kit.reconcile import Round
from app.rentals import queries
from app.rentals.asking.queueing import requeue
from app.rentals.fencing import held_attempt
from app.rentals.models import AttemptRow, RentalRow
from app.rentals.runs import close_meter
from app.rentals.states import PLACED, Stage, Status, move
from app.rentals.tools import Tools

Reason = Literal[
    "no_capacity",
    "price_changed",
    "provider_auth",
    "provider_quota",
    "provider_error",
    "provision_timeout",
    "boot_timeout",
    "image_error",
    "startup_failed",
    "ssh_unreachable",
    "gpu_check_failed",
    "gpu_mismatch",
    "host_lost",
    "gpu_fault",
    "rate_limited",
    "interrupted_no_capacity",
]

_CREATED_NOTHING = frozenset({"no_capacity", "provider_auth", "provider_quota", "rate_limited", "provider_error"})
_BAD_HOST = frozenset({"gpu_check_failed", "gpu_mismatch", "host_lost", "gpu_fault"})
_SAYS_NOTHING = frozenset({"rate_limited", "startup_failed"})
"""Of the offer, to others: it was not tried, or it failed at a command that may itself be wrong."""
OURS: frozenset[Reason] = frozenset({"provider_auth", "provider_quota"})
"""What is for us to mend, not for the cloud."""
_MAY_COME_BACK = frozenset({"no_capacity", "provision_timeout"})
_NOT_REPLACED = "The machine was taken back, and no other was to be had in time."


async def abandon(
    tools: Tools,
    this: Round,
    seen: RentalRow,
    attempt: AttemptRow,
    reason: Reason,
    *,
    message: str,
    machine_id: str | None = None,
    unknown: bool = False,
    again_seconds: float = 0.0,
) -> str:
    """End an attempt: doom the machine it has or may have, keep away from the offer, send the rental to matching.

    ``unknown`` says that a machine may exist that we don't know the id of.
    """
    at = tools.clock.now()
    async with tools.db.begin_unscoped() as session:
        rental, row = await held_attempt(
            session, this, bucket=seen.bucket, account_id=seen.account_id, rental_id=seen.id, number=attempt.number
        )
        if rental is None or row is None:
            return "moved_on"
        row.machine_id = row.machine_id or machine_id
        nothing_there = row.machine_id is None and not unknown and reason in _CREATED_NOTHING
        doom(row, at=at, reason=reason, message=message, nothing_there=nothing_there)
        await _keep_away(session, tools, row, reason, at=at)
        if rental.status == Status.PROVISIONING:
            rental.next_at = at + timedelta(seconds=again_seconds)
            told: dict[str, object] = {"attempt": row.number, "reason": reason, "message": message}
            if row.resuming_at is not None:  # what was on its disk goes with it
                rental.disk_lost = told["disk_lost"] = True
            await move(session, rental, Status.PROVISIONING, stage=Stage.MATCHING, at=at, data=told)
        elif rental.status == Status.STOPPING and row.status == "gone" and rental.attempts == row.number:
            # It was stopped while the cloud was asked, and the cloud had nothing: no machine's end will tell of it.
            await move(session, rental, Status.STOPPED, at=at, data={"end_reason": rental.end_reason})
    return reason


def doom(row: AttemptRow, *, at: datetime, reason: str | None, message: str, nothing_there: bool) -> None:
    """Mark an attempt's machine to be destroyed, or the attempt as over when there is none."""
    if row.status == "gone":
        return
    row.doomed_at = row.doomed_at or at
    row.reason, row.message = row.reason or reason, row.message or message[:500]
    if nothing_there:
        row.status, row.gone_at, row.next_at = "gone", at, None
    else:
        row.status, row.next_at = "doomed", at


async def fail(tools: Tools, this: Round, seen: RentalRow, reason: Reason, *, message: str) -> str:
    """End a rental that has no machine: the hold goes back. One that never ran is charged nothing, else what it ran."""
    at = tools.clock.now()
    account_id, rental_id = AccountId(seen.account_id), RentalId(seen.id)
    async with tools.db.begin_unscoped() as session:
        await fenced(session, this.holding, [bucket_name(seen.bucket)])
        await wallet.lock(session, account_id=account_id)
        rental = await queries.lock_rental(session, account_id=account_id, rental_id=rental_id)
        if rental is None or rental.status not in PLACED:
            return "moved_on"
        if reason in _MAY_COME_BACK and await requeue(session, rental, reason=reason, at=at):
            return "waits_again"
        if rental.interrupted_at is not None and reason != "startup_failed":
            reason, message = "interrupted_no_capacity", _NOT_REPLACED
        await close_meter(session, rental, end=at, at=at, because=reason)
        rental.next_at, rental.ended_at, rental.settled_at = None, at, at
        rental.failure = failure(reason, stage=rental.stage, message=message)
        await move(session, rental, Status.FAILED, at=at, data={"reason": reason})
    return "failed_for_good"


def failure(reason: str, *, stage: str | None, message: str, provider_message: str | None = None) -> dict[str, object]:
    """Return the ``failure`` of a rental as it is stored and told."""
    return {
        "reason": reason,
        "stage": stage,
        "message": message,
        "provider_message": provider_message,
        "retryable": reason != "image_error",
        "fault_party": "hourglass" if reason in OURS else "customer" if reason == "startup_failed" else "provider",
    }


async def _keep_away(session: AsyncSession, tools: Tools, row: AttemptRow, reason: str, *, at: datetime) -> None:
    if reason in _SAYS_NOTHING:
        return
    limits = tools.limits_for(row.provider)
    await catalog.remember_failure(
        session,
        provider=row.provider,
        offer_id=row.offer_id,
        reason=reason,
        until=at + timedelta(seconds=limits.avoid_seconds),
    )
    if reason in _BAD_HOST and row.listing["host_id"]:
        await catalog.quarantine_host(
            session,
            provider=row.provider,
            host_id=row.listing["host_id"],
            reason=reason,
            at=at,
            until=at + timedelta(seconds=limits.quarantine_seconds),
        )
    await catalog.record_machine(
        session,
        fact_id=f"launch:{row.rental_id}:{row.number}",
        kind="launch",
        provider=row.provider,
        family=row.listing["family"],
        spot=row.listing["spot"],
        good=False,
        seconds=int((at - row.created_at).total_seconds()),
        at=at,
        region_id=row.listing["region_id"],
    )
